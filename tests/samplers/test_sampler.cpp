// The one entry: names, plans, and what is refused.
#include <doctest/doctest.h>

#include "tensor/error.h"
#include "tests/samplers/trajectory.h"

namespace cutaway::test {
namespace {

const Shape shape{1, 4, 2, 3};

SchedulerConfig stable_diffusion() {
  SchedulerConfig config = stable_diffusion_betas();
  config.timestep_spacing = TimestepSpacing::leading;
  config.steps_offset = 1;
  config.set_alpha_to_one = false;
  return config;
}

Tensor run(SamplerKind kind, const SchedulerConfig& config, SamplerOptions options,
           const OnStep& on_step = {}) {
  const Noise noise = [seed = 10U](const Shape& of) mutable { return random_tensor(of, seed++); };
  return sample(kind, config, options, closed_form_model, random_tensor(shape, 1), noise, on_step);
}

std::string message_of(void (*refused)()) {
  try {
    refused();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("samplers have names, and near misses are told the right one") {
  for (const std::string& name : sampler_names()) CHECK(to_string(sampler_named(name)) == name);
  CHECK(sampler_names().size() == 6);
  CHECK(message_of([] { sampler_named("dpmpp_2n"); }) ==
        "there is no sampler 'dpmpp_2n'; the samplers are ddim, ddpm, euler, euler_ancestral, dpmpp_2m, "
        "dpmpp_2m_karras; did you mean dpmpp_2m?");
  CHECK(message_of([] { sampler_named("eulr"); }).find("did you mean euler?") != std::string::npos);
  CHECK(message_of([] { sampler_named("something else"); }).find("did you mean") == std::string::npos);
  CHECK(message_of([] { sampler_named(""); }).find("did you mean") == std::string::npos);
}

TEST_CASE("the plan of Stable Diffusion's own config") {
  const Plan made = plan(SamplerKind::ddim, stable_diffusion(), 20);
  CHECK(made.timesteps.front() == 951);
  CHECK(made.timesteps.back() == 1);
  const NoiseSchedule schedule(stable_diffusion());
  CHECK(made.alpha_bars.back() == schedule.alpha_bar(1));
  CHECK(made.alpha_bars_to.front() == schedule.alpha_bar(901));
  CHECK(made.alpha_bars_to.back() == schedule.alpha_bar(0));  // set_alpha_to_one false
  CHECK(made.init_noise_sigma == 1);

  // The others keep the spacing that the config names, and take linspace when it names none.
  SchedulerConfig config = stable_diffusion();
  const Plan leading = plan(SamplerKind::euler, config, 20);
  CHECK(leading.timesteps.front() == 951);
  CHECK(leading.init_noise_sigma == doctest::Approx(std::sqrt(1 + std::pow(leading.sigmas.front(), 2))));
  config.timestep_spacing = TimestepSpacing::by_sampler;
  const Plan linspace = plan(SamplerKind::euler, config, 20);
  CHECK(linspace.timesteps.front() == 999);
  CHECK(linspace.timesteps[1] == doctest::Approx(999.0 * 18 / 19));  // between two training time steps
  CHECK(linspace.init_noise_sigma == linspace.sigmas.front());
  CHECK(plan(SamplerKind::ddpm, config, 20).timesteps.front() == 951);
}

TEST_CASE("every sampler tells of every step, and ends where its last step says") {
  for (const std::string& name : sampler_names()) {
    for (const int steps : {1, 2, 3, 15, 50}) {
      CAPTURE(name);
      CAPTURE(steps);
      int told = 0;
      Tensor last;
      float t_before = 1000;
      const Tensor end =
          run(sampler_named(name), stable_diffusion(), {.steps = steps}, [&](const Step& step) {
            CHECK(step.index == told++);
            CHECK(step.count == steps);
            CHECK(step.t <= t_before);  // Karras spacing may round two noise levels to one time step
            t_before = step.t;
            last = step.latent;
          });
      CHECK(told == steps);
      CHECK_CLOSE(end, last, 0);
      CHECK(end.shape() == shape);
      CHECK(std::isfinite(largest(end)));
    }
  }
}

TEST_CASE("the same noise makes the same picture, eta changes ddim's only") {
  for (const std::string& name : sampler_names()) {
    CAPTURE(name);
    const SamplerKind kind = sampler_named(name);
    const Tensor first = run(kind, stable_diffusion(), {.steps = 5});
    CHECK_CLOSE(run(kind, stable_diffusion(), {.steps = 5}), first, 0);
    const double change = difference(run(kind, stable_diffusion(), {.steps = 5, .eta = 0.5F}), first).max_abs;
    CHECK((change > 0) == (kind == SamplerKind::ddim));
  }
}

TEST_CASE("noise is drawn only where it is used") {
  const auto draws = [](SamplerKind kind, const SchedulerConfig& config, float eta) {
    int drawn = 0;
    const Noise noise = [&](const Shape& of) { return random_tensor(of, static_cast<uint32_t>(drawn++)); };
    sample(kind, config, {.steps = 5, .eta = eta}, closed_form_model, random_tensor(shape, 1), noise);
    return drawn;
  };
  CHECK(draws(SamplerKind::ddim, stable_diffusion(), 0) == 0);
  CHECK(draws(SamplerKind::ddim, stable_diffusion(), 0.5F) == 5);
  CHECK(draws(SamplerKind::ddpm, stable_diffusion(), 0) == 5);        // the last time step is 1
  CHECK(draws(SamplerKind::ddpm, stable_diffusion_betas(), 0) == 4);  // the last time step is 0
  CHECK(draws(SamplerKind::euler, stable_diffusion(), 0) == 0);
  CHECK(draws(SamplerKind::euler_ancestral, stable_diffusion(), 0) == 4);
  CHECK(draws(SamplerKind::dpmpp_2m, stable_diffusion(), 0) == 0);
}

TEST_CASE("Karras spacing may end where sigma_min already is") {
  SchedulerConfig config = stable_diffusion_betas();
  config.final_sigmas_type = FinalSigma::sigma_min;
  for (const int steps : {1, 5, 20}) {
    CHECK(std::isfinite(largest(run(SamplerKind::dpmpp_2m_karras, config, {.steps = steps}))));
  }
}

TEST_CASE("impossible runs are refused") {
  const auto refuses = [](SamplerKind kind, const SchedulerConfig& config, SamplerOptions options) {
    CHECK_THROWS_AS(run(kind, config, options), Error);
  };
  for (const std::string& name : sampler_names()) {
    CAPTURE(name);
    const SamplerKind kind = sampler_named(name);
    refuses(kind, stable_diffusion(), {.steps = 0});
    refuses(kind, stable_diffusion(), {.steps = -3});
    refuses(kind, stable_diffusion(), {.steps = 1001});
    if (kind != SamplerKind::dpmpp_2m_karras) {            // which needs no spacing of time steps
      refuses(kind, stable_diffusion(), {.steps = 1000});  // steps_offset 1 would reach time step 1000
    }
    refuses(kind, stable_diffusion(), {.steps = 5, .eta = NAN});
    refuses(kind, stable_diffusion(), {.steps = 5, .eta = -0.1F});
    refuses(kind, stable_diffusion(), {.steps = 5, .eta = 1.1F});
  }
  CHECK(message_of([] { run(SamplerKind::ddim, stable_diffusion(), {.steps = 0}); }) ==
        "the number of steps is 0, but must be from 1 to 1000, the model's training time steps");

  SchedulerConfig no_picture_left = stable_diffusion_betas();
  no_picture_left.rescale_betas_zero_snr = true;
  no_picture_left.timestep_spacing = TimestepSpacing::trailing;
  refuses(SamplerKind::ddim, no_picture_left, {.steps = 5});
  no_picture_left.prediction_type = PredictionType::v_prediction;
  CHECK(std::isfinite(largest(run(SamplerKind::ddim, no_picture_left, {.steps = 5}))));
}

TEST_CASE("given noise levels must fall") {
  const NoiseSchedule schedule(stable_diffusion_betas());
  const auto refuses = [&](const std::vector<float>& sigmas) {
    CHECK_THROWS_AS(plan_for_sigmas(schedule, PredictionType::epsilon, sigmas), Error);
  };
  refuses({});
  refuses({1});
  refuses({1, 2, 0});
  refuses({2, 2, 0});
  refuses({2, 1, -1});
  refuses({NAN, 1, 0});
  refuses({INFINITY, 1, 0});
  refuses({0, 0});
  const Plan made = plan_for_sigmas(schedule, PredictionType::epsilon, {2, 1, 0});
  CHECK(made.count() == 2);
  CHECK_THROWS_AS(sample(SamplerKind::ddim, made, 0, closed_form_model, random_tensor(shape, 1), {}), Error);
}

TEST_CASE("a model that answers with another shape is refused") {
  const Model wrong = [](const Tensor&, float) { return random_tensor({1, 4, 2, 2}, 5); };
  CHECK_THROWS_AS(sample(SamplerKind::ddim, stable_diffusion(), {}, wrong, random_tensor(shape, 1), {}),
                  Error);
}

}  // namespace cutaway::test
