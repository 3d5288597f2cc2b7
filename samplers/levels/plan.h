// samplers/levels/: which noise levels a run visits.
//
// Plan: everything about a run that is known before the model is asked.   Doc: docs/samplers.md
#pragma once

#include <optional>
#include <vector>

#include "samplers/levels/schedule.h"

namespace cutaway {

/// The scale that a sampler keeps its latent x in, at noise level ab:
/// preserving:  x = sqrt(ab) x0 + sqrt(1 - ab) eps, of variance 1 throughout (DDPM, DDIM, DPM-Solver++);
/// exploding:   x = x0 + sigma eps, sigma = sqrt((1 - ab) / ab)              (Karras et al. 2022).
/// The one is the other times sqrt(ab). (Song et al. 2021, "VP" and "VE")
enum class Variance { preserving, exploding };

/// Numbers, no code: they can be printed, and compared with those of another implementation.
struct Plan {
  std::vector<float> timesteps;       // what the model is asked at, one for each step
  std::vector<double> alpha_bars;     // ab at each step
  std::vector<double> alpha_bars_to;  // the ab that the step leads to
  std::vector<float> sigmas;   // sqrt((1 - ab) / ab) at each step and after the last; empty for ddim and ddpm
  float init_noise_sigma = 1;  // the standard deviation of the noise that the run starts from

  Variance variance = Variance::preserving;
  PredictionType prediction_type = PredictionType::epsilon;
  std::optional<float> clip_sample_range;  // ddim, ddpm: x0 is kept within plus and minus this
  VarianceType variance_type = VarianceType::fixed_small;  // ddpm
  bool first_order_last = false;                           // dpmpp_2m

  int count() const { return static_cast<int>(timesteps.size()); }
};

/// How diffusers' schedulers walk: each plan is that of the scheduler of the name, made with this config, and
/// steps is from 1 to num_train_timesteps. They throw Error when the config's schedule cannot be walked in so
/// many steps.
Plan plan_ddim(const SchedulerConfig& config, int steps);
Plan plan_ddpm(const SchedulerConfig& config, int steps);
Plan plan_euler(const SchedulerConfig& config, int steps);
Plan plan_euler_ancestral(const SchedulerConfig& config, int steps);
Plan plan_dpmpp_2m(const SchedulerConfig& config, int steps);

/// The plan of k-diffusion, for given noise levels that fall from sigmas[0], the last of which may be 0. The
/// latent is kept as x0 + sigma eps; time steps lie on straight lines between log sigmas. Throws Error when
/// they do not fall.
Plan plan_for_sigmas(const NoiseSchedule& schedule, PredictionType prediction_type,
                     const std::vector<float>& sigmas);

}  // namespace cutaway
