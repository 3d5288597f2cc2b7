// The noise schedule against recorded values and against its equations.
#include <doctest/doctest.h>

#include "samplers/levels/prediction.h"
#include "tensor/error.h"
#include "tests/samplers/trajectory.h"

namespace cutaway::test {
namespace {

using Values = std::vector<double>;

SchedulerConfig with_betas(BetaSchedule schedule) {
  SchedulerConfig config = stable_diffusion_betas();
  config.beta_schedule = schedule;
  if (schedule == BetaSchedule::linear) {
    config.beta_start = 0.0001;
    config.beta_end = 0.02;
  }
  return config;
}

SafetensorsFile reference() {
  return SafetensorsFile::open(reference_path("samplers_diffusers.safetensors"));
}

}  // namespace

TEST_CASE("betas and alpha_bar are PyTorch's, to the last bit") {
  const SafetensorsFile file = reference();
  const NoiseSchedule scaled(with_betas(BetaSchedule::scaled_linear));
  CHECK(scaled.betas == file.at("schedule/scaled_linear/betas").to_floats());
  CHECK(scaled.alphas_cumprod == file.at("schedule/scaled_linear/alphas_cumprod").to_floats());

  const NoiseSchedule linear(with_betas(BetaSchedule::linear));
  CHECK(linear.betas == file.at("schedule/ddpm_linear/betas").to_floats());
  CHECK(linear.alphas_cumprod == file.at("schedule/ddpm_linear/alphas_cumprod").to_floats());

  const NoiseSchedule cosine(with_betas(BetaSchedule::squaredcos_cap_v2));
  const std::vector<float> expected = file.at("schedule/squaredcos_cap_v2/betas").to_floats();
  REQUIRE(cosine.betas.size() == expected.size());
  for (size_t t = 0; t < expected.size(); ++t)
    CHECK(cosine.betas[t] == doctest::Approx(expected[t]).epsilon(1e-6));
}

TEST_CASE("wrong twins of the noise schedule") {
  const std::vector<float> expected = reference().at("schedule/scaled_linear/alphas_cumprod").to_floats();
  SUBCASE("linear for scaled_linear") {
    SchedulerConfig twin = stable_diffusion_betas();
    twin.beta_schedule = BetaSchedule::linear;
    CHECK(NoiseSchedule(twin).alpha_bar(500) != doctest::Approx(expected[500]).epsilon(1e-3));
  }
  SUBCASE("a product kept in float32") {
    const NoiseSchedule schedule(stable_diffusion_betas());
    std::vector<float> twin;
    float product = 1;
    for (const float beta : schedule.betas) twin.push_back(product *= 1 - beta);
    CHECK(twin != expected);
  }
}

TEST_CASE("DDPM eq. 4: the forward process, and v") {
  const SafetensorsFile file = reference();
  const NoiseSchedule schedule(stable_diffusion_betas());
  const Tensor x0 = file.at("add_noise/x").to_tensor(), eps = item(file.at("in/noise"), 0);
  for (const int64_t t : {0, 250, 999}) {
    CAPTURE(t);
    const std::string prefix = "add_noise/" + std::to_string(t) + "/out/";
    const float ab = schedule.alpha_bar(t);
    const Tensor noisy = file.at(prefix + "noisy").to_tensor(), v = file.at(prefix + "velocity").to_tensor();
    CHECK_CLOSE(add_noise(x0, eps, ab), noisy, 1e-6);
    CHECK_CLOSE(velocity(x0, eps, ab), v, 1e-6);
    CHECK_DIFFERS(velocity(eps, x0, ab), v, 1e-2);  // x0 and eps exchanged
    CHECK_DIFFERS(add_noise(x0, eps, schedule.alpha_bar(t == 0 ? 1 : t - 1)), noisy, 2e-6);  // off by one
  }
}

TEST_CASE("rescaled to zero signal at the end (2305.08891, algorithm 1)") {
  SchedulerConfig config = stable_diffusion_betas();
  const NoiseSchedule before(config);
  config.rescale_betas_zero_snr = true;
  const NoiseSchedule after(config);
  CHECK(after.alphas_cumprod.back() == 0);
  CHECK(after.alpha_bar(0) == doctest::Approx(before.alpha_bar(0)).epsilon(1e-6));
  const double first = std::sqrt(before.alpha_bar(0)), last = std::sqrt(before.alpha_bar(999));
  const double middle = (std::sqrt(before.alpha_bar(500)) - last) * first / (first - last);
  CHECK(after.alpha_bar(500) == doctest::Approx(middle * middle).epsilon(1e-5));
}

TEST_CASE("spacing of time steps (2305.08891, table 2)") {
  using enum TimestepSpacing;
  // The paper counts from 1:
  // linspace 1, 112, ..., 1000; leading 1, 101, ..., 901; trailing 100, 200, ..., 1000.
  CHECK(spaced_timesteps(linspace, 1000, 10, 0) == Values{999, 888, 777, 666, 555, 444, 333, 222, 111, 0});
  CHECK(spaced_timesteps(leading, 1000, 10, 0) == Values{900, 800, 700, 600, 500, 400, 300, 200, 100, 0});
  CHECK(spaced_timesteps(trailing, 1000, 10, 0) == Values{999, 899, 799, 699, 599, 499, 399, 299, 199, 99});
  CHECK(spaced_timesteps(leading, 1000, 3, 1) == Values{667, 334, 1});
  CHECK(spaced_timesteps(linspace, 1000, 1, 0) == Values{0});
  CHECK(spaced_timesteps(linspace, 1000, 3, 0)[1] == 499.5);
  CHECK_THROWS_AS(spaced_timesteps(leading, 1000, 1000, 1), Error);  // would ask at time step 1000
  for (const int64_t steps : {7, 61, 103, 999, 1000}) {              // where 1000 / steps is no whole number
    CHECK(spaced_timesteps(trailing, 1000, steps, 0).size() == static_cast<size_t>(steps));
  }
}

TEST_CASE("sigma and time step are each other's inverse") {
  const std::vector<float> sigmas = NoiseSchedule(stable_diffusion_betas()).sigmas();
  CHECK(sigmas.back() == doctest::Approx(14.6146).epsilon(1e-4));
  CHECK(sigma_at(sigmas, 10) == sigmas[10]);
  CHECK(sigma_at(sigmas, 10.25) == doctest::Approx(0.75 * sigmas[10] + 0.25 * sigmas[11]));
  for (const double t : {0.0, 1.0, 250.0, 998.0, 999.0})
    CHECK(timestep_of(sigmas, sigma_at(sigmas, t)) == doctest::Approx(t));
  CHECK(timestep_of(sigmas, std::sqrt(sigmas[10] * sigmas[11])) == doctest::Approx(10.5).epsilon(1e-4));
  CHECK(timestep_of(sigmas, 1e-5) == 0);
  CHECK(timestep_of(sigmas, 1e5) == 999);
}

TEST_CASE("k-diffusion's time steps between the training's") {
  const SafetensorsFile file = SafetensorsFile::open(reference_path("samplers_kdiffusion.safetensors"));
  const std::vector<float> sigmas = NoiseSchedule(stable_diffusion_betas()).sigmas();
  const std::vector<float> asked = file.at("denoiser/in/sigmas").to_floats();
  const std::vector<float> expected = file.at("denoiser/out/t").to_floats();
  for (size_t i = 0; i < asked.size(); ++i)
    CHECK(std::fabs(timestep_of(sigmas, asked[i]) - expected[i]) < 2e-3);
}

TEST_CASE("Karras et al. 2022, eq. 5") {
  const std::vector<double> sigmas = karras_sigmas(0.1, 10, 5);
  REQUIRE(sigmas.size() == 5);
  CHECK(sigmas.front() == doctest::Approx(10));
  CHECK(sigmas.back() == doctest::Approx(0.1));
  const double middle = (std::pow(10, 1 / 7.0) + std::pow(0.1, 1 / 7.0)) / 2;
  CHECK(sigmas[2] == doctest::Approx(std::pow(middle, 7)));
  CHECK(karras_sigmas(0.1, 10, 1).front() == doctest::Approx(10));
}

TEST_CASE("what the model predicts: eps and v stand for the same x0") {
  const Tensor x0 = random_tensor({2, 4, 3, 5}, 1), eps = random_tensor({2, 4, 3, 5}, 2);
  for (const float ab : {0.999F, 0.5F, 0.01F}) {
    const Tensor x_t = add_noise(x0, eps, ab);
    CHECK_CLOSE(from_eps(x_t, eps, ab).x0, x0, 1e-5);
    const Tensor v = velocity(x0, eps, ab);
    CHECK_CLOSE(from_v(x_t, v, ab).x0, x0, 1e-6);
    CHECK_CLOSE(from_v(x_t, v, ab).eps, eps, 1e-6);
    CHECK_DIFFERS(from_eps(x_t, v, ab).x0, x0, 2e-3);  // v taken as eps
  }
}

TEST_CASE("impossible schedules are refused") {
  SchedulerConfig config = stable_diffusion_betas();
  SUBCASE("no training time steps") { config.num_train_timesteps = 0; }
  SUBCASE("a beta of 0") { config.beta_start = 0; }
  SUBCASE("a beta above 1") { config.beta_end = 1.5; }
  SUBCASE("a beta that is no number") { config.beta_end = NAN; }
  SUBCASE("as many trained betas as there are not time steps") { config.trained_betas = {0.1F, 0.2F}; }
  SUBCASE("one time step, to be rescaled") {
    config.num_train_timesteps = 1;
    config.rescale_betas_zero_snr = true;
  }
  CHECK_THROWS_AS(NoiseSchedule{config}, Error);
}

TEST_CASE("names in scheduler_config.json") {
  CHECK(beta_schedule_named("scaled_linear") == BetaSchedule::scaled_linear);
  CHECK(prediction_type_named("v_prediction") == PredictionType::v_prediction);
  CHECK(timestep_spacing_named("trailing") == TimestepSpacing::trailing);
  CHECK(variance_type_named("fixed_large") == VarianceType::fixed_large);
  CHECK(final_sigma_named("sigma_min") == FinalSigma::sigma_min);
  CHECK_THROWS_WITH_AS(
      prediction_type_named("sample"),
      "prediction_type is 'sample': a model that predicts the picture itself is not supported, "
      "only one that predicts epsilon or v_prediction",
      Error);
  CHECK_THROWS_WITH_AS(
      beta_schedule_named("sigmoid"),
      "beta_schedule is 'sigmoid', but must be one of linear, scaled_linear, squaredcos_cap_v2", Error);
  SchedulerConfig config;
  config.num_train_timesteps = 2;
  config.trained_betas = {0.25F, 0.5F};
  CHECK(NoiseSchedule(config).alphas_cumprod == std::vector<float>{0.75F, 0.375F});
}

}  // namespace cutaway::test
