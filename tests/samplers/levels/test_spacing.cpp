// Noise levels of k-diffusion, the webui and ComfyUI, and the time steps of latent diffusion's DDIM.
#include <doctest/doctest.h>

#include "samplers/levels/spacing.h"
#include "tensor/error.h"
#include "tests/samplers/trajectory.h"

namespace cutaway::test {
namespace {

std::vector<float> training_levels() { return schedule_in_double(stable_diffusion_betas()).sigmas(); }

// The recorded levels were computed in float32 throughout.
void check_near(const std::vector<float>& actual, const std::vector<float>& expected) {
  REQUIRE(actual.size() == expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    CAPTURE(i);
    CHECK(std::fabs(actual[i] - expected[i]) <= 4e-6F * std::fabs(expected[i]));
  }
}

TEST_CASE("normal, karras and exponential are k-diffusion's, as recorded") {
  const SafetensorsFile file = SafetensorsFile::open(reference_path("samplers_kdiffusion.safetensors"));
  for (const char* name : {"normal", "karras", "exponential"}) {
    for (const int n : {5, 20, 50}) {
      CAPTURE(name);
      CAPTURE(n);
      const std::string recorded = std::string("euler/eps/") + name + "/" + std::to_string(n) + "/in/sigmas";
      check_near(spaced_levels(level_spacing_named(name), training_levels(), n),
                 file.at(recorded).to_floats());
    }
  }
}

// The numbers come from numpy and the words of the header.
TEST_CASE("simple, sgm_uniform and ddim_uniform") {
  const std::vector<float> all = training_levels();
  check_near(spaced_levels(LevelSpacing::simple, all, 7),
             {14.6146421F, 6.7016292F, 3.5282032F, 2.0616708F, 1.2762351F, 0.7900610F, 0.4380617F, 0});
  check_near(spaced_levels(LevelSpacing::sgm_uniform, all, 7),
             {14.6146421F, 6.6779995F, 3.5220567F, 2.0606414F, 1.2768323F, 0.7912599F, 0.4396658F, 0});
  const std::vector<float> eight =
      spaced_levels(LevelSpacing::ddim_uniform, all, 7);  // 1000 / 7 is not whole
  check_near(eight, {all[995], all[853], all[711], all[569], all[427], all[285], all[143], all[1], 0});
}

TEST_CASE("between two training levels k-diffusion's line is straight in log sigma, diffusers' in sigma") {
  const std::vector<float> all = training_levels();
  const double middle = sigma_between(all, 998.5);
  CHECK(middle == doctest::Approx(std::sqrt(static_cast<double>(all[998]) * all[999])).epsilon(1e-7));
  CHECK(std::fabs(middle - sigma_at(all, 998.5)) > 1e-5);
}

TEST_CASE("alpha_bar in double, rounded once, is CompVis'; in float32 it is diffusers'") {
  const NoiseSchedule in_double = schedule_in_double(stable_diffusion_betas());
  CHECK(in_double.alpha_bar(0) == 0x1.ff9096p-1F);
  CHECK(in_double.alpha_bar(500) == 0x1.1af6f4p-2F);
  CHECK(in_double.alpha_bar(999) == 0x1.31677ap-8F);
  CHECK(NoiseSchedule(stable_diffusion_betas()).alpha_bar(999) != in_double.alpha_bar(999));
}

TEST_CASE("ComfyUI asks the model at whole time steps, k-diffusion between them") {
  const NoiseSchedule schedule = schedule_in_double(stable_diffusion_betas());
  const std::vector<float> all = schedule.sigmas();
  Plan plan = plan_for_sigmas(schedule, PredictionType::epsilon, spaced_levels(LevelSpacing::karras, all, 9));
  const Plan between = plan;
  round_timesteps(plan);
  for (size_t i = 0; i < plan.timesteps.size(); ++i) {
    CAPTURE(i);
    int nearest = 0;  // by log sigma, looked for in the plainest way
    for (int t = 1; t < 1000; ++t) {
      const auto distance = [&](int at) {
        return std::fabs(std::log(all[static_cast<size_t>(at)]) - std::log(plan.sigmas[i]));
      };
      if (distance(t) < distance(nearest)) nearest = t;
    }
    CHECK(plan.timesteps[i] == static_cast<float>(nearest));
  }
  CHECK(between.timesteps[4] != plan.timesteps[4]);
}

TEST_CASE("latent diffusion's DDIM: with 20 steps diffusers' plan, with 30 one more, in the webui one less") {
  SchedulerConfig config = stable_diffusion_betas();
  config.set_alpha_to_one = false;
  config.steps_offset = 1;
  const NoiseSchedule schedule(config);
  const Plan same = plan(sampler_named("ddim"), config, 20);
  const Plan compvis = plan_compvis_ddim(schedule, PredictionType::epsilon, 20, false);
  CHECK(compvis.timesteps == same.timesteps);
  CHECK(compvis.alpha_bars == same.alpha_bars);
  CHECK(compvis.alpha_bars_to == same.alpha_bars_to);

  const Plan thirty = plan_compvis_ddim(schedule, PredictionType::epsilon, 30, false);
  CHECK(thirty.count() == 31);
  CHECK(thirty.timesteps.front() == 991);
  CHECK(plan(sampler_named("ddim"), config, 30).timesteps.front() == 958);

  const Plan webui = plan_compvis_ddim(schedule, PredictionType::epsilon, 20, true);
  CHECK(webui.count() == 19);
  CHECK(webui.timesteps.back() == 51);
  CHECK(webui.alpha_bars_to.back() == schedule.alpha_bar(1));
}

TEST_CASE("impossible spacings are refused") {
  const NoiseSchedule schedule(stable_diffusion_betas());
  CHECK_THROWS_WITH_AS(level_spacing_named("karass"), doctest::Contains("karras"), Error);
  CHECK_THROWS_AS(spaced_levels(LevelSpacing::by_sampler, training_levels(), 5), Error);
  CHECK_THROWS_AS(spaced_levels(LevelSpacing::normal, training_levels(), 0), Error);
  CHECK_THROWS_AS(plan_compvis_ddim(schedule, PredictionType::epsilon, 0, false), Error);
  CHECK_THROWS_WITH_AS(plan_compvis_ddim(schedule, PredictionType::epsilon, 333, false),
                       doctest::Contains("1000"), Error);
  CHECK_THROWS_AS(plan_compvis_ddim(schedule, PredictionType::epsilon, 1, true), Error);
}

}  // namespace
}  // namespace cutaway::test
