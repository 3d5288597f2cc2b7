// From what the model predicts to the picture and the noise that it stands for.   Doc: docs/samplers.md
#pragma once

#include <cmath>

#include "samplers/levels/schedule.h"
#include "tensor/ops.h"

namespace cutaway {

/// The two parts of x_t = sqrt(ab) x0 + sqrt(1 - ab) eps, as the model sees them.
struct Prediction {
  Tensor x0;   // the picture without noise
  Tensor eps;  // the noise
};

/// The model predicts the noise (DDPM eq. 15, DDIM eq. 9):
///   x0 = (x_t - sqrt(1 - ab) eps) / sqrt(ab)
inline Prediction from_eps(const Tensor& x_t, const Tensor& eps, double ab) {
  const auto signal = static_cast<float>(std::sqrt(ab)), noise = static_cast<float>(std::sqrt(1 - ab));
  return {.x0 = scale(sub(x_t, scale(eps, noise)), 1 / signal), .eps = eps};
}

/// The model predicts v = sqrt(ab) eps - sqrt(1 - ab) x0 (Salimans & Ho 2022, appendix D). With x_t it is a
/// rotation of (x0, eps), and turning back gives
///   x0  = sqrt(ab) x_t - sqrt(1 - ab) v
///   eps = sqrt(1 - ab) x_t + sqrt(ab) v
inline Prediction from_v(const Tensor& x_t, const Tensor& v, double ab) {
  const auto signal = static_cast<float>(std::sqrt(ab)), noise = static_cast<float>(std::sqrt(1 - ab));
  return {.x0 = sub(scale(x_t, signal), scale(v, noise)), .eps = add(scale(x_t, noise), scale(v, signal))};
}

/// x0 and eps of what the model answered for x_t, as its type says. All are [N, C, H, W].
inline Prediction predicted(PredictionType type, const Tensor& x_t, const Tensor& output, double ab) {
  return type == PredictionType::epsilon ? from_eps(x_t, output, ab) : from_v(x_t, output, ab);
}

}  // namespace cutaway
