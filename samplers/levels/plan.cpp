#include "samplers/levels/plan.h"

#include <cmath>
#include <string>

#include "tensor/error.h"

namespace cutaway {
namespace {

// ab = 1 / (1 + sigma^2)
double alpha_bar_of(double sigma) { return 1 / (1 + sigma * sigma); }

// Steps from sigmas[i] to sigmas[i + 1]. Only the last may stay where it is: final_sigmas_type sigma_min
// after Karras spacing, which has just arrived there.
void follow_sigmas(Plan& plan, const std::vector<float>& sigmas) {
  for (size_t i = 0; i + 1 < sigmas.size(); ++i) {
    const bool stays = i + 2 == sigmas.size() && std::fabs(sigmas[i + 1] - sigmas[i]) <= 1e-6F * sigmas[i];
    const bool falls = sigmas[i + 1] < sigmas[i] && sigmas[i + 1] >= 0 && std::isfinite(sigmas[i]);
    if (!(falls || (stays && sigmas[i] > 0))) {
      throw Error("the noise level must fall with every step, but step " + std::to_string(i + 1) + " of " +
                  std::to_string(sigmas.size() - 1) + " goes from " + std::to_string(sigmas[i]) + " to " +
                  std::to_string(sigmas[i + 1]) + ": take fewer steps or another timestep_spacing");
    }
    plan.alpha_bars.push_back(alpha_bar_of(sigmas[i]));
    plan.alpha_bars_to.push_back(alpha_bar_of(sigmas[i + 1]));
  }
  plan.sigmas = sigmas;
}

// ddim, ddpm: whole training time steps, each going num_train_timesteps / steps down.
// ab_end: the last step leads there.
Plan plan_whole_timesteps(const SchedulerConfig& config, int steps, float ab_end) {
  Plan plan;
  plan.prediction_type = config.prediction_type;
  const NoiseSchedule schedule(config);
  const TimestepSpacing spacing = config.timestep_spacing == TimestepSpacing::by_sampler
                                      ? TimestepSpacing::leading
                                      : config.timestep_spacing;
  for (const double spaced : spaced_timesteps(spacing, schedule.count(), steps, config.steps_offset)) {
    const auto t = static_cast<int64_t>(std::nearbyint(spaced));
    const int64_t t_to = t - schedule.count() / steps;
    plan.timesteps.push_back(static_cast<float>(t));
    plan.alpha_bars.push_back(schedule.alpha_bar(t));
    plan.alpha_bars_to.push_back(t_to >= 0 ? schedule.alpha_bar(t_to) : ab_end);
    if (plan.alpha_bars.back() == 0 && config.prediction_type == PredictionType::epsilon &&
        !config.clip_sample) {
      throw Error(
          "at time step " + std::to_string(t) +
          " there is no picture left in the noise (rescale_betas_zero_snr), so the noise that the model "
          "predicts says nothing about it: only a model of v_prediction can start there");
    }
  }
  if (config.clip_sample) plan.clip_sample_range = static_cast<float>(config.clip_sample_range);
  plan.variance_type = config.variance_type;
  return plan;
}

std::vector<float> schedule_sigmas(const SchedulerConfig& config) {
  NoiseSchedule schedule(config);
  // Where alpha_bar is 0, sigma would be infinite: there it is the smallest number of half precision.
  if (config.rescale_betas_zero_snr) schedule.alphas_cumprod.back() = 0x1p-24F;
  return schedule.sigmas();
}

TimestepSpacing spacing_or_linspace(const SchedulerConfig& config) {
  const TimestepSpacing spacing = config.timestep_spacing;
  return spacing == TimestepSpacing::by_sampler ? TimestepSpacing::linspace : spacing;
}

}  // namespace

Plan plan_ddim(const SchedulerConfig& config, int steps) {
  return plan_whole_timesteps(config, steps,
                              config.set_alpha_to_one ? 1 : NoiseSchedule(config).alpha_bar(0));
}

Plan plan_ddpm(const SchedulerConfig& config, int steps) { return plan_whole_timesteps(config, steps, 1); }

// The last step goes to sigma 0.
Plan plan_euler(const SchedulerConfig& config, int steps) {
  Plan plan;
  plan.prediction_type = config.prediction_type;
  const TimestepSpacing spacing = spacing_or_linspace(config);
  const std::vector<float> all = schedule_sigmas(config);
  std::vector<double> sigmas;
  for (const double t : spaced_timesteps(spacing, config.num_train_timesteps, steps, config.steps_offset)) {
    plan.timesteps.push_back(static_cast<float>(t));
    sigmas.push_back(sigma_at(all, plan.timesteps.back()));
  }
  if (config.use_karras_sigmas) {
    sigmas = karras_sigmas(sigmas.back(), sigmas.front(), steps);
    for (size_t i = 0; i < sigmas.size(); ++i)
      plan.timesteps[i] = static_cast<float>(timestep_of(all, sigmas[i]));
  }
  std::vector<float> levels(sigmas.begin(), sigmas.end());
  levels.push_back(0);
  follow_sigmas(plan, levels);
  plan.variance = Variance::exploding;
  const float sigma = levels.front();
  plan.init_noise_sigma = spacing == TimestepSpacing::leading ? std::sqrt(sigma * sigma + 1) : sigma;
  return plan;
}

// Without Karras spacing, whatever the config says.
Plan plan_euler_ancestral(const SchedulerConfig& config, int steps) {
  SchedulerConfig plain = config;
  plain.use_karras_sigmas = false;
  return plan_euler(plain, steps);
}

// Whole training time steps; the last of steps + 1 is left out, the run ends at final_sigmas_type.
Plan plan_dpmpp_2m(const SchedulerConfig& config, int steps) {
  Plan plan;
  plan.prediction_type = config.prediction_type;
  const TimestepSpacing spacing = spacing_or_linspace(config);
  const std::vector<float> all = schedule_sigmas(config);
  const int64_t points = spacing == TimestepSpacing::trailing ? steps : steps + 1;
  std::vector<double> sigmas;
  if (config.use_karras_sigmas) {
    sigmas = karras_sigmas(all.front(), all.back(), steps);
    for (const double sigma : sigmas)
      plan.timesteps.push_back(static_cast<float>(std::nearbyint(timestep_of(all, sigma))));
  } else {
    std::vector<double> timesteps =
        spaced_timesteps(spacing, config.num_train_timesteps, points, config.steps_offset);
    timesteps.resize(static_cast<size_t>(steps));
    for (const double t : timesteps) {
      plan.timesteps.push_back(static_cast<float>(std::nearbyint(t)));
      sigmas.push_back(sigma_at(all, plan.timesteps.back()));
    }
  }
  std::vector<float> levels(sigmas.begin(), sigmas.end());
  levels.push_back(config.final_sigmas_type == FinalSigma::zero ? 0 : all.front());
  follow_sigmas(plan, levels);
  plan.first_order_last = config.euler_at_final || (config.lower_order_final && steps < 15) ||
                          config.final_sigmas_type == FinalSigma::zero;
  return plan;
}

Plan plan_for_sigmas(const NoiseSchedule& schedule, PredictionType prediction_type,
                     const std::vector<float>& sigmas) {
  if (sigmas.size() < 2) {
    throw Error("a run needs at least two noise levels, one to start from and one to end at, but there are " +
                std::to_string(sigmas.size()));
  }
  Plan plan;
  plan.prediction_type = prediction_type;
  plan.variance = Variance::exploding;
  plan.init_noise_sigma = sigmas.front();
  follow_sigmas(plan, sigmas);
  const std::vector<float> all = schedule.sigmas();
  for (size_t i = 0; i + 1 < sigmas.size(); ++i)
    plan.timesteps.push_back(static_cast<float>(timestep_of(all, sigmas[i])));
  plan.first_order_last = sigmas.back() == 0;
  return plan;
}

}  // namespace cutaway
