// Euler's method with fresh noise in every step (K. Crowson's k-diffusion, sample_euler_ancestral).
// Doc: docs/samplers.md#euler_ancestral
#pragma once

#include "samplers/euler.h"
#include "samplers/run.h"

namespace cutaway {

// A step goes down further than it must, to `down`, and noise of standard deviation `up` brings it back to
// sigma_to. This is DDIM eq. 16 with eta = 1, written with sigma for alpha-bar.
//   up^2   = sigma_to^2 (sigma^2 - sigma_to^2) / sigma^2
//   down^2 = sigma_to^2 - up^2
//   x_to   = x + (x - x0) / sigma (down - sigma) + up z

/// The noise level that a step goes down to, and the noise that it adds there.
struct AncestralLevels {
  double down;
  double up;
};

/// How a step from sigma to sigma_to is made of the two.
inline AncestralLevels ancestral_levels(double sigma, double sigma_to) {
  const double up = std::sqrt(sigma_to * sigma_to * (sigma * sigma - sigma_to * sigma_to) / (sigma * sigma));
  return {.down = std::sqrt(sigma_to * sigma_to - up * up), .up = up};
}

/// x0 is what the model sees in x; z is normal noise, and not looked at when sigma_to is 0.
inline Tensor euler_ancestral_step(const Tensor& x, const Tensor& x0, double sigma, double sigma_to,
                                   const Tensor& z) {
  const auto [down, up] = ancestral_levels(sigma, sigma_to);
  Tensor x_to = euler_step(x, x0, sigma, down);
  if (up > 0) x_to = add(x_to, scale(z, static_cast<float>(up)));
  return x_to;
}

/// From x, noise of standard deviation plan.init_noise_sigma. Draws one tensor in every step that does not
/// end at sigma 0.
inline Tensor sample_euler_ancestral(const Run& run, Tensor x) {
  const std::vector<float>& sigmas = run.plan.sigmas;
  for (size_t i = 0; i < run.steps(); ++i) {
    const Tensor x0 = ask(run, i, x).x0;
    const Tensor z = sigmas[i + 1] > 0 ? run.noise(x.shape()) : Tensor();
    x = euler_ancestral_step(x, x0, sigmas[i], sigmas[i + 1], z);
    x = told(run, i, x0, x);
  }
  return x;
}

}  // namespace cutaway
