// The table in docs/compat.md, row by row: each against a straightforward computation of its own.
#include <doctest/doctest.h>

#include "models/pipeline/compat.h"
#include "models/pipeline/noise.h"
#include "models/stable_diffusion.h"
#include "samplers/guidance.h"
#include "tensor/error.h"
#include "tests/check.h"

using namespace cutaway;

namespace {

const Shape two_pictures{2, 4, 4, 4}, one_picture{1, 4, 4, 4};

SchedulerConfig stable_diffusion() {
  SchedulerConfig config;
  config.beta_schedule = BetaSchedule::scaled_linear;
  config.beta_start = 0.00085;
  config.beta_end = 0.012;
  config.clip_sample = config.set_alpha_to_one = false;
  config.steps_offset = 1;
  return config;
}

Plan plan_of(const char* program, const Sampler& sampler, int steps,
             LevelSpacing spacing = LevelSpacing::by_sampler) {
  return route(compat_of(program), sampler, spacing, stable_diffusion(), steps, 0).plan;
}

struct Drawn {
  Tensor start, first_step, second_step;
};
Drawn drawn(const Compat& compat) {
  RunNoise noise(compat, 5, 2);
  Drawn all;
  all.start = noise.start(two_pictures);
  all.first_step = noise.step(two_pictures);
  all.second_step = noise.step(two_pictures);
  return all;
}
void check_drawn(const Drawn& actual, const Drawn& expected) {
  CHECK_CLOSE(actual.start, expected.start, 0);
  CHECK_CLOSE(actual.first_step, expected.first_step, 0);
  CHECK_CLOSE(actual.second_step, expected.second_step, 0);
}

// A generator for each picture, which goes on through the whole run.
template <class Random>
Drawn by_picture() {
  Random a(5), b(6);
  const auto both = [&] {
    const Tensor first = a.randn(one_picture);
    return concat({first, b.randn(one_picture)}, 0);
  };
  Drawn all;
  all.start = both();
  all.first_step = both();
  all.second_step = both();
  return all;
}

}  // namespace

TEST_CASE("noise: whose numbers, one stream or one a picture, and where the steps draw") {
  check_drawn(drawn(compat_of("diffusers")), by_picture<TorchRandom>());
  check_drawn(drawn(compat_of("webui")), by_picture<PhiloxRandom>());

  PhiloxRandom card(5), anew(5);
  TorchRandom processor(5), next_seed(6);
  Drawn compvis;
  compvis.start = card.randn(two_pictures);
  compvis.first_step = card.randn(two_pictures);
  compvis.second_step = card.randn(two_pictures);
  check_drawn(drawn(compat_of("compvis")), compvis);

  Drawn comfyui;
  comfyui.start = processor.randn(two_pictures);
  comfyui.first_step = anew.randn(two_pictures);
  comfyui.second_step = anew.randn(two_pictures);
  check_drawn(drawn(compat_of("comfyui")), comfyui);

  Compat on_processor = compat_of("comfyui");
  on_processor.step_noise = RandomSource::cpu;
  comfyui.first_step = next_seed.randn(two_pictures);
  comfyui.second_step = next_seed.randn(two_pictures);
  check_drawn(drawn(on_processor), comfyui);
}

TEST_CASE(
    "steps: diffusers' line between sigmas, the others' between their logs; whole time steps in ComfyUI") {
  const Plan diffusers = plan_of("diffusers", sampler_named("euler"), 20);
  const Plan webui = plan_of("webui", sampler_named("euler"), 20);
  const Plan comfyui = plan_of("comfyui", sampler_named("euler"), 20);
  // SD's config says leading spacing to diffusers' euler only where timestep_spacing is set; here: linspace.
  CHECK(diffusers.sigmas.front() == doctest::Approx(webui.sigmas.front()).epsilon(1e-5));
  CHECK(std::fabs(diffusers.sigmas[7] - webui.sigmas[7]) > 1e-7F);
  CHECK(webui.sigmas == comfyui.sigmas);
  const std::vector<float> all = schedule_in_double(stable_diffusion()).sigmas();
  for (size_t i = 0; i < 20; ++i) {
    const double t = 999 - 999.0 / 19 * static_cast<double>(i);
    CHECK(webui.timesteps[i] == doctest::Approx(t).epsilon(1e-5));
    CHECK(std::fabs(comfyui.timesteps[i] - webui.timesteps[i]) <= 0.5F);
    CHECK(comfyui.timesteps[i] == std::round(comfyui.timesteps[i]));
  }
  CHECK(webui.sigmas[7] == doctest::Approx(sigma_between(all, 999 - 999.0 / 19 * 7)).epsilon(1e-6));
}

