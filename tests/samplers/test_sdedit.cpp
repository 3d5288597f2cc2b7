// Starting in the middle of a run, from a picture.
#include "samplers/sdedit.h"

#include "samplers/sampler.h"
#include "tensor/ops.h"
#include "tests/check.h"
#include "tests/tensor/files/files.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

SchedulerConfig stable_diffusion() {
  SchedulerConfig config;
  config.beta_schedule = BetaSchedule::scaled_linear;
  config.beta_start = 0.00085;
  config.beta_end = 0.012;
  config.clip_sample = false;
  config.set_alpha_to_one = false;
  config.steps_offset = 1;
  return config;
}

Tensor model(const Tensor& x, float t) { return scale(tanh(x), 0.3F + t / 2000); }

// The k-th draw of a run's noise, from its own seed, so that a run that begins later can draw the same.
Noise noise_from(uint32_t& draw) {
  return [&draw](const Shape& shape) { return random_tensor(shape, 100 + draw++); };
}

}  // namespace

TEST_CASE("first_step: int(steps * strength) steps are left, as in Python") {
  CHECK(first_step(20, 1) == 0);
  CHECK(first_step(20, 0.5) == 10);
  CHECK(first_step(50, 0.3) == 35);
  CHECK(first_step(20, 0.55) == 9);    // 20 * 0.55 is a little more than 11
  CHECK(first_step(100, 0.29) == 72);  // 100 * 0.29 a little less than 29
  CHECK(first_step(10, 0.1) == 9);
  for (const double strength : {0.0, -0.5, 1.01, static_cast<double>(NAN), static_cast<double>(INFINITY)})
    CHECK(contains(error_of([&] { first_step(20, strength); }), "must be above 0"));
  CHECK(contains(error_of([] { first_step(10, 0.09); }), "leaves no step"));
  CHECK(contains(error_of([] { first_step(4, 0.2); }), "at least 5 steps"));
}

TEST_CASE("plan_from: a run that begins in the middle goes on as the whole one") {
  const Tensor x = random_tensor({1, 4, 3, 5}, 1);
  for (const std::string& name : sampler_names()) {
    const Sampler& sampler = sampler_named(name);
    const Plan whole = plan(sampler, stable_diffusion(), 9);
    uint32_t draw = 0;
    std::vector<Tensor> latents;
    std::vector<uint32_t> draws;
    const auto remember = [&](const Step& step) {
      latents.push_back(step.latent);
      draws.push_back(draw);
    };
    sample(sampler, {whole, model, noise_from(draw), 0.5F, remember}, x);
    for (const int first : {1, 4, 8}) {
      CAPTURE(name);
      CAPTURE(first);
      const Plan rest = plan_from(whole, first);
      REQUIRE(rest.count() == 9 - first);
      draw = draws[static_cast<size_t>(first) - 1];
      std::vector<Tensor> again;
      const auto compare = [&](const Step& step) { again.push_back(step.latent); };
      sample(sampler, {rest, model, noise_from(draw), 0.5F, compare},
             latents[static_cast<size_t>(first) - 1]);
      // dpmpp_2m has no earlier prediction to lean on: its first step is of first order.
      const bool leans = name == "dpmpp_2m" || name == "dpmpp_2m_karras";
      if (leans && first < 8) {
        CHECK_DIFFERS(again.back(), latents.back(), 1e-6);
        CHECK_CLOSE(again.back(), latents.back(), 0.1);
      } else {
        CHECK_CLOSE(again.back(), latents.back(), 1e-6);
      }
    }
    CHECK(contains(error_of([&] { plan_from(whole, 9); }), "no step 9"));
  }
}

TEST_CASE("noised: DDPM eq. 4 in the scale of the sampler") {
  const Tensor x0 = random_tensor({1, 4, 3, 5}, 1), eps = random_tensor({1, 4, 3, 5}, 2);
  for (const std::string& name : sampler_names()) {
    CAPTURE(name);
    const Plan p = plan(sampler_named(name), stable_diffusion(), 9);
    for (int i = 0; i < 9; ++i) {
      const double ab = p.alpha_bars[static_cast<size_t>(i)];
      const Tensor preserving = add(scale(x0, static_cast<float>(std::sqrt(ab))),
                                    scale(eps, static_cast<float>(std::sqrt(1 - ab))));
      const Tensor x = noised(p, i, x0, eps);
      const bool exploding = p.variance == Variance::exploding;
      CHECK_CLOSE(exploding ? scale(x, static_cast<float>(std::sqrt(ab))) : x, preserving, 1e-5);
      if (i == 0)
        CHECK_DIFFERS(exploding ? x : scale(x, static_cast<float>(1 / std::sqrt(ab))), preserving, 1);
      // The model, told the truth about the noise, sees the picture again.
      const Model knows = [&](const Tensor&, float) { return eps; };
      CHECK_CLOSE(ask({p, knows}, static_cast<size_t>(i), x).x0, x0, 1e-4);
    }
  }
}

TEST_CASE("a step may be given another latent, with which the run goes on") {
  const Tensor x = random_tensor({1, 4, 3, 5}, 1);
  const Tensor other = Tensor::filled(x.shape(), 0.25F);
  uint32_t draw = 0;
  for (const std::string& name : sampler_names()) {
    CAPTURE(name);
    const Sampler& sampler = sampler_named(name);
    const auto replace = [&](Step& step) { step.latent = other; };
    const Plan plan = cutaway::plan(sampler, stable_diffusion(), 3);
    const Tensor last = sample(sampler, {plan, model, noise_from(draw), 0, replace}, x);
    CHECK_CLOSE(last, other, 0);
  }
}
