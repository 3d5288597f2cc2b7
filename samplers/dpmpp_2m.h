// DPM-Solver++(2M): second order, with the previous step's prediction as its second point
// (Lu et al. 2022, arXiv 2211.01095, algorithm 2).   Doc: docs/samplers.md#dpmpp_2m
#pragma once

#include "samplers/run.h"

namespace cutaway {

/// x = alpha x0 + sigma eps. The paper's alpha and sigma are sqrt(ab) and sqrt(1 - ab) of DDPM; with alpha 1
/// and sigma sqrt((1 - ab) / ab) the same equations serve x in the scale of Karras et al.
struct Level {
  double alpha;
  double sigma;
  /// Half the log of the signal-to-noise ratio: infinite when there is no noise.
  double lambda() const { return std::log(alpha / sigma); }
};

/// The level before step i of a plan, or after the last, in the plan's scale.
inline Level level(const Plan& plan, size_t i) {
  const double sigma = plan.sigmas[i];
  if (plan.variance == Variance::exploding) return {.alpha = 1, .sigma = sigma};
  const double ab = 1 / (1 + sigma * sigma);
  return {.alpha = std::sqrt(ab), .sigma = sigma * std::sqrt(ab)};
}

// One step from level s to the lower level t.                                             eq. 14, k = 1
//   h   = lambda_t - lambda_s
//   x_t = sigma_t / sigma_s x_s - alpha_t (exp(-h) - 1) x0

/// First order. x0 is what the model sees in x_s.
inline Tensor dpmpp_1_step(const Tensor& x_s, const Tensor& x0, Level s, Level t) {
  const double h = t.lambda() - s.lambda();
  return sub(scale(x_s, static_cast<float>(t.sigma / s.sigma)),
             scale(x0, static_cast<float>(t.alpha * std::expm1(-h))));
}

// The same with x0 carried on half a step along the line through this and the previous prediction.
//                                                                                         algorithm 2
//   r   = (lambda_s - lambda_before) / h
//   D   = (1 + 1 / (2 r)) x0 - 1 / (2 r) x0_before
//   x_t = sigma_t / sigma_s x_s - alpha_t (exp(-h) - 1) D

/// Second order. x0_before is what the model saw a step earlier, at the level `before`.
inline Tensor dpmpp_2m_step(const Tensor& x_s, const Tensor& x0, const Tensor& x0_before, Level before,
                            Level s, Level t) {
  const double r = (s.lambda() - before.lambda()) / (t.lambda() - s.lambda());
  const Tensor d = add(x0, scale(sub(x0, x0_before), static_cast<float>(1 / (2 * r))));
  return dpmpp_1_step(x_s, d, s, t);
}

/// From x, noise of standard deviation plan.init_noise_sigma. The first step, and the last one where
/// plan.first_order_last says so, are of first order. Draws no noise.
inline Tensor sample_dpmpp_2m(const Run& run, Tensor x) {
  const Plan& plan = run.plan;
  Tensor x0_before;
  for (size_t i = 0; i < run.steps(); ++i) {
    const Tensor x0 = ask(run, i, x).x0;
    const Level s = level(plan, i), t = level(plan, i + 1);
    const bool last = i + 1 == run.steps();
    if (i == 0 || (last && plan.first_order_last)) {
      x = dpmpp_1_step(x, x0, s, t);
    } else {
      x = dpmpp_2m_step(x, x0, x0_before, level(plan, i - 1), s, t);
    }
    x0_before = x0;
    x = told(run, i, x0, x);
  }
  return x;
}

}  // namespace cutaway
