// Whole runs against recorded ones of diffusers 0.27.2 and k-diffusion, step by step.
#include <doctest/doctest.h>

#include "tests/samplers/trajectory.h"

namespace cutaway::test {
namespace {

struct Run {
  std::string name;
  SamplerKind kind;
  SchedulerConfig config;
  float eta = 0;
};

SchedulerConfig with(void (*change)(SchedulerConfig&)) {
  SchedulerConfig config = stable_diffusion_betas();
  change(config);
  return config;
}

SchedulerConfig leading() {
  return with([](SchedulerConfig& c) {
    c.timestep_spacing = TimestepSpacing::leading;
    c.steps_offset = 1;
    c.set_alpha_to_one = false;
  });
}

std::vector<Run> runs_of_diffusers() {
  const SchedulerConfig plain = stable_diffusion_betas();
  const SchedulerConfig trailing =
      with([](SchedulerConfig& c) { c.timestep_spacing = TimestepSpacing::trailing; });
  const SchedulerConfig karras = with([](SchedulerConfig& c) { c.use_karras_sigmas = true; });
  const SchedulerConfig zero_snr = with([](SchedulerConfig& c) {
    c.timestep_spacing = TimestepSpacing::trailing;
    c.rescale_betas_zero_snr = true;
  });
  return {
      {"ddim_eta0", SamplerKind::ddim, leading()},
      {"ddim_eta0.5", SamplerKind::ddim, leading(), 0.5F},
      {"ddim_eta1", SamplerKind::ddim, leading(), 1},
      {"ddim_trailing", SamplerKind::ddim, trailing},
      {"ddim_trailing_zero_snr", SamplerKind::ddim, zero_snr},
      {"ddpm_fixed_small", SamplerKind::ddpm, leading()},
      {"ddpm_fixed_large", SamplerKind::ddpm,
       with([](SchedulerConfig& c) { c.variance_type = VarianceType::fixed_large; })},
      {"ddpm_clip_sample", SamplerKind::ddpm, with([](SchedulerConfig& c) { c.clip_sample = true; })},
      {"euler", SamplerKind::euler, plain},
      {"euler_leading", SamplerKind::euler, leading()},
      {"euler_trailing", SamplerKind::euler, trailing},
      {"euler_karras", SamplerKind::euler, karras},
      {"euler_ancestral", SamplerKind::euler_ancestral, plain},
      {"dpmpp_2m", SamplerKind::dpmpp_2m, plain},
      {"dpmpp_2m_leading", SamplerKind::dpmpp_2m, leading()},
      {"dpmpp_2m_karras", SamplerKind::dpmpp_2m_karras, plain},
      {"dpmpp_2m_final_sigma_min", SamplerKind::dpmpp_2m,
       with([](SchedulerConfig& c) { c.final_sigmas_type = FinalSigma::sigma_min; })},
  };
}

// The largest |d| of any step, in units of 2e-5 max|latents[k]| + 2e-6.
double worst_step(SamplerKind kind, const Plan& plan, float eta, const SafetensorsFile& file,
                  const std::string& prefix) {
  const StoredTensor& expected = file.at(prefix + "out/latents");
  REQUIRE(expected.shape[0] == plan.count() + 1);
  double worst = 0;
  const OnStep compare = [&](const Step& step) {
    const Tensor after = item(expected, step.index + 1);
    worst = std::fmax(worst, difference(step.latent, after).max_abs / (2e-5 * largest(after) + 2e-6));
  };
  sample(kind, plan, eta, closed_form_model, file.at("in/x0").to_tensor(),
         recorded_noise(file.at("in/noise")), compare);
  return worst;
}

void check_near(const std::vector<float>& actual, const std::vector<float>& expected, double relative) {
  REQUIRE(actual.size() == expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    CAPTURE(i);
    CHECK(std::fabs(actual[i] - expected[i]) <= relative * std::fabs(expected[i]));
  }
}

}  // namespace

TEST_CASE("diffusers' schedulers, step by step") {
  const SafetensorsFile file = SafetensorsFile::open(reference_path("samplers_diffusers.safetensors"));
  int compared = 0;
  for (Run run : runs_of_diffusers()) {
    for (const std::string prediction : {"eps", "v"}) {
      for (const int steps : {5, 20, 50}) {
        const std::string prefix = run.name + "/" + prediction + "/" + std::to_string(steps) + "/";
        if (!file.find(prefix + "out/latents")) continue;
        CAPTURE(prefix);
        run.config.prediction_type =
            prediction == "v" ? PredictionType::v_prediction : PredictionType::epsilon;
        const Plan made = plan(run.kind, run.config, steps);
        check_near(made.timesteps, file.at(prefix + "timesteps").to_floats(), 2e-6);
        check_near({made.init_noise_sigma}, file.at(prefix + "init_noise_sigma").to_floats(), 1e-6);
        if (file.find(prefix + "sigmas"))
          check_near(made.sigmas, file.at(prefix + "sigmas").to_floats(), 1e-6);
        CHECK(worst_step(run.kind, made, run.eta, file, prefix) <= 1);
        ++compared;
      }
    }
  }
  CHECK(compared == 75);
}

TEST_CASE("k-diffusion's samplers at given sigmas, step by step") {
  const SafetensorsFile file = SafetensorsFile::open(reference_path("samplers_kdiffusion.safetensors"));
  const NoiseSchedule schedule(stable_diffusion_betas());
  int compared = 0;
  for (const auto& [name, kind] : {std::pair{"euler", SamplerKind::euler},
                                   {"euler_ancestral", SamplerKind::euler_ancestral},
                                   {"dpmpp_2m", SamplerKind::dpmpp_2m}}) {
    for (const std::string prediction : {"eps", "v"}) {
      for (const char* spacing : {"normal", "karras", "exponential"}) {
        for (const char* steps : {"5", "20", "50"}) {
          const std::string prefix = std::string(name) + "/" + prediction + "/" + spacing + "/" + steps + "/";
          if (!file.find(prefix + "out/latents")) continue;
          CAPTURE(prefix);
          const PredictionType type =
              prediction == "v" ? PredictionType::v_prediction : PredictionType::epsilon;
          const Plan made = plan_for_sigmas(schedule, type, file.at(prefix + "in/sigmas").to_floats());
          CHECK(worst_step(kind, made, 0, file, prefix) <= 1);
          ++compared;
        }
      }
    }
  }
  CHECK(compared == 42);
}

// Plausible mistakes, each of which must leave the recorded trajectory.
TEST_CASE("wrong twins of whole runs") {
  const SafetensorsFile file = SafetensorsFile::open(reference_path("samplers_diffusers.safetensors"));
  const auto leaves = [&](SamplerKind kind, const Plan& made, float eta, const std::string& prefix) {
    return worst_step(kind, made, eta, file, prefix) > 1;
  };
  const Plan ddim = plan(SamplerKind::ddim, leading(), 20);

  SUBCASE("eta ignored") { CHECK(leaves(SamplerKind::ddim, ddim, 0, "ddim_eta1/eps/20/")); }
  SUBCASE("v taken as eps") { CHECK(leaves(SamplerKind::ddim, ddim, 0, "ddim_eta0/v/20/")); }
  SUBCASE("the previous time step is off by one") {
    Plan twin = ddim;
    const NoiseSchedule schedule(leading());
    for (int i = 0; i + 1 < twin.count(); ++i) {
      const auto at = static_cast<size_t>(i);
      twin.alpha_bars_to[at] = schedule.alpha_bar(static_cast<int64_t>(twin.timesteps[at + 1]) + 1);
    }
    CHECK(leaves(SamplerKind::ddim, twin, 0, "ddim_eta0/eps/20/"));
  }
  SUBCASE("the last step goes to alpha_bar 1 where it should go to alpha_bar_0") {
    SchedulerConfig twin = leading();
    twin.set_alpha_to_one = true;
    CHECK(leaves(SamplerKind::ddim, plan(SamplerKind::ddim, twin, 20), 0, "ddim_eta0/eps/20/"));
  }
  SUBCASE("steps_offset forgotten") {
    SchedulerConfig twin = leading();
    twin.steps_offset = 0;
    CHECK(leaves(SamplerKind::ddim, plan(SamplerKind::ddim, twin, 20), 0, "ddim_eta0/eps/20/"));
  }
  SUBCASE("beta tilde for beta") {
    const Plan twin = plan(SamplerKind::ddpm, stable_diffusion_betas(), 20);
    CHECK(leaves(SamplerKind::ddpm, twin, 0, "ddpm_fixed_large/eps/20/"));
  }
  SUBCASE("no clipping") {
    const Plan twin = plan(SamplerKind::ddpm, stable_diffusion_betas(), 20);
    CHECK(leaves(SamplerKind::ddpm, twin, 0, "ddpm_clip_sample/eps/20/"));
  }
  SUBCASE("euler_ancestral without its noise") {
    const Plan twin = plan(SamplerKind::euler_ancestral, stable_diffusion_betas(), 20);
    CHECK(leaves(SamplerKind::euler, twin, 0, "euler_ancestral/eps/20/"));
  }
  SUBCASE("time steps rounded where Euler's are not whole") {
    Plan twin = plan(SamplerKind::euler, stable_diffusion_betas(), 20);
    for (float& t : twin.timesteps) t = std::round(t);
    CHECK(leaves(SamplerKind::euler, twin, 0, "euler/eps/20/"));
  }
  SUBCASE("sigmas without Karras spacing") {
    const Plan twin = plan(SamplerKind::dpmpp_2m, stable_diffusion_betas(), 20);
    CHECK(leaves(SamplerKind::dpmpp_2m, twin, 0, "dpmpp_2m_karras/eps/20/"));
  }
  SUBCASE("the last step of second order") {
    const Plan made = plan(SamplerKind::dpmpp_2m, runs_of_diffusers().back().config, 5);
    REQUIRE(worst_step(SamplerKind::dpmpp_2m, made, 0, file, "dpmpp_2m_final_sigma_min/eps/5/") <= 1);
    Plan twin = made;
    twin.first_order_last = false;
    CHECK(leaves(SamplerKind::dpmpp_2m, twin, 0, "dpmpp_2m_final_sigma_min/eps/5/"));
  }
}

}  // namespace cutaway::test
