// The trick: a row of m results y_i = d_i g_0 + d_(i+1) g_1 + d_(i+2) g_2 is, read backwards, a product of
// polynomials, and a polynomial is known by its values at m + 2 points. So instead of 3 m products there are
// m + 2: evaluate pixels and weights at the points, multiply value by value, and go back. Twice, along rows
// and columns: (m + 2)^2 products instead of 9 m^2, that is 16 for 36 (m = 2) or 36 for 144 (m = 4).
// (Winograd 1980, "Arithmetic Complexity of Computations"; Lavin & Gray 2016, "Fast Algorithms for
// Convolutional Neural Networks", whose B^T, G and A^T these functions are)
//
// The points are free, and decide how much rounding hurts. For m = 4 those of the paper, 0, +-1, +-2 and
// infinity, lose five times as much as 0, +-1/sqrt(2), +-sqrt(2) and infinity, which lie evenly around 1.
#include "tensor/fast/winograd_transforms.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "tensor/fast/gemm.h"
#include "tensor/fast/simd.h"

namespace cutaway::fast {
namespace {

constexpr float root_half = 0.707106781F, root_two = 1.41421356F;

// ---- Along one line. The two points of a pair +-p share the even and the odd part of their sums.

// B^T d
template <class Vec>
CUTAWAY_INLINE void evaluate_pixels(const Vec (&d)[4], Vec (&v)[4]) {
  v[0] = d[0] - d[2];
  v[1] = d[1] + d[2];
  v[2] = d[2] - d[1];
  v[3] = d[1] - d[3];
}
template <class Vec>
CUTAWAY_INLINE void evaluate_pixels(const Vec (&d)[6], Vec (&v)[6]) {
  const Vec even = d[4] - 2.0F * d[2], odd = root_half * (d[3] - 2.0F * d[1]);
  const Vec even_2 = d[4] - 0.5F * d[2], odd_2 = root_two * (d[3] - 0.5F * d[1]);
  v[0] = (d[0] + d[4]) - 2.5F * d[2];
  v[1] = even + odd;
  v[2] = even - odd;
  v[3] = even_2 + odd_2;
  v[4] = even_2 - odd_2;
  v[5] = (d[1] + d[5]) - 2.5F * d[3];
}

// G g
template <class Vec>
CUTAWAY_INLINE void evaluate_weights(const Vec& g0, const Vec& g1, const Vec& g2, Vec (&u)[4]) {
  const Vec even = 0.5F * (g0 + g2), odd = 0.5F * g1;
  u[0] = g0;
  u[1] = even + odd;
  u[2] = even - odd;
  u[3] = g2;
}
template <class Vec>
CUTAWAY_INLINE void evaluate_weights(const Vec& g0, const Vec& g1, const Vec& g2, Vec (&u)[6]) {
  const Vec even = (-2.0F / 3) * (g0 + 0.5F * g2), odd = (-2.0F / 3 * root_half) * g1;
  const Vec even_2 = (1.0F / 6) * (g0 + 2.0F * g2), odd_2 = (1.0F / 6 * root_two) * g1;
  u[0] = g0;
  u[1] = even + odd;
  u[2] = even - odd;
  u[3] = even_2 + odd_2;
  u[4] = even_2 - odd_2;
  u[5] = g2;
}

// A^T m
template <class Vec>
CUTAWAY_INLINE void back_to_pixels(const Vec (&v)[4], Vec (&y)[2]) {
  y[0] = v[0] + (v[1] + v[2]);
  y[1] = (v[1] - v[2]) - v[3];
}
template <class Vec>
CUTAWAY_INLINE void back_to_pixels(const Vec (&v)[6], Vec (&y)[4]) {
  const Vec sum = v[1] + v[2], difference = root_half * (v[1] - v[2]);
  const Vec sum_2 = v[3] + v[4], difference_2 = root_two * (v[3] - v[4]);
  y[0] = v[0] + (sum + sum_2);
  y[1] = difference + difference_2;
  y[2] = 0.5F * sum + 2.0F * sum_2;
  y[3] = (0.5F * difference + 2.0F * difference_2) + v[5];
}

// ---- From pixels side by side to tiles side by side, and back

template <int width>
struct Lanes {
  using Vec = typename Simd<width>::Vec;
  using All = std::make_integer_sequence<int, width>;

  template <int... i>
  CUTAWAY_INLINE static void every_second(const Vec& a, const Vec& b, Vec& even, Vec& odd,
                                          std::integer_sequence<int, i...> /*lanes*/) {
    even = __builtin_shufflevector(a, b, (2 * i)...);
    odd = __builtin_shufflevector(a, b, (2 * i + 1)...);
  }
  template <int... i>
  CUTAWAY_INLINE static void in_turn(const Vec& a, const Vec& b, Vec& first, Vec& second,
                                     std::integer_sequence<int, i...> /*lanes*/) {
    first = __builtin_shufflevector(a, b, (i / 2 + i % 2 * width)...);
    second = __builtin_shufflevector(a, b, (width / 2 + i / 2 + i % 2 * width)...);
  }

