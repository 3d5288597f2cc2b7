// Euler's method (Karras et al. 2022, arXiv 2206.00364, algorithm 2 without churn).
// Doc: docs/samplers.md#euler
#pragma once

#include "samplers/levels/plan.h"
#include "samplers/run.h"
#include "tensor/ops.h"

namespace cutaway {

// Here x = x0 + sigma eps, that is x_t / sqrt(ab), with sigma = sqrt((1 - ab) / ab). As sigma shrinks, x
// moves along dx/dsigma = (x - x0) / sigma = eps, and one step takes that as constant.            eq. 4,
// algorithm 2 line 8:
//   d    = (x - x0) / sigma
//   x_to = x + d (sigma_to - sigma)
inline Tensor euler_step(const Tensor& x, const Tensor& x0, double sigma, double sigma_to) {
  const Tensor d = scale(sub(x, x0), static_cast<float>(1 / sigma));
  return add(x, scale(d, static_cast<float>(sigma_to - sigma)));
}

/// A whole run from x, noise of standard deviation plan.init_noise_sigma. Draws no noise.
Tensor sample_euler(const Plan& plan, const Model& model, Tensor x, const OnStep& on_step = {});

}  // namespace cutaway
