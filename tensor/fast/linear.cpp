// The trick: with many rows, y = x W^T is the blocked product of gemm.cpp; W is turned over while its panels
// are packed. With few rows (a time embedding is one) every number of W is used so rarely that reading W is
// all the work: then W is streamed once from memory, straight through the registers, and nothing is packed.
// In between (a prompt of 77 tokens) turning W over would be a third of the work, so x is turned over
// instead: y^T = W x^T. Term by term that is the same sum. The two add up in different orders, so which of
// them runs depends on one item of the batch alone, never on how many there are: a picture has the same bits
// by itself, in a batch, and on another machine.
#include <algorithm>
#include <memory>

#include "tensor/fast/gemm.h"
#include "tensor/fast/ops.h"
#include "tensor/fast/parallel.h"
#include "tensor/fast/read_weight.h"
#include "tensor/fast/simd.h"
#include "tensor/memory.h"

namespace cutaway::fast {
namespace {

constexpr int64_t few_rows = 4;          // of one item of the batch
constexpr int64_t rows_at_once = 8;      // of all items
constexpr int64_t some_rows = 320;       // of all items
constexpr int64_t longest_piece = 1024;  // of a row of W, as float32

// sums[j] += x . w_j for four rows of W.
template <int width>
CUTAWAY_INLINE void add_four_dots_body(const float* x, const float* w, int64_t w_stride, int64_t count,
                                       float* sums) {
  using S = Simd<width>;
  typename S::Vec sum[4] = {}, x_i, w_ji;
  const int64_t whole = count / width * width;
  for (int64_t i = 0; i < whole; i += width) {
    S::load(x_i, x + i);
    CUTAWAY_UNROLL for (int j = 0; j < 4; ++j) {
      S::load(w_ji, w + j * w_stride + i);
      sum[j] += x_i * w_ji;
    }
  }
  for (int j = 0; j < 4; ++j) {
    float total = S::sum(sum[j]);
    for (int64_t i = whole; i < count; ++i) total += x[i] * w[j * w_stride + i];
    sums[j] += total;
  }
}
CUTAWAY_LADDER(add_four_dots, (const float* x, const float* w, int64_t w_stride, int64_t count, float* sums),
               (x, w, w_stride, count, sums))

// y[r, o] for rows <= 8 and outputs [o, o + outs), outs <= 4. W goes through a small buffer that never leaves
// the L1 cache.
void linear_of_four(const float* x, int64_t rows, const Weight& weight, int64_t o, int64_t outs,
                    const float* bias, float* y) {
  const int64_t out = weight.shape[0], in = weight.shape[1];
  float w[4 * longest_piece];
  float sums[rows_at_once][4] = {};
  for (int64_t i = 0; i < in; i += longest_piece) {
    const int64_t count = std::min(longest_piece, in - i);
    for (int64_t j = 0; j < 4; ++j) {
      read_weight(weight, (o + std::min(j, outs - 1)) * in + i, count, w + j * longest_piece);
    }
    for (int64_t r = 0; r < rows; ++r) add_four_dots(x + r * in + i, w, longest_piece, count, sums[r]);
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = 0; j < outs; ++j) y[r * out + o + j] = sums[r][j] + (bias != nullptr ? bias[o + j] : 0);
  }
}

// A panel of W^T: 48 rows of W, turned over sixteen at a time.
void read_transposed_weight(const Weight& weight, int64_t o, int64_t outs, int64_t first, int64_t count,
                            float* panel, int64_t width) {
  constexpr int64_t most_terms = 128, at_once = 16;
  float rows[at_once * most_terms];
  const int64_t in = weight.shape[1];
  for (int64_t j = 0; j < width; j += at_once) {
    const int64_t some = std::min(at_once, width - j);
    for (int64_t i = 0; i < count; i += most_terms) {
      const int64_t terms = std::min(most_terms, count - i);
      for (int64_t r = 0; r < some; ++r) {
        float* row = rows + r * most_terms;
        if (j + r < outs)
          read_weight(weight, (o + j + r) * in + first + i, terms, row);
        else
          std::fill_n(row, terms, 0.0F);
      }
      transpose(rows, most_terms, some, terms, panel + i * width + j, width);
    }
  }
}

// y = x W^T + b: W is turned over, panel by panel.
void multiply_weights_turned(const float* x, int64_t rows, const Weight& weight, const float* bias,
                             float* y) {
  const int64_t out = weight.shape[0], in = weight.shape[1];
  Product product{.m = rows, .n = out, .k = in};
  product.a = x;
  product.a_stride = in;
  product.read_rows = [=](int64_t row, int64_t some, int64_t first, int64_t count, float* to,
                          int64_t stride) {
    for (int64_t r = 0; r < some; ++r) std::copy_n(x + (row + r) * in + first, count, to + r * stride);
  };
  product.read_panel = [&](int64_t, int64_t column, int64_t columns, int64_t first, int64_t count,
                           float* panel, int64_t width) {
    read_transposed_weight(weight, column, columns, first, count, panel, width);
  };
  product.c = y;
  product.row_stride = out;
  product.column_bias = bias;
  multiply(product);
}

// y^T = W x^T + b: x is turned over, and each part of y^T as soon as it is there.
void multiply_tokens_turned(const float* x, int64_t rows, const Weight& weight, const float* bias, float* y) {
  const int64_t out = weight.shape[0], in = weight.shape[1];
  Product product{.m = out, .n = gemm_kernel().padded(rows), .k = in};
  product.a = floats_of(weight);
  product.a_stride = in;
  product.read_rows = [&](int64_t row, int64_t some, int64_t first, int64_t count, float* to,
                          int64_t stride) {
    for (int64_t r = 0; r < some; ++r) read_weight(weight, (row + r) * in + first, count, to + r * stride);
  };
  product.read_panel = [=](int64_t, int64_t column, int64_t, int64_t first, int64_t count, float* panel,
                           int64_t width) {
    const int64_t exist = std::min(width, rows - column);
    transpose(x + column * in + first, in, exist, count, panel, width);
    for (int64_t i = 0; i < count && exist < width; ++i)
      std::fill(panel + i * width + exist, panel + (i + 1) * width, 0.0F);
  };
  product.write = [=](int64_t, int64_t o, int64_t outs, int64_t row, int64_t some, const float* from,
                      int64_t stride) {
    transpose(from, stride, outs, std::min(some, rows - row), y + row * out + o, out);
  };
  product.row_bias = bias;
  multiply(product);
}

// x [N, ..., in]: how many rows one of the N has. Two axes are a row for each.
int64_t rows_of_an_item(const Shape& x) { return x.rank() > 2 ? x.count() / (x[0] * x[-1]) : 1; }

}  // namespace

