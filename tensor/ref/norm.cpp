// Normalisation, reference version. The mean first, then the variance around it: in one pass, as E[x^2] -
// E[x]^2, the two large numbers of an input far from 0 would cancel.
#include <cmath>

#include "tensor/ref/ops.h"

namespace cutaway::ref {
namespace {

struct Moments {
  double mean, variance;
};

Moments moments(const float* x, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += x[i];
  const double mean = sum / static_cast<double>(count);
  double squares = 0;
  for (int64_t i = 0; i < count; ++i) squares += (x[i] - mean) * (x[i] - mean);
  return {mean, squares / static_cast<double>(count)};  // biased: over count, not count - 1
}

}  // namespace

// y[n, c, i] = (x[n, c, i] - mean[n, g]) / sqrt(variance[n, g] + eps) * weight[c] + bias[c],
// with g the group of c
Tensor group_norm(const Tensor& x, const Weight& weight, const Weight& bias, int64_t groups, float eps) {
  const int64_t images = x.shape()[0], channels = x.shape()[1];
  const int64_t pixels = x.count() / (images * channels), channels_per_group = channels / groups;
  const WeightValues w = weight.f32(), b = bias.f32();
  Tensor result(x.shape());
  float* y = result.mutable_data();
  for (int64_t n = 0; n < images; ++n) {
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t first_channel = g * channels_per_group;
      const int64_t group_start = (n * channels + first_channel) * pixels;
      const Moments m = moments(x.data() + group_start, channels_per_group * pixels);
      const double inverse_std = 1 / std::sqrt(m.variance + eps);
      for (int64_t c = first_channel; c < first_channel + channels_per_group; ++c) {
        for (int64_t i = 0; i < pixels; ++i) {
          const int64_t at = (n * channels + c) * pixels + i;
          y[at] = static_cast<float>((x.data()[at] - m.mean) * inverse_std * w[c] + b[c]);
        }
      }
    }
  }
  return result;
}

// y[r, c] = (x[r, c] - mean[r]) / sqrt(variance[r] + eps) * weight[c] + bias[c]
Tensor layer_norm(const Tensor& x, const Weight& weight, const Weight& bias, float eps) {
  const int64_t channels = x.shape()[-1], rows = x.count() / channels;
  const WeightValues w = weight.f32(), b = bias.f32();
  Tensor result(x.shape());
  float* y = result.mutable_data();
  for (int64_t r = 0; r < rows; ++r) {
    const float* row = x.data() + r * channels;
    const Moments m = moments(row, channels);
    const double inverse_std = 1 / std::sqrt(m.variance + eps);
    for (int64_t c = 0; c < channels; ++c) {
      y[r * channels + c] = static_cast<float>((row[c] - m.mean) * inverse_std * w[c] + b[c]);
    }
  }
  return result;
}

// y[n, c, i] = (x[n, c, i] - running_mean[c]) / sqrt(running_var[c] + eps) * weight[c] + bias[c]
Tensor batch_norm(const Tensor& x, const Weight& weight, const Weight& bias, const Weight& running_mean,
                  const Weight& running_var, float eps) {
  const int64_t images = x.shape()[0], channels = x.shape()[1], pixels = x.count() / (images * channels);
  const WeightValues w = weight.f32(), b = bias.f32(), mean = running_mean.f32(),
                     variance = running_var.f32();
  Tensor result(x.shape());
  float* y = result.mutable_data();
  for (int64_t n = 0; n < images; ++n) {
    for (int64_t c = 0; c < channels; ++c) {
      const double inverse_std = 1 / std::sqrt(static_cast<double>(variance[c]) + eps);
      for (int64_t i = 0; i < pixels; ++i) {
        const int64_t at = (n * channels + c) * pixels + i;
        y[at] = static_cast<float>((static_cast<double>(x.data()[at]) - mean[c]) * inverse_std * w[c] + b[c]);
      }
    }
  }
  return result;
}

}  // namespace cutaway::ref
