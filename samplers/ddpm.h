// DDPM (Ho, Jain & Abbeel 2020, arXiv 2006.11239), also with fewer steps than the training.
// Doc: docs/samplers.md#ddpm
#pragma once

#include "samplers/run.h"

namespace cutaway {

// One step from noise level `ab` to the lower one `ab_to`. A step over several training time steps is one
// step of a coarser chain with alpha = ab / ab_to and beta = 1 - alpha.                   eq. 6, 7
//   mu         = sqrt(ab_to) beta / (1 - ab) x0 + sqrt(alpha) (1 - ab_to) / (1 - ab) x_t
//   beta_tilde = (1 - ab_to) / (1 - ab) beta
//   x_to       = mu + sqrt(variance) z
// variance is beta_tilde (fixed_small) or beta (fixed_large), section 3.2.

/// The variance of the noise that a step adds.
inline double ddpm_variance(VarianceType type, double ab, double ab_to) {
  const double beta = 1 - ab / ab_to;
  return type == VarianceType::fixed_large ? beta : (1 - ab_to) / (1 - ab) * beta;
}

/// mu, where the step leads without its noise.
inline Tensor ddpm_mean(const Tensor& x_t, const Tensor& x0, double ab, double ab_to) {
  const double alpha = ab / ab_to, beta = 1 - alpha;
  const auto of_x0 = static_cast<float>(std::sqrt(ab_to) * beta / (1 - ab));
  const auto of_x_t = static_cast<float>(std::sqrt(alpha) * (1 - ab_to) / (1 - ab));
  return add(scale(x0, of_x0), scale(x_t, of_x_t));
}

/// x0 is what the model sees in x_t; z is normal noise.
inline Tensor ddpm_step(const Tensor& x_t, const Tensor& x0, double ab, double ab_to, VarianceType type,
                        const Tensor& z) {
  const auto sigma = static_cast<float>(std::sqrt(ddpm_variance(type, ab, ab_to)));
  return add(ddpm_mean(x_t, x0, ab, ab_to), scale(z, sigma));
}

/// From x, noise of variance 1. Draws one tensor a step, but none at time step 0 (algorithm 2).
inline Tensor sample_ddpm(const Run& run, Tensor x) {
  const Plan& plan = run.plan;
  for (size_t i = 0; i < run.steps(); ++i) {
    const double ab = plan.alpha_bars[i], ab_to = plan.alpha_bars_to[i];
    Tensor x0 = ask(run, i, x).x0;
    if (const auto range = plan.clip_sample_range) x0 = clamp(x0, -*range, *range);
    if (plan.timesteps[i] > 0) {
      x = ddpm_step(x, x0, ab, ab_to, plan.variance_type, run.noise(x.shape()));
    } else {
      x = ddpm_mean(x, x0, ab, ab_to);
    }
    x = told(run, i, x0, x);
  }
  return x;
}

}  // namespace cutaway
