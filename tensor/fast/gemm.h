// The matrix product that convolution, linear and matmul share.
#pragma once

#include <cstdint>
#include <functional>

namespace cutaway::fast {

/// C[item] = A B[item] + bias for every item of a batch: A is m x k and the same for all, B is k x n.
///
/// The product never sees whole matrices. It asks for pieces of A and B in the layout it
/// wants, so that a convolution can hand over pixels straight from the image, and a
/// linear layer weights straight from the file.
struct Product {
  int64_t m = 0, n = 0, k = 0, items = 1;

  /// to[r * stride + i] = A[row + r][first + i] for r < rows, i < count.
  std::function<void(int64_t row, int64_t rows, int64_t first, int64_t count, float* to, int64_t stride)>
      read_rows = {};
  /// A itself, where it lies in memory as float32, rows a_stride apart: then it is not copied. Or null.
  const float* a = nullptr;
  int64_t a_stride = 0;
  /// panel[i * width + j] = B[item][first + i][column + j] for i < count,
  /// j < columns; 0 for columns <= j < width.
  std::function<void(int64_t item, int64_t column, int64_t columns, int64_t first, int64_t count,
                     float* panel, int64_t width)>
      read_panel = {};

  float* c = nullptr;
  int64_t row_stride = 0, item_stride = 0;  // in C
  /// In place of c, for a C that is to lie otherwise: takes C[item][row + r][column + j] = from[r * stride +
  /// j] for r < rows, j < columns.
  std::function<void(int64_t item, int64_t row, int64_t rows, int64_t column, int64_t columns,
                     const float* from, int64_t stride)>
      write = {};
  const float* row_bias = nullptr;     // [m], or none
  const float* column_bias = nullptr;  // [n], or none
};
void multiply(const Product& product);

/// to[i * to_stride + j] = from[j * stride + i] for j < rows, i < columns.
void transpose(const float* from, int64_t stride, int64_t rows, int64_t columns, float* to,
               int64_t to_stride);

// ---- The kernel, for operations with loops of their own (attention)

/// A tile of C: sums over k of a few numbers of A and a few vectors of B, all sums in registers.
struct Tile {
  const float* a;  // GemmKernel::rows rows, a_stride apart
  int64_t a_stride;
  const float* b;  // [k][vectors * width]
  int64_t k;
  int64_t vectors;  // 1 to GemmKernel::vectors
  float* c;         // rows, c_stride apart
  int64_t c_stride;
  bool add;  // c += the sums, instead of c = the sums
  const float* row_bias = nullptr;
  const float* column_bias = nullptr;
  int64_t b_stride = 0;  // from one row of B to the next; 0: the rows have no gaps
  // To be fetched into the cache meanwhile, for tiles after this one: k floats of each of a few rows.
  const float* fetch = nullptr;
  int64_t fetch_rows = 0, fetch_stride = 0;
};

struct GemmKernel {
  int64_t rows, vectors, width;
  void (*run)(const Tile& tile);

  int64_t panel() const { return vectors * width; }  // the most columns in one tile
  /// The columns of a panel, if there are `columns` in all. A last panel of a single vector leaves most
  /// registers idle: 2 + 2 is better than 3 + 1. With many panels the last one does not matter.
  int64_t panel_for(int64_t columns) const {
    const int64_t count = padded(columns) / width;
    const int64_t few = rows > 4 ? 16 : 4;  // with 4 rows, 2 vectors leave registers idle, too
    return width * (count % vectors == 1 && count > 1 && count <= few ? 2 : vectors);
  }
  /// How many columns a panel needs for `columns` of them: whole vectors.
  int64_t padded(int64_t columns) const { return (columns + width - 1) / width * width; }
};
/// The one for the instruction set in use.
GemmKernel gemm_kernel();

}  // namespace cutaway::fast
