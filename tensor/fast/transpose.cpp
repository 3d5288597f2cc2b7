// The trick: a square of 16 x 16 (8 x 8 AVX2, 4 x 4 generic) is turned over in registers. First
// every second number changes places with its neighbour across the diagonal, then every second
// pair, four, eight: after log2(16) rounds each number is where it belongs. Then each row that
// is written is a whole line of the cache.
#include <utility>

#include "tensor/fast/gemm.h"
#include "tensor/fast/simd.h"

namespace cutaway::fast {
namespace {

template <int width>
struct Square {
  using S = Simd<width>;
  using Vec = typename S::Vec;
  using All = std::make_integer_sequence<int, width>;

  // In blocks of `step` lanes: the second block of a and the first block of b change places.
  template <int step, int... i>
  CUTAWAY_INLINE static void swap_blocks(Vec& a, Vec& b, std::integer_sequence<int, i...> /*lanes*/) {
    const Vec before = a;
    a = __builtin_shufflevector(before, b, ((i & step) != 0 ? width + i - step : i)...);
    b = __builtin_shufflevector(before, b, ((i & step) != 0 ? width + i : i + step)...);
  }

  template <int step>
  CUTAWAY_INLINE static void rounds_from(Vec (&row)[width]) {
    if constexpr (step < width) {
      CUTAWAY_UNROLL for (int r = 0; r < width; ++r) {
        if ((r & step) == 0) swap_blocks<step>(row[r], row[r + step], All());
      }
      rounds_from<2 * step>(row);
    }
  }

  CUTAWAY_INLINE static void turn(const float* from, int64_t stride, float* to, int64_t to_stride) {
    Vec row[width];
    CUTAWAY_UNROLL for (int r = 0; r < width; ++r) S::load(row[r], from + r * stride);
    rounds_from<1>(row);
    CUTAWAY_UNROLL for (int r = 0; r < width; ++r) S::store(row[r], to + r * to_stride);
  }
};

// Whole squares; what is left at the right and at the bottom, in smaller ones.
template <int width>
CUTAWAY_INLINE void transpose_body(const float* from, int64_t stride, int64_t rows, int64_t columns,
                                   float* to, int64_t to_stride) {
  const int64_t whole_rows = rows / width * width, whole_columns = columns / width * width;
  for (int64_t j = 0; j < whole_rows; j += width) {
    for (int64_t i = 0; i < whole_columns; i += width) {
      if constexpr (width > 1)
        Square<width>::turn(from + j * stride + i, stride, to + i * to_stride + j, to_stride);
      else
        to[i * to_stride + j] = from[j * stride + i];
    }
  }
  if constexpr (width > 1) {
    constexpr int smaller = width > 4 ? width / 2 : 1;
    if (whole_columns < columns) {
      transpose_body<smaller>(from + whole_columns, stride, whole_rows, columns - whole_columns,
                              to + whole_columns * to_stride, to_stride);
    }
    if (whole_rows < rows) {
      transpose_body<smaller>(from + whole_rows * stride, stride, rows - whole_rows, columns, to + whole_rows,
                              to_stride);
    }
  }
}

}  // namespace

CUTAWAY_LADDER(transpose,
               (const float* from, int64_t stride, int64_t rows, int64_t columns, float* to,
                int64_t to_stride),
               (from, stride, rows, columns, to, to_stride))

}  // namespace cutaway::fast
