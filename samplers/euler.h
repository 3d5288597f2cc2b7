// Euler's method (Karras et al. 2022, arXiv 2206.00364, algorithm 2 without churn).
// Doc: docs/samplers.md#euler
#pragma once

#include "samplers/run.h"

namespace cutaway {

// Here x = x0 + sigma eps, that is x_t / sqrt(ab), with sigma = sqrt((1 - ab) / ab). As sigma shrinks, x
// moves along dx/dsigma = (x - x0) / sigma = eps (eq. 4), and one step takes that as constant.
//                                                                              algorithm 2, lines 7, 8
//   d    = (x - x0) / sigma
//   x_to = x + d (sigma_to - sigma)

/// x0 is what the model sees in x.
inline Tensor euler_step(const Tensor& x, const Tensor& x0, double sigma, double sigma_to) {
  const Tensor d = scale(sub(x, x0), static_cast<float>(1 / sigma));
  return add(x, scale(d, static_cast<float>(sigma_to - sigma)));
}

/// From x, noise of standard deviation plan.init_noise_sigma. Draws no noise.
inline Tensor sample_euler(const Run& run, Tensor x) {
  const std::vector<float>& sigmas = run.plan.sigmas;
  for (size_t i = 0; i < run.steps(); ++i) {
    const Tensor x0 = ask(run, i, x).x0;
    x = euler_step(x, x0, sigmas[i], sigmas[i + 1]);
    x = told(run, i, x0, x);
  }
  return x;
}

}  // namespace cutaway
