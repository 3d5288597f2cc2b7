// The trick: two passes over numbers that stay in the cache, by vectors. Sums run in float32 over short
// stretches only and then go on in double, and the first value is taken from every value before it is summed:
// numbers far from 0 keep their digits without a double for each of them.
#include <algorithm>
#include <cmath>

#include "tensor/fast/ops.h"
#include "tensor/fast/parallel.h"
#include "tensor/fast/read_weight.h"
#include "tensor/fast/simd.h"

namespace cutaway::fast {
namespace {

constexpr int64_t stretch = 512;  // numbers summed in float32

// *result = sum of (x[i] - centre), or of its square. x[i] - centre is taken in two steps, so that the centre
// may have more digits than a float.
template <int width>
CUTAWAY_INLINE void sum_around_body(const float* x, int64_t count, double centre, bool squared,
                                    double* result) {
  using S = Simd<width>;
  const auto centre_high = static_cast<float>(centre);
  const auto centre_low = static_cast<float>(centre - centre_high);
  double total = 0;
  for (int64_t begin = 0; begin < count; begin += stretch) {
    const int64_t end = std::min(begin + stretch, count), whole = begin + (end - begin) / width * width;
    typename S::Vec sums = {}, v;
    for (int64_t i = begin; i < whole; i += width) {
      S::load(v, x + i);
      v = (v - centre_high) - centre_low;
      sums += squared ? v * v : v;
    }
    total += S::sum(sums);
    for (int64_t i = whole; i < end; ++i) {
      const double d = x[i] - centre;
      total += squared ? d * d : d;
    }
  }
  *result = total;
}
CUTAWAY_LADDER(sum_around, (const float* x, int64_t count, double centre, bool squared, double* result),
               (x, count, centre, squared, result))

struct Moments {
  double mean, variance;
};

Moments moments(const float* x, int64_t count) {
  double sum = 0, squares = 0;
  sum_around(x, count, x[0], false, &sum);
  const double mean = x[0] + sum / static_cast<double>(count);
  sum_around(x, count, mean, true, &squares);
  return {mean, squares / static_cast<double>(count)};
}

// y = (x - mean) * factor + shift
void normalise(const float* x, float* y, int64_t count, double mean, float factor, float shift) {
  const auto mean_high = static_cast<float>(mean);
  const auto mean_low = static_cast<float>(mean - mean_high);
  for (int64_t i = 0; i < count; ++i) y[i] = ((x[i] - mean_high) - mean_low) * factor + shift;
}

}  // namespace

Tensor group_norm(const Tensor& x, const Weight& weight, const Weight& bias, int64_t groups, float eps) {
  const int64_t images = x.shape()[0], channels = x.shape()[1];
  const int64_t pixels = x.count() / (images * channels), channels_per_group = channels / groups;
  const WeightValues w = weight.f32(), b = bias.f32();
  Tensor result(x.shape());
  float* const y = result.mutable_data();
  in_pieces(images * groups, 2 * x.count(), [&](int64_t begin, int64_t end) {
    for (int64_t group = begin; group < end; ++group) {
      const int64_t start = group * channels_per_group * pixels;
      const Moments m = moments(x.data() + start, channels_per_group * pixels);
      const double inverse_std = 1 / std::sqrt(m.variance + eps);
      for (int64_t i = 0; i < channels_per_group; ++i) {
        const int64_t c = group % groups * channels_per_group + i, at = start + i * pixels;
        normalise(x.data() + at, y + at, pixels, m.mean, static_cast<float>(inverse_std * w[c]), b[c]);
      }
    }
  });
  return result;
}

Tensor layer_norm(const Tensor& x, const Weight& weight, const Weight& bias, float eps) {
  const int64_t channels = x.shape()[-1], rows = x.count() / channels;
  const WeightValues w_values = weight.f32(), b_values = bias.f32();
  const float *const w = w_values.data(), *const b = b_values.data();
  Tensor result(x.shape());
  float* const y = result.mutable_data();
  in_pieces(rows, 2 * x.count(), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* const from = x.data() + r * channels;
      float* const to = y + r * channels;
      const Moments m = moments(from, channels);
      const auto inverse_std = static_cast<float>(1 / std::sqrt(m.variance + eps));
      const auto mean_high = static_cast<float>(m.mean);
      const auto mean_low = static_cast<float>(m.mean - mean_high);
      for (int64_t c = 0; c < channels; ++c) {
        to[c] = ((from[c] - mean_high) - mean_low) * inverse_std * w[c] + b[c];
      }
    }
  });
  return result;
}

Tensor batch_norm(const Tensor& x, const Weight& weight, const Weight& bias, const Weight& running_mean,
                  const Weight& running_var, float eps) {
  const int64_t images = x.shape()[0], channels = x.shape()[1], pixels = x.count() / (images * channels);
  const WeightValues w = weight.f32(), b = bias.f32(), mean = running_mean.f32(),
                     variance = running_var.f32();
  Tensor result(x.shape());
  float* const y = result.mutable_data();
  in_pieces(images * channels, x.count(), [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) {
      const int64_t c = plane % channels, at = plane * pixels;
      const double inverse_std = 1 / std::sqrt(static_cast<double>(variance[c]) + eps);
      normalise(x.data() + at, y + at, pixels, mean[c], static_cast<float>(inverse_std * w[c]), b[c]);
    }
  });
  return result;
}

}  // namespace cutaway::fast