  // d[j] = pixels j, j + m, j + 2 m, ...: pixel j of each tile
  CUTAWAY_INLINE static void load_tiles(const float* from, Vec (&d)[4]) {
    load_every_second(from, d[0], d[1]);
    load_every_second(from + 2, d[2], d[3]);
  }
  CUTAWAY_INLINE static void load_tiles(const float* from, Vec (&d)[6]) {
    Vec even[2], odd[2];
    load_every_second(from, even[0], odd[0]);
    load_every_second(from + 2 * width, even[1], odd[1]);
    every_second(even[0], even[1], d[0], d[2], All());
    every_second(odd[0], odd[1], d[1], d[3], All());
    load_every_second(from + 4, even[0], odd[0]);
    load_every_second(from + 4 + 2 * width, even[1], odd[1]);
    Vec unused;
    every_second(even[0], even[1], d[4], unused, All());
    every_second(odd[0], odd[1], d[5], unused, All());
  }
  // The reverse.
  CUTAWAY_INLINE static void to_line(const Vec (&y)[2], Vec (&line)[2]) {
    in_turn(y[0], y[1], line[0], line[1], All());
  }
  CUTAWAY_INLINE static void to_line(const Vec (&y)[4], Vec (&line)[4]) {
    Vec even[2], odd[2];
    in_turn(y[0], y[2], even[0], even[1], All());
    in_turn(y[1], y[3], odd[0], odd[1], All());
    in_turn(even[0], odd[0], line[0], line[1], All());
    in_turn(even[1], odd[1], line[2], line[3], All());
  }

