// Numbers that stand for tokens and for time steps, reference version.
#include <cmath>

#include "tensor/ref/ops.h"

namespace cutaway::ref {

// y[n, t] = row ids[n, t] of the table
Tensor embedding(const TokenIds& ids, const Weight& weight) {
  const int64_t channels = weight.shape[1];
  Tensor result({ids.batch, ids.length, channels});
  float* y = result.mutable_data();
  for (int64_t i = 0; i < ids.batch * ids.length; ++i) {
    const int64_t id = ids.ids[static_cast<size_t>(i)];
    weight.read(id * channels, channels, y + i * channels);  // only the rows that are needed
  }
  return result;
}

// frequency[i] = max_period^(-i / (half - freq_shift)), angle = t frequency[i], then cosines and sines by
// halves, and a zero where dim is odd. All in float32 and in this order, as the originals have it: at t =
// 1000 the rounding of the angle alone is 6e-5, and it is part of what the networks were trained with.
Tensor timestep_embedding(std::span<const float> t, int64_t dim, const TimestepOptions& options) {
  const auto images = static_cast<int64_t>(t.size());
  const int64_t half = dim / 2;
  const float log_period = std::log(options.max_period);
  const int64_t cos_start = options.cos_first ? 0 : half;
  const int64_t sin_start = options.cos_first ? half : 0;
  Tensor result({images, dim});
  float* y = result.mutable_data();
  for (int64_t n = 0; n < images; ++n) {
    for (int64_t i = 0; i < half; ++i) {
      const float exponent =
          -log_period * static_cast<float>(i) / (static_cast<float>(half) - options.freq_shift);
      const float angle = t[static_cast<size_t>(n)] * std::exp(exponent);
      y[n * dim + cos_start + i] = std::cos(angle);
      y[n * dim + sin_start + i] = std::sin(angle);
    }
    if (dim % 2 == 1) y[n * dim + dim - 1] = 0;
  }
  return result;
}

}  // namespace cutaway::ref