Tensor linear(const Tensor& x, const Weight& weight, const std::optional<Weight>& bias) {
  const int64_t out = weight.shape[0], in = weight.shape[1], rows = x.count() / in;
  const std::vector<float> b = read_bias(bias);
  const float* const b_data = bias ? b.data() : nullptr;
  Tensor result(x.shape().with(-1, out));
  float* const y = result.mutable_data();
  if (rows_of_an_item(x.shape()) <= few_rows) {
    in_pieces((out + 3) / 4, out * in, [&](int64_t begin, int64_t end) {
      for (int64_t four = begin; four < end; ++four) {
        for (int64_t row = 0; row < rows; row += rows_at_once) {
          linear_of_four(x.data() + row * in, std::min(rows_at_once, rows - row), weight, 4 * four,
                         std::min<int64_t>(4, out - 4 * four), b_data, y + row * out);
        }
      }
    });
    return result;
  }
  if (rows <= some_rows)
    multiply_tokens_turned(x.data(), rows, weight, b_data, y);
  else
    multiply_weights_turned(x.data(), rows, weight, b_data, y);
  return result;
}

Tensor matmul(const Tensor& a, const Tensor& b) {
  const int64_t m = a.shape()[-2], k = a.shape()[-1], n = b.shape()[-1], pairs = a.count() / (m * k);
  Tensor result(a.shape().with(-1, n));
  for (int64_t p = 0; p < pairs; ++p) {
    const float* const a_matrix = a.data() + p * m * k;
    const float* const b_matrix = b.data() + p * k * n;
    Product product{.m = m, .n = n, .k = k};
    product.read_rows = [&](int64_t row, int64_t rows, int64_t first, int64_t count, float* to,
                            int64_t stride) {
      for (int64_t r = 0; r < rows; ++r)
        std::copy_n(a_matrix + (row + r) * k + first, count, to + r * stride);
    };
    product.read_panel = [&](int64_t, int64_t column, int64_t columns, int64_t first, int64_t count,
                             float* panel, int64_t width) {
      for (int64_t i = 0; i < count; ++i) {
        const float* const from = b_matrix + (first + i) * n + column;
        std::fill(std::copy_n(from, columns, panel + i * width), panel + (i + 1) * width, 0.0F);
      }
    };
    product.a = a_matrix;
    product.a_stride = k;
    product.c = result.mutable_data() + p * m * n;
    product.row_stride = n;
    multiply(product);
  }
  return result;
}

}  // namespace cutaway::fast