 private:
  CUTAWAY_INLINE static void load_every_second(const float* from, Vec& even, Vec& odd) {
    Vec a, b;
    Simd<width>::load(a, from);
    Simd<width>::load(b, from + width);
    every_second(a, b, even, odd, All());
  }
};

// ---- Input

// Down the columns of a row of tiles, pixel by pixel: m + 2 lines, with the padding to their left and right.
template <int width, int m>
CUTAWAY_INLINE void evaluate_columns(const WinogradInput& r) {
  using S = Simd<width>;
  constexpr int n = m + 2;
  const float* rows[n];
  float* const zeros = r.lines + n * r.line;
  std::fill_n(zeros, r.width, 0.0F);
  for (int i = 0; i < n; ++i) {
    const int64_t y = r.top + i;
    rows[i] = y < 0 || y >= r.height ? zeros : r.plane + y * r.width;
    float* const line = r.lines + i * r.line;
    std::fill_n(line, -r.left, 0.0F);
    std::fill(line - r.left + r.width, line + r.line, 0.0F);
  }
  typename S::Vec d[n], v[n];
  int64_t x = 0;
  for (; x + width <= r.width; x += width) {
    CUTAWAY_UNROLL for (int i = 0; i < n; ++i) S::load(d[i], rows[i] + x);
    evaluate_pixels(d, v);
    CUTAWAY_UNROLL for (int i = 0; i < n; ++i) S::store(v[i], r.lines + i * r.line - r.left + x);
  }
  if (x == r.width) return;
  for (int i = 0; i < n; ++i) S::load_some(d[i], rows[i] + x, r.width - x, 0);
  evaluate_pixels(d, v);
  for (int i = 0; i < n; ++i) S::store_some(v[i], r.lines + i * r.line - r.left + x, r.width - x);
}

// Then along the lines, tile by tile.
template <int width, int m, bool stream>
CUTAWAY_INLINE void input_of(const WinogradInput& r) {
  using S = Simd<width>;
  constexpr int n = m + 2;
  evaluate_columns<width, m>(r);
  for (int64_t tile = 0; tile < r.tiles; tile += width) {
    const int64_t column = r.column + tile;
    float* const to = r.to + column / r.panel * r.panel_stride + column % r.panel;
    for (int i = 0; i < n; ++i) {
      typename S::Vec d[n], v[n];
      Lanes<width>::load_tiles(r.lines + i * r.line + tile * m, d);
      evaluate_pixels(d, v);
      CUTAWAY_UNROLL for (int j = 0; j < n; ++j) {
        float* const position = to + (i * n + j) * r.position_stride;
        stream ? S::stream(v[j], position) : S::store(v[j], position);
      }
    }
  }
}

// ---- Output

template <int width, int m>
CUTAWAY_INLINE void output_of(const WinogradOutput& r) {
  using S = Simd<width>;
  using Vec = typename S::Vec;
  constexpr int n = m + 2;
  for (int64_t tile = 0; tile < r.tiles; tile += width) {
    Vec columns[m][n];
    CUTAWAY_UNROLL for (int j = 0; j < n; ++j) {
      Vec v[n], y[m];
      CUTAWAY_UNROLL for (int i = 0; i < n; ++i) {
        S::load(v[i], r.from + (i * n + j) * r.position_stride + tile);
      }
      back_to_pixels(v, y);
      CUTAWAY_UNROLL for (int i = 0; i < m; ++i) columns[i][j] = y[i];
    }
    const int64_t x = tile * m, exist = r.width - x;
    for (int i = 0; i < r.rows; ++i) {
      Vec y[m], line[m];
      back_to_pixels(columns[i], y);
      CUTAWAY_UNROLL for (int j = 0; j < m; ++j) y[j] += r.bias;
      Lanes<width>::to_line(y, line);
      float* const to = r.to + i * r.stride + x;
      if (exist >= width * m) {
        CUTAWAY_UNROLL for (int j = 0; j < m; ++j) S::store(line[j], to + j * width);
      } else if (exist > 0) {
        float all[width * m];
        for (int j = 0; j < m; ++j) S::store(line[j], all + j * width);
        std::memcpy(to, all, static_cast<size_t>(exist) * sizeof(float));
      }
    }
  }
}

// ---- Weights

template <int width, int m, bool stream>
CUTAWAY_INLINE void weights_of(const float* weights, int64_t in, float* to, int64_t position_stride) {
  using S = Simd<width>;
  using Vec = typename S::Vec;
  constexpr int n = m + 2;
  constexpr int64_t most = 128;
  float taps[9][most];  // from nine side by side to channels side by side
  for (int64_t first = 0; first < in; first += most) {
    const int64_t count = std::min(most, in - first), padded = (count + 15) / 16 * 16;
    transpose(weights + first * 9, 9, count, 9, taps[0], most);
    for (auto& tap : taps) std::fill(tap + count, tap + padded, 0.0F);
    for (int64_t c = 0; c < padded; c += width) {
      Vec columns[3][n];  // [column of the kernel][point]
      CUTAWAY_UNROLL for (int x = 0; x < 3; ++x) {
        Vec g[3];
        CUTAWAY_UNROLL for (int y = 0; y < 3; ++y) S::load(g[y], taps[y * 3 + x] + c);
        evaluate_weights(g[0], g[1], g[2], columns[x]);
      }
      CUTAWAY_UNROLL for (int i = 0; i < n; ++i) {
        Vec u[n];
        evaluate_weights(columns[0][i], columns[1][i], columns[2][i], u);
        CUTAWAY_UNROLL for (int j = 0; j < n; ++j) {
          float* const position = to + (i * n + j) * position_stride + first + c;
          stream ? S::stream(u[j], position) : S::store(u[j], position);
        }
      }
    }
  }
}

// ---- For each instruction set: as many lanes as the row of tiles fills, up to those that it has

template <int width>
CUTAWAY_INLINE void winograd_input_body(const WinogradInput& row) {
  if constexpr (width > 4) {
    if (row.lanes < width) return winograd_input_body<width / 2>(row);
  }
  if (row.stream)
    row.m == 4 ? input_of<width, 4, true>(row) : input_of<width, 2, true>(row);
  else
    row.m == 4 ? input_of<width, 4, false>(row) : input_of<width, 2, false>(row);
}
template <int width>
CUTAWAY_INLINE void winograd_output_body(const WinogradOutput& row) {
  if constexpr (width > 4) {
    if (row.lanes < width) return winograd_output_body<width / 2>(row);
  }
  row.m == 4 ? output_of<width, 4>(row) : output_of<width, 2>(row);
}
template <int width>
CUTAWAY_INLINE void winograd_weights_body(int64_t m, const float* weights, int64_t in, float* to,
                                          int64_t position_stride, bool stream) {
  if (stream)
    m == 4 ? weights_of<width, 4, true>(weights, in, to, position_stride)
           : weights_of<width, 2, true>(weights, in, to, position_stride);
  else
    m == 4 ? weights_of<width, 4, false>(weights, in, to, position_stride)
           : weights_of<width, 2, false>(weights, in, to, position_stride);
}
}  // namespace

CUTAWAY_LADDER(winograd_input, (const WinogradInput& row), (row))
CUTAWAY_LADDER(winograd_output, (const WinogradOutput& row), (row))
CUTAWAY_LADDER(winograd_weights,
               (int64_t m, const float* weights, int64_t in, float* to, int64_t position_stride, bool stream),
               (m, weights, in, to, position_stride, stream))

}  // namespace cutaway::fast
