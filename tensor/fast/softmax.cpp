// The trick: a row is read for its maximum, then exp and sum are done in one go by vectors, then it is scaled
// while it is still in the cache.
#include "tensor/fast/softmax.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "tensor/fast/ops.h"
#include "tensor/fast/parallel.h"
#include "tensor/fast/simd.h"
#include "tensor/fast/vector_math.h"

namespace cutaway::fast {
namespace {

constexpr int64_t stretch = 512;

template <int width>
CUTAWAY_INLINE void softmax_row_body(const float* x, float* y, int64_t count) {
  using S = Simd<width>;
  using Vec = typename S::Vec;
  constexpr float lowest = -std::numeric_limits<float>::infinity();
  const int64_t whole = count / width * width;
  Vec largest, v, sums = {};
  Math<width>::fill(largest, lowest);
  for (int64_t i = 0; i < whole; i += width) {
    S::load(v, x + i);
    largest = v > largest ? v : largest;
  }
  S::load_some(v, x + whole, count - whole, lowest);
  largest = v > largest ? v : largest;
  const float row_largest = S::largest(largest);

  double total = 0;  // float32 sums run over short stretches only
  for (int64_t begin = 0; begin < whole; begin += stretch) {
    const int64_t end = std::min(begin + stretch, whole);
    for (int64_t i = begin; i < end; i += width) {
      S::load(v, x + i);
      v -= row_largest;
      Math<width>::exp(v);
      sums += v;
      S::store(v, y + i);
    }
    total += S::sum(sums);
    sums = Vec{};
  }
  if (whole < count) {
    S::load_some(v, x + whole, count - whole, lowest);
    v -= row_largest;
    Math<width>::exp(v);
    sums += v;
    S::store_some(v, y + whole, count - whole);
  }
  const auto factor = static_cast<float>(1 / (total + S::sum(sums)));
  for (int64_t i = 0; i < count; ++i) y[i] *= factor;
}

}  // namespace

CUTAWAY_LADDER(softmax_row, (const float* x, float* y, int64_t count), (x, y, count))

Tensor softmax(const Tensor& x, int axis) {
  const int64_t extent = x.shape()[axis];
  int64_t inner = 1;
  for (int later = axis + 1; later < x.shape().rank(); ++later) inner *= x.shape()[later];
  Tensor result(x.shape());
  float* const y = result.mutable_data();
  in_pieces(x.count() / extent, x.count(), [&](int64_t begin, int64_t end) {
    std::vector<float> line(static_cast<size_t>(inner > 1 ? extent : 0));
    for (int64_t l = begin; l < end; ++l) {
      if (inner == 1) {
        softmax_row(x.data() + l * extent, y + l * extent, extent);
        continue;
      }
      const int64_t start =
          l / inner * extent * inner + l % inner;  // numbers `inner` apart, put side by side
      for (int64_t k = 0; k < extent; ++k) line[static_cast<size_t>(k)] = x.data()[start + k * inner];
      softmax_row(line.data(), line.data(), extent);
      for (int64_t k = 0; k < extent; ++k) y[start + k * inner] = line[static_cast<size_t>(k)];
    }
  });
  return result;
}

}  // namespace cutaway::fast