TEST_CASE(
    "scale of the starting noise: sigma in the webui, sqrt(1 + sigma^2) in ComfyUI from the last level "
    "only") {
  const Plan webui = plan_of("webui", sampler_named("euler"), 20);
  CHECK(webui.init_noise_sigma == webui.sigmas.front());
  const Plan comfyui = plan_of("comfyui", sampler_named("euler"), 20);
  const double sigma = comfyui.sigmas.front();
  CHECK(comfyui.init_noise_sigma == doctest::Approx(std::sqrt(1 + sigma * sigma)).epsilon(1e-6));
  const Plan lower = plan_of("comfyui", sampler_named("euler"), 20, LevelSpacing::ddim_uniform);
  CHECK(lower.init_noise_sigma == lower.sigmas.front());
}

TEST_CASE("ddim: the webui leaves out the last step, CompVis takes more for 30, ComfyUI's is euler") {
  CHECK(plan_of("diffusers", sampler_named("ddim"), 30).count() == 30);
  CHECK(plan_of("compvis", sampler_named("ddim"), 30).count() == 31);
  CHECK(plan_of("webui", sampler_named("ddim"), 30).count() == 30);
  CHECK(plan_of("webui", sampler_named("ddim"), 20).count() == 19);
  const Route comfyui =
      route(compat_of("comfyui"), sampler_named("ddim"), LevelSpacing::by_sampler, stable_diffusion(), 20, 0);
  CHECK(comfyui.sampler == &sampler_named("euler"));
  CHECK(comfyui.plan.sigmas == plan_of("comfyui", sampler_named("euler"), 20).sigmas);
}

TEST_CASE("karras: the sampler's name or --schedule, with the range that each program has") {
  const std::vector<float> all = schedule_in_double(stable_diffusion()).sigmas();
  const Plan named = plan_of("webui", sampler_named("dpmpp_2m_karras"), 10);
  CHECK(named.sigmas == plan_of("webui", sampler_named("dpmpp_2m"), 10, LevelSpacing::karras).sigmas);
  CHECK(named.sigmas[9] == doctest::Approx(all.front()));
  CHECK(named.timesteps[3] != std::round(named.timesteps[3]));  // diffusers rounds
  const Plan diffusers = plan_of("diffusers", sampler_named("dpmpp_2m"), 10, LevelSpacing::karras);
  CHECK(diffusers.timesteps == plan_of("diffusers", sampler_named("dpmpp_2m_karras"), 10).timesteps);
  CHECK(diffusers.timesteps[3] == std::round(named.timesteps[3]));
}

TEST_CASE("what a program does not have is refused") {
  const auto refused = [](const char* program, const Sampler& sampler, LevelSpacing spacing, float eta,
                          const char* says) {
    CHECK_THROWS_WITH_AS(route(compat_of(program), sampler, spacing, stable_diffusion(), 20, eta),
                         doctest::Contains(says), Error);
  };
  const LevelSpacing own = LevelSpacing::by_sampler;
  refused("compvis", sampler_named("euler"), own, 0, "compvis has no sampler euler");
  refused("webui", sampler_named("ddpm"), own, 0, "it has ddim, euler");
  refused("webui", sampler_named("ddim"), LevelSpacing::karras, 0, "leave out --schedule");
  refused("comfyui", sampler_named("ddim"), own, 0.5F, "takes no eta");
  refused("diffusers", sampler_named("euler"), LevelSpacing::simple, 0, "karras for euler and dpmpp_2m");
  CHECK_THROWS_WITH_AS(compat_of("web-ui"), doctest::Contains("webui"), Error);
}

