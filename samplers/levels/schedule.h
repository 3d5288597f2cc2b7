// The noise schedule: how much of the picture is left at each training time step.   Doc: docs/samplers.md
//
// One notation everywhere, that of DDPM (Ho et al. 2020): beta_t, alpha_t = 1 - beta_t, and
//
//   alpha_bar_t = alpha_0 alpha_1 ... alpha_t                                     text above eq. 4
//   x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps,  eps ~ N(0, 1)       eq. 4
//
// In code `ab` is alpha_bar. Other papers measure the same level by sigma = sqrt((1 - ab) / ab).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace cutaway {

/// How beta grows with t. scaled_linear: sqrt(beta) is linear (Rombach et al. 2022).
/// squaredcos_cap_v2: alpha_bar follows a squared cosine (Nichol & Dhariwal 2021, eq. 17).
enum class BetaSchedule { linear, scaled_linear, squaredcos_cap_v2 };
/// What the model answers: the noise eps, or v = sqrt(ab) eps - sqrt(1 - ab) x0
/// (Salimans & Ho 2022, appendix D).
enum class PredictionType { epsilon, v_prediction };
/// Which of the training time steps are taken (Lin et al. 2023, arXiv 2305.08891, table 2).
/// by_sampler: leading for ddim and ddpm, linspace for the others.
enum class TimestepSpacing { by_sampler, leading, trailing, linspace };
/// The variance of DDPM's steps, section 3.2: fixed_small is beta tilde (eq. 7), fixed_large is beta.
enum class VarianceType { fixed_small, fixed_large };
/// The noise level after the last step of dpmpp_2m: none, or that of training time step 0.
enum class FinalSigma { zero, sigma_min };

/// The value of this name in scheduler_config.json. Throws Error when it is unknown, with the known ones.
BetaSchedule beta_schedule_named(std::string_view name);
PredictionType prediction_type_named(std::string_view name);
TimestepSpacing timestep_spacing_named(std::string_view name);
VarianceType variance_type_named(std::string_view name);
FinalSigma final_sigma_named(std::string_view name);

/// scheduler_config.json of a model folder. The names and the defaults are those of diffusers' DDIMScheduler;
/// Stable Diffusion 1.x itself says scaled_linear from 0.00085 to 0.012, clip_sample false, set_alpha_to_one
/// false, leading with steps_offset 1.
struct SchedulerConfig {
  int64_t num_train_timesteps = 1000;
  double beta_start = 0.0001;
  double beta_end = 0.02;
  BetaSchedule beta_schedule = BetaSchedule::linear;
  std::vector<float> trained_betas;  // if any: one for each training time step, in place of the three above
  bool rescale_betas_zero_snr = false;

  PredictionType prediction_type = PredictionType::epsilon;
  TimestepSpacing timestep_spacing = TimestepSpacing::by_sampler;
  int64_t steps_offset = 0;  // added to the time steps of leading spacing

  bool clip_sample = true;  // ddim, ddpm: the predicted picture is kept within clip_sample_range
  double clip_sample_range = 1;
  bool set_alpha_to_one = true;  // ddim: the last step goes to alpha_bar 1, else to alpha_bar_0
  VarianceType variance_type = VarianceType::fixed_small;  // ddpm

  bool use_karras_sigmas = false;  // euler, dpmpp_2m
  bool lower_order_final = true;   // dpmpp_2m: the last step is of first order when there are fewer than 15
  bool euler_at_final = false;     // dpmpp_2m: the last step is of first order always
  FinalSigma final_sigmas_type = FinalSigma::zero;  // dpmpp_2m
};

/// beta and alpha_bar for every training time step,
/// the same float32 bits that PyTorch computes for 1000 of them.
struct NoiseSchedule {
  std::vector<float> betas;
  std::vector<float> alphas_cumprod;  // alpha_bar

  /// Throws Error when a beta is not in (0, 1), or trained_betas has another length than num_train_timesteps.
  explicit NoiseSchedule(const SchedulerConfig& config);

  int64_t count() const { return static_cast<int64_t>(betas.size()); }
  float alpha_bar(int64_t t) const { return alphas_cumprod.at(static_cast<size_t>(t)); }
  /// sqrt((1 - ab) / ab) for every training time step, growing.
  std::vector<float> sigmas() const;
};

/// Betas changed so that alpha_bar ends at exactly 0: the last x_t is pure noise.
/// (Lin et al. 2023, algorithm 1)
std::vector<float> rescaled_to_zero_snr(const std::vector<float>& betas);

/// `steps` of the time steps 0 to train_steps - 1, falling. linspace is not rounded.
/// Throws Error when a time step lies outside the training's.
std::vector<double> spaced_timesteps(TimestepSpacing spacing, int64_t train_steps, int64_t steps,
                                     int64_t offset);

/// sigma at a time step between two training time steps: a straight line between their sigmas.
double sigma_at(const std::vector<float>& sigmas, double t);

/// The time step, not an integer, at which the schedule has this sigma: a straight line between log sigmas.
/// Clamped to the training's time steps.
double timestep_of(const std::vector<float>& sigmas, double sigma);

/// n noise levels from sigma_max down to sigma_min, evenly spaced in sigma^(1/7).
/// (Karras et al. 2022, eq. 5, rho = 7)
std::vector<double> karras_sigmas(double sigma_min, double sigma_max, int64_t n);

/// The forward process, eq. 4: sqrt(ab) x0 + sqrt(1 - ab) eps.
Tensor add_noise(const Tensor& x0, const Tensor& eps, float ab);

/// v of x0 and eps: sqrt(ab) eps - sqrt(1 - ab) x0.
Tensor velocity(const Tensor& x0, const Tensor& eps, float ab);

}  // namespace cutaway
