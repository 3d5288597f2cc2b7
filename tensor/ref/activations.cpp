// Activations, reference version: each value by itself, computed in double and rounded once.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "tensor/ref/ops.h"

namespace cutaway::ref {

// v sigmoid(v)
Tensor silu(const Tensor& x) {
  Tensor result(x.shape());
  float* y = result.mutable_data();
  for (int64_t i = 0; i < x.count(); ++i) {
    const double v = x.data()[i];
    y[i] = static_cast<float>(v / (1 + std::exp(-v)));
  }
  return result;
}

// v Phi(v), Phi(v) = (1 + erf(v / sqrt 2)) / 2: the share of a normal distribution below v
Tensor gelu(const Tensor& x) {
  Tensor result(x.shape());
  float* y = result.mutable_data();
  for (int64_t i = 0; i < x.count(); ++i) {
    const double v = x.data()[i];
    y[i] = static_cast<float>(v * 0.5 * (1 + std::erf(v / std::numbers::sqrt2)));
  }
  return result;
}

// v (1 + tanh(sqrt(2 / pi) (v + 0.044715 v^3))) / 2
Tensor gelu_tanh(const Tensor& x) {
  const double slope = std::sqrt(2 / std::numbers::pi);
  Tensor result(x.shape());
  float* y = result.mutable_data();
  for (int64_t i = 0; i < x.count(); ++i) {
    const double v = x.data()[i];
    y[i] = static_cast<float>(v * 0.5 * (1 + std::tanh(slope * (v + 0.044715 * v * v * v))));
  }
  return result;
}

// v sigmoid(1.702 v)
Tensor quick_gelu(const Tensor& x) {
  Tensor result(x.shape());
  float* y = result.mutable_data();
  for (int64_t i = 0; i < x.count(); ++i) {
    const double v = x.data()[i];
    y[i] = static_cast<float>(v / (1 + std::exp(-1.702 * v)));
  }
  return result;
}

Tensor relu(const Tensor& x) {
  Tensor result(x.shape());
  float* y = result.mutable_data();
  for (int64_t i = 0; i < x.count(); ++i) {
    const float v = x.data()[i];
    y[i] = v < 0 ? 0 : v;  // this way round a NaN stays a NaN and can be found
  }
  return result;
}

Tensor leaky_relu(const Tensor& x, float negative_slope) {
  Tensor result(x.shape());
  float* y = result.mutable_data();
  for (int64_t i = 0; i < x.count(); ++i) {
    const float v = x.data()[i];
    y[i] = v < 0 ? negative_slope * v : v;
  }
  return result;
}

// 1 / (1 + e^-v)
Tensor sigmoid(const Tensor& x) {
  Tensor result(x.shape());
  float* y = result.mutable_data();
  for (int64_t i = 0; i < x.count(); ++i) {
    const double v = x.data()[i];
    y[i] = static_cast<float>(1 / (1 + std::exp(-v)));
  }
  return result;
}

Tensor tanh(const Tensor& x) {
  Tensor result(x.shape());
  float* y = result.mutable_data();
  for (int64_t i = 0; i < x.count(); ++i) {
    const double v = x.data()[i];
    y[i] = static_cast<float>(std::tanh(v));
  }
  return result;
}

// log(1 + e^v); above 20 the 1 is lost in rounding and v itself is the answer
Tensor softplus(const Tensor& x) {
  Tensor result(x.shape());
  float* y = result.mutable_data();
  for (int64_t i = 0; i < x.count(); ++i) {
    const double v = x.data()[i];
    y[i] = static_cast<float>(v > 20 ? v : std::log1p(std::exp(v)));
  }
  return result;
}

Tensor exp(const Tensor& x) {
  Tensor result(x.shape());
  float* y = result.mutable_data();
  for (int64_t i = 0; i < x.count(); ++i) {
    const double v = x.data()[i];
    y[i] = static_cast<float>(std::exp(v));
  }
  return result;
}

Tensor clamp(const Tensor& x, float low, float high) {
  Tensor result(x.shape());
  float* y = result.mutable_data();
  for (int64_t i = 0; i < x.count(); ++i) y[i] = std::min(std::max(x.data()[i], low), high);
  return result;
}

// y[r, c] = value * gelu(gate), value = x[r, c] and gate = x[r, d + c]
Tensor geglu(const Tensor& x) {
  const int64_t d = x.shape()[-1] / 2, rows = x.count() / (2 * d);
  Tensor result(x.shape().with(-1, d));
  float* y = result.mutable_data();
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < d; ++c) {
      const double value = x.data()[r * 2 * d + c];
      const double gate = x.data()[r * 2 * d + d + c];
      y[r * d + c] = static_cast<float>(value * gate * 0.5 * (1 + std::erf(gate / std::numbers::sqrt2)));
    }
  }
  return result;
}

}  // namespace cutaway::ref