namespace {

const StableDiffusion& demo() {
  static const StableDiffusion model = StableDiffusion::load(CUTAWAY_SOURCE_DIR "/weights/demo");
  return model;
}

GenerateOptions short_run(const char* program, const Sampler& sampler) {
  GenerateOptions options;
  options.prompt = "a red car";
  options.compat = compat_of(program);
  options.sampler = &sampler;
  options.steps = 3;
  options.guidance_scale = 3;
  options.seed = 11;
  return options;
}

// The demo model predicts v (Salimans & Ho 2022): eps = sqrt(ab) v + sqrt(1 - ab) x_t.
Tensor eps_of(const Tensor& x_t, double t, double ab, float cfg) {
  REQUIRE(demo().scheduler.prediction_type == PredictionType::v_prediction);
  const std::vector<float> at{static_cast<float>(t)};
  const Tensor with = demo().unet(x_t, at, demo().encode_prompt("a red car", {}));
  const Tensor v = guided(demo().unet(x_t, at, demo().encode_prompt("", {})), with, cfg);
  return add(scale(v, static_cast<float>(std::sqrt(ab))), scale(x_t, static_cast<float>(std::sqrt(1 - ab))));
}

}  // namespace

TEST_CASE(
    "end to end, diffusers' ddim with eta: each step's noise comes from the stream of the starting noise") {
  GenerateOptions options = short_run("diffusers", sampler_named("ddim"));
  options.eta = 0.7F;
  TorchRandom random(11);
  Tensor x = random.randn({1, 4, 16, 16});
  const NoiseSchedule schedule(demo().scheduler);
  for (int i = 0; i < 3; ++i) {
    const int stride = 1000 / 3, t = (2 - i) * stride + static_cast<int>(demo().scheduler.steps_offset);
    const double ab = schedule.alpha_bar(t);
    const double end = demo().scheduler.set_alpha_to_one ? 1 : schedule.alpha_bar(0);
    const double to = t - stride >= 0 ? schedule.alpha_bar(t - stride) : end;
    const double sigma = 0.7 * std::sqrt((1 - to) / (1 - ab) * (1 - ab / to));
    const Tensor eps = eps_of(x, t, ab, 3), z = random.randn({1, 4, 16, 16});
    Tensor next(x.shape());
    for (int64_t k = 0; k < x.count(); ++k) {
      double x0 = (x.data()[k] - std::sqrt(1 - ab) * eps.data()[k]) / std::sqrt(ab);
      if (demo().scheduler.clip_sample) x0 = std::clamp(x0, -1.0, 1.0);
      next.mutable_data()[k] = static_cast<float>(
          std::sqrt(to) * x0 + std::sqrt(1 - to - sigma * sigma) * eps.data()[k] + sigma * z.data()[k]);
    }
    x = next;
  }
  CHECK_CLOSE(demo().generate(options).latent, x, 1e-3F);
}

TEST_CASE("end to end, Euler a of the webui and of ComfyUI, as k-diffusion's loop written out") {
  const std::vector<float> all = schedule_in_double(demo().scheduler).sigmas();
  for (const bool comfyui : {false, true}) {
    CAPTURE(comfyui);
    PhiloxRandom card(11);
    const double sigmas[] = {all[999], all[666], all[333], all[0], 0};
    const double timesteps[] = {999, 666, 333, 0};
    Tensor x = comfyui ? scale(TorchRandom(11).randn({1, 4, 16, 16}),
                               static_cast<float>(std::sqrt(1 + sigmas[0] * sigmas[0])))
                       : scale(card.randn({1, 4, 16, 16}), static_cast<float>(sigmas[0]));
    for (int i = 0; i < 4; ++i) {
      const double from = sigmas[i], to = sigmas[i + 1];
      const double ab = 1 / (1 + from * from);
      const Tensor eps = eps_of(scale(x, static_cast<float>(std::sqrt(ab))), timesteps[i], ab, 3);
      const double up = to > 0 ? std::sqrt(to * to * (from * from - to * to) / (from * from)) : 0;
      const double down = std::sqrt(to * to - up * up);
      x = add(x, scale(eps, static_cast<float>(down - from)));
      if (to > 0) x = add(x, scale(card.randn({1, 4, 16, 16}), static_cast<float>(up)));
    }
    GenerateOptions options = short_run(comfyui ? "comfyui" : "webui", sampler_named("euler_ancestral"));
    options.steps = 4;
    CHECK_CLOSE(demo().generate(options).latent, x, 2e-3F);
  }
}
