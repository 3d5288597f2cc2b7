// The trick: a bfloat16 is the upper half of a float32. Half the bits are half the memory to move, and
// vdpbf16ps takes two of them from each lane: 32 multiply-adds in one instruction, where float32 has 16.
#include "tensor/fast/bf16.h"

#include "tensor/fast/simd.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace cutaway::fast {
namespace {

// The upper half of each number, rounded to nearest, ties to even; NaN stays NaN.
template <int width>
CUTAWAY_INLINE void upper_half(const typename Simd<width>::Vec& v, typename Simd<width>::Bits& half) {
  using Bits = typename Simd<width>::Bits;
  const Bits bits = (Bits)v;
  const Bits rounded = (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
  half = v != v ? (bits >> 16) | 0x40U : rounded;
}

template <int width>
CUTAWAY_INLINE void round_to_bf16_body(float* values, int64_t count) {
  using S = Simd<width>;
  typename S::Vec v;
  typename S::Bits half;
  int64_t i = 0;
  for (; i + width <= count; i += width) {
    S::load(v, values + i);
    upper_half<width>(v, half);
    S::store((typename S::Vec)(half << 16), values + i);
  }
  if (i < count) {
    S::load_some(v, values + i, count - i, 0);
    upper_half<width>(v, half);
    S::store_some((typename S::Vec)(half << 16), values + i, count - i);
  }
}

// Row i is the lower half of each pair, row i + 1 the upper one.
template <int width>
CUTAWAY_INLINE void panel_to_pairs_body(const float* panel, int64_t count, int64_t columns, float* pairs) {
  using S = Simd<width>;
  typename S::Vec v;
  typename S::Bits lower, upper;
  for (int64_t i = 0; i < count; i += 2) {
    for (int64_t j = 0; j < columns; j += width) {
      S::load(v, panel + i * columns + j);
      upper_half<width>(v, lower);
      upper = typename S::Bits{};
      if (i + 1 < count) {
        S::load(v, panel + (i + 1) * columns + j);
        upper_half<width>(v, upper);
      }
      S::store((typename S::Vec)(lower | (upper << 16)), pairs + i / 2 * columns + j);
    }
  }
}

// Neighbours in a row: lanes 0 and 1 become lane 0. Also in place, since a pair never lies behind its floats.
template <int width>
CUTAWAY_INLINE void row_to_pairs_body(const float* row, int64_t count, float* pairs) {
  using S = Simd<width>;
  typename S::Vec v;
  typename S::Bits half;
  int64_t i = 0;
  for (; i < count; i += width) {
    if (i + width <= count)
      S::load(v, row + i);
    else
      S::load_some(v, row + i, count - i, 0);
    upper_half<width>(v, half);
    *reinterpret_cast<typename S::HalfAnywhere*>(pairs + i / 2) =
        __builtin_convertvector(half, typename S::Half);
  }
}

CUTAWAY_LADDER(row_to_pairs, (const float* row, int64_t count, float* pairs), (row, count, pairs))

}  // namespace

CUTAWAY_LADDER(round_to_bf16, (float* values, int64_t count), (values, count))
CUTAWAY_LADDER(panel_to_pairs, (const float* panel, int64_t count, int64_t columns, float* pairs),
               (panel, count, columns, pairs))

void rows_to_pairs(const float* from, int64_t from_stride, int64_t rows, int64_t count, float* pairs,
                   int64_t stride) {
  for (int64_t r = 0; r < rows; ++r) row_to_pairs(from + r * from_stride, count, pairs + r * stride);
}

// ---- The kernel

#ifdef __x86_64__
namespace {

constexpr int rows = 8, width = 16;

// As tile_of in gemm.cpp, but each step takes two terms.
template <int vectors>
[[gnu::target("avx512f,avx512vl,avx512bf16,fma")]] void pairs_tile(const Tile& t) {
  __m512 sum[rows][vectors];
  CUTAWAY_UNROLL for (int r = 0; r < rows; ++r) {
    CUTAWAY_UNROLL for (int v = 0; v < vectors; ++v) sum[r][v] = _mm512_setzero_ps();
  }
  const float *a = t.a, *b = t.b;
  const int64_t b_stride = t.b_stride != 0 ? t.b_stride : vectors * width;
  for (int r = 0; r < rows; ++r) __builtin_prefetch(t.c + r * t.c_stride, 1);
  for (int64_t k = 0; k < t.k; ++k) {
    __m512bh b_k[vectors];
    CUTAWAY_UNROLL for (int v = 0; v < vectors; ++v) b_k[v] = (__m512bh)_mm512_loadu_ps(b + v * width);
    CUTAWAY_UNROLL for (int r = 0; r < rows; ++r) {
      const __m512bh a_rk = (__m512bh)_mm512_set1_ps(a[r * t.a_stride]);
      CUTAWAY_UNROLL for (int v = 0; v < vectors; ++v) sum[r][v] = _mm512_dpbf16_ps(sum[r][v], a_rk, b_k[v]);
    }
    a += 1;
    b += b_stride;
  }
  CUTAWAY_UNROLL for (int r = 0; r < rows; ++r) {
    float* c = t.c + r * t.c_stride;
    CUTAWAY_UNROLL for (int v = 0; v < vectors; ++v) {
      if (t.add) sum[r][v] += _mm512_loadu_ps(c + v * width);
      if (t.row_bias != nullptr) sum[r][v] += _mm512_set1_ps(t.row_bias[r]);
      if (t.column_bias != nullptr) sum[r][v] += _mm512_loadu_ps(t.column_bias + v * width);
      _mm512_storeu_ps(c + v * width, sum[r][v]);
    }
  }
}

}  // namespace

void gemm_tile_bf16(const Tile& t) {
  if (t.vectors == 3) return pairs_tile<3>(t);
  if (t.vectors == 2) return pairs_tile<2>(t);
  pairs_tile<1>(t);
}
#else
void gemm_tile_bf16(const Tile&) {}  // never called: has_bf16_product() is false
#endif

}  // namespace cutaway::fast
