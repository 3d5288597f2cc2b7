// DPM-Solver++(2M): second order, with the previous step's prediction as its second point
// (Lu et al. 2022, arXiv 2211.01095, algorithm 2).   Doc: docs/samplers.md#dpmpp_2m
#pragma once

#include <cmath>

#include "samplers/levels/plan.h"
#include "samplers/run.h"
#include "tensor/ops.h"

namespace cutaway {

/// x = alpha x0 + sigma eps. The paper's alpha and sigma are sqrt(ab) and sqrt(1 - ab) of DDPM; with alpha 1
/// and sigma sqrt((1 - ab) / ab) the same equations serve x in the scale of Karras et al.
struct Level {
  double alpha;
  double sigma;
  /// Half the log of the signal-to-noise ratio: infinite when there is no noise.
  double lambda() const { return std::log(alpha / sigma); }
};

// One step from level s to the lower level t, h = lambda_t - lambda_s.                    eq. 14, with k = 1:
//   x_t = sigma_t / sigma_s x_s - alpha_t (exp(-h) - 1) x0
inline Tensor dpmpp_1_step(const Tensor& x_s, const Tensor& x0, Level s, Level t) {
  const double h = t.lambda() - s.lambda();
  return sub(scale(x_s, static_cast<float>(t.sigma / s.sigma)),
             scale(x0, static_cast<float>(t.alpha * std::expm1(-h))));
}

// The same with x0 carried on half a step along the line through this
// and the previous prediction. algorithm 2:
//   r   = (lambda_s - lambda_before) / h
//   D   = (1 + 1 / (2 r)) x0 - 1 / (2 r) x0_before
//   x_t = sigma_t / sigma_s x_s - alpha_t (exp(-h) - 1) D
inline Tensor dpmpp_2m_step(const Tensor& x_s, const Tensor& x0, const Tensor& x0_before, Level before,
                            Level s, Level t) {
  const double r = (s.lambda() - before.lambda()) / (t.lambda() - s.lambda());
  const Tensor d = add(x0, scale(sub(x0, x0_before), static_cast<float>(1 / (2 * r))));
  return dpmpp_1_step(x_s, d, s, t);
}

/// A whole run from x, noise of standard deviation plan.init_noise_sigma. The first step, and the last one
/// where plan.first_order_last says so, are of first order. Draws no noise.
Tensor sample_dpmpp_2m(const Plan& plan, const Model& model, Tensor x, const OnStep& on_step = {});

}  // namespace cutaway
