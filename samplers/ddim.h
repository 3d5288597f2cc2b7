// DDIM (Song, Meng & Ermon 2021, arXiv 2010.02502).   Doc: docs/samplers.md#ddim
#pragma once

#include "samplers/run.h"

namespace cutaway {

// One step from noise level `ab` to the lower one `ab_to`, both the alpha-bar of DDPM (the DDIM paper writes
// plain alpha for it).                                                                    eq. 12, 16
//   sigma = eta sqrt((1 - ab_to) / (1 - ab)) sqrt(1 - ab / ab_to)
//   x_to  = sqrt(ab_to) x0 + sqrt(1 - ab_to - sigma^2) eps + sigma z
// eta = 0 is deterministic; eta = 1 is DDPM.

/// sigma of eq. 16: the standard deviation of the noise that a step adds.
inline double ddim_sigma(double ab, double ab_to, double eta) {
  return eta * std::sqrt((1 - ab_to) / (1 - ab)) * std::sqrt(1 - ab / ab_to);
}

/// x0 and eps are what the model sees in x_t; z is normal noise, and not looked at when sigma is 0.
inline Tensor ddim_step(const Prediction& seen, double ab, double ab_to, double eta, const Tensor& z) {
  const double sigma = ddim_sigma(ab, ab_to, eta);
  const auto signal = static_cast<float>(std::sqrt(ab_to));
  const auto direction = static_cast<float>(std::sqrt(std::fmax(1 - ab_to - sigma * sigma, 0)));
  Tensor x_to = add(scale(seen.x0, signal), scale(seen.eps, direction));
  if (sigma > 0) x_to = add(x_to, scale(z, static_cast<float>(sigma)));
  return x_to;
}

/// From x, noise of variance 1. Draws one tensor a step when eta is above 0.
inline Tensor sample_ddim(const Run& run, Tensor x) {
  const Plan& plan = run.plan;
  for (size_t i = 0; i < run.steps(); ++i) {
    Prediction seen = ask(run, i, x);
    if (const auto range = plan.clip_sample_range) seen.x0 = clamp(seen.x0, -*range, *range);
    const Tensor z = run.eta > 0 ? run.noise(x.shape()) : Tensor();
    x = ddim_step(seen, plan.alpha_bars[i], plan.alpha_bars_to[i], run.eta, z);
    x = told(run, i, seen.x0, x);
  }
  return x;
}

}  // namespace cutaway
