// No trick is needed for the few numbers here: rows of the table are converted by vectors, and the waves are
// computed as in tensor/ref, where the order of roundings belongs to the definition.
#include <cmath>

#include "tensor/fast/ops.h"
#include "tensor/fast/read_weight.h"
#include "tensor/memory.h"

namespace cutaway::fast {

Tensor embedding(const TokenIds& ids, const Weight& weight) {
  const int64_t channels = weight.shape[1];
  Tensor result({ids.batch, ids.length, channels});
  if (in_dry_run()) return result;
  float* y = result.mutable_data();
  for (const int64_t id : ids.ids) {
    read_weight(weight, id * channels, channels, y);
    y += channels;
  }
  return result;
}

Tensor timestep_embedding(std::span<const float> t, int64_t dim, const TimestepOptions& options) {
  const auto images = static_cast<int64_t>(t.size());
  const int64_t half = dim / 2;
  const float log_period = std::log(options.max_period);
  Tensor result({images, dim});
  float* const y = result.mutable_data();
  for (int64_t i = 0; i < half; ++i) {
    const float exponent =
        -log_period * static_cast<float>(i) / (static_cast<float>(half) - options.freq_shift);
    const float frequency = std::exp(exponent);  // the same for every image
    for (int64_t n = 0; n < images; ++n) {
      const float angle = t[static_cast<size_t>(n)] * frequency;
      y[n * dim + (options.cos_first ? i : half + i)] = std::cos(angle);
      y[n * dim + (options.cos_first ? half + i : i)] = std::sin(angle);
    }
  }
  for (int64_t n = 0; dim % 2 == 1 && n < images; ++n) y[n * dim + dim - 1] = 0;
  return result;
}

}  // namespace cutaway::fast
