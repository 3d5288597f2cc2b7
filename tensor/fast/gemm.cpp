// The trick: a sum needs one multiplication and two loads, so a plain loop waits for loads. Here a tile of 8
// x 48 sums stays in registers (AVX-512; 4 x 24 AVX2, 4 x 12 generic): each step of k loads 8 numbers of A
// and 3 vectors of B and does 24 vector multiply-adds with them. Around it, blocks are sized for the caches:
// a panel of B (384 x 48 numbers) for L1, a block of A for L2, a chunk of panels, shared by all threads, for
// L3. (Goto & van de Geijn 2008, "Anatomy of High-Performance Matrix Multiplication"; Van Zee & van de Geijn
// 2015, BLIS.) Unlike there, A is left in rows: the kernel broadcasts single numbers, which may come from
// anywhere.
#include "tensor/fast/gemm.h"

#include <omp.h>

#include <algorithm>
#include <memory>

#include "tensor/fast/bf16.h"
#include "tensor/fast/simd.h"
#include "tensor/memory.h"
#include "tensor/precision.h"
#include "tensor/rehearsal.h"

namespace cutaway::fast {
namespace {

template <int width, int rows, int vectors>
CUTAWAY_INLINE void tile_of(const Tile& t) {
  using S = Simd<width>;
  constexpr int64_t line = 16;  // floats
  typename S::Vec sum[rows][vectors] = {};
  const float *a = t.a, *b = t.b;
  const int64_t b_stride = t.b_stride != 0 ? t.b_stride : vectors * width;
  for (int r = 0; r < rows; ++r) __builtin_prefetch(t.c + r * t.c_stride, 1);
  const float* fetch = t.fetch;
  for (int64_t left = t.k; left > 0; left -= line) {
    for (int64_t i = 0; i < t.fetch_lines; ++i, fetch += line) __builtin_prefetch(fetch, 0, 2);
    for (int64_t k = left < line ? left : line; k > 0; --k) {
      typename S::Vec b_k[vectors];
      CUTAWAY_UNROLL for (int v = 0; v < vectors; ++v) S::load(b_k[v], b + v * width);
      CUTAWAY_UNROLL for (int r = 0; r < rows; ++r) {
        const float a_rk = a[r * t.a_stride];
        CUTAWAY_UNROLL for (int v = 0; v < vectors; ++v) sum[r][v] += a_rk * b_k[v];
      }
      a += 1;
      b += b_stride;
    }
  }
  CUTAWAY_UNROLL for (int r = 0; r < rows; ++r) {
    float* c = t.c + r * t.c_stride;
    CUTAWAY_UNROLL for (int v = 0; v < vectors; ++v) {
      typename S::Vec others;
      if (t.add) {
        S::load(others, c + v * width);
        sum[r][v] += others;
      }
      if (t.row_bias != nullptr) sum[r][v] += t.row_bias[r];
      if (t.column_bias != nullptr) {
        S::load(others, t.column_bias + v * width);
        sum[r][v] += others;
      }
      S::store(sum[r][v], c + v * width);
    }
  }
}

template <int width, int rows>
CUTAWAY_INLINE void gemm_tile_body(const Tile& t) {
  if (t.vectors == 3) return tile_of<width, rows, 3>(t);
  if (t.vectors == 2) return tile_of<width, rows, 2>(t);
  tile_of<width, rows, 1>(t);
}

// 12 sums, 3 vectors of B and a number of A fill the 16 registers that SSE and AVX2 have; AVX-512 has 32.
void gemm_tile_generic(const Tile& t) { gemm_tile_body<4, 4>(t); }
[[CUTAWAY_AVX2]] void gemm_tile_avx2(const Tile& t) { gemm_tile_body<8, 4>(t); }
[[CUTAWAY_AVX512]] void gemm_tile_avx512(const Tile& t) { gemm_tile_body<16, 8>(t); }

constexpr int64_t most_rows = 8, most_columns = 48;

// ---- The loops around the kernel

// How the product is cut. Sums run over k in blocks whose borders depend on k alone, so that neither threads
// nor the batch change a result.
struct Blocks {
  GemmKernel kernel;
  bool rounded;             // factors are rounded to bf16
  int64_t together;         // terms in the place of one float: 2 bf16, or 1
  int64_t k_block;          // terms in one call of the kernel
  int64_t panels_per_item;  // panels never lie in two items
  int64_t panels;           // of all items
  int64_t chunk_panels;     // packed at a time,
  int64_t chunk_k;          // for so many terms
  int64_t block_rows;       // rows of A in one task
  int64_t task_panels;      // panels of B in one task
  int64_t stride;           // between the rows of a block of A
};

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

Blocks blocks_of(const Product& p, int64_t threads) {
  constexpr int64_t l1_k = 384;              // a panel of 384 x 48 floats is 72 KiB
  constexpr int64_t chunk_floats = 1 << 19;  // 2 MiB
  Blocks b{};
  b.kernel = gemm_kernel();
  b.rounded = current_precision() == Precision::bf16;
  b.together = b.rounded && has_bf16_product() ? 2 : 1;
  if (b.together == 2) b.kernel.run = gemm_tile_bf16;
  b.k_block = round_up(divide_up(p.k, divide_up(p.k, l1_k)), b.together);
  b.panels_per_item = divide_up(p.n, b.kernel.panel());
  b.panels = b.panels_per_item * p.items;
  b.chunk_panels = std::clamp<int64_t>(chunk_floats / (b.k_block * b.kernel.panel()), 1, b.panels);
  const int64_t k_blocks = chunk_floats / (b.chunk_panels * b.kernel.panel() * b.k_block);
  b.chunk_k = std::min(p.k, std::max<int64_t>(k_blocks, 1) * b.k_block);
  b.stride = b.k_block + 16;  // rows a power of two apart would fall on the same lines of the cache

  // Tasks: some for each thread, so that none waits long for the last.
  const int64_t wanted = threads == 1 ? 1 : 6 * threads;
  const auto tasks = [&] { return divide_up(p.m, b.block_rows) * divide_up(b.chunk_panels, b.task_panels); };
  b.block_rows = 16 * b.kernel.rows;
  b.task_panels = b.chunk_panels;
  while (tasks() < wanted && b.task_panels > 8) b.task_panels = divide_up(b.task_panels, 2);
  while (tasks() < wanted && b.block_rows > b.kernel.rows) b.block_rows /= 2;
  return b;
}

// A tile at the border of C is computed whole, aside, and only what exists is copied.
void run_border_tile(const GemmKernel& kernel, Tile tile, int64_t rows, int64_t columns) {
  alignas(64) float whole[most_rows * most_columns];
  Tile aside = tile;
  aside.c = whole;
  aside.c_stride = most_columns;
  aside.add = false;
  aside.row_bias = aside.column_bias = nullptr;
  kernel.run(aside);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = 0; j < columns; ++j) {
      float value = whole[r * most_columns + j];
      float& c = tile.c[r * tile.c_stride + j];
      if (tile.add) value += c;
      if (tile.row_bias != nullptr) value += tile.row_bias[r];
      if (tile.column_bias != nullptr) value += tile.column_bias[j];
      c = value;
    }
  }
}

class Multiplication {
 public:
  Multiplication(const Product& product, int64_t threads)
      : p_(product),
        blocks_(blocks_of(product, threads)),
        b_chunk_(allocate_floats(blocks_.chunk_panels * blocks_.kernel.panel() * blocks_.chunk_k)),
        a_floats_(std::max(blocks_.block_rows, blocks_.kernel.panel()) * blocks_.stride),
        a_blocks_(allocate_floats(threads * a_floats_)) {}

  // Runs on every thread of a team at once; each `omp for` shares its turns among them and waits for all.
  void run() const {
    for (int64_t panel = 0; panel < blocks_.panels; panel += blocks_.chunk_panels) {
      const int64_t panels = std::min(blocks_.chunk_panels, blocks_.panels - panel);
      for (int64_t k = 0; k < p_.k; k += blocks_.chunk_k) {
        const int64_t k_end = std::min(k + blocks_.chunk_k, p_.k);
        pack_chunk(panel, panels, k, k_end);
        multiply_chunk(panel, panels, k, k_end);
      }
    }
  }

 private:
  // Where the packed panel begins for terms from `k` on, in a chunk that begins at `first_k`.
  float* packed(int64_t panel_in_chunk, int64_t first_k, int64_t k) const {
    return b_chunk_.get() +
           (panel_in_chunk * blocks_.chunk_k + (k - first_k) / blocks_.together) * blocks_.kernel.panel();
  }
  float* my_block() const { return a_blocks_.get() + omp_get_thread_num() * a_floats_; }
  int64_t column_of(int64_t panel) const { return panel % blocks_.panels_per_item * blocks_.kernel.panel(); }
  int64_t columns_of(int64_t panel) const {
    return std::min(blocks_.kernel.panel(), p_.n - column_of(panel));
  }

  void pack_chunk(int64_t first_panel, int64_t panels, int64_t first_k, int64_t k_end) const {
    const int64_t k_blocks = divide_up(k_end - first_k, blocks_.k_block);
#pragma omp for schedule(dynamic)
    for (int64_t turn = 0; turn < panels * k_blocks; ++turn) {
      const int64_t panel = first_panel + turn / k_blocks;
      const int64_t k = first_k + turn % k_blocks * blocks_.k_block;
      const int64_t columns = columns_of(panel);
      const int64_t terms = std::min(blocks_.k_block, k_end - k), width = blocks_.kernel.padded(columns);
      float* const to = packed(turn / k_blocks, first_k, k);
      float* const floats = blocks_.together == 2 ? my_block() : to;
      p_.read_panel(panel / blocks_.panels_per_item, column_of(panel), columns, k, terms, floats, width);
      if (blocks_.together == 2)
        panel_to_pairs(floats, terms, width, to);
      else if (blocks_.rounded)
        round_to_bf16(to, terms * width);
    }
  }

  void multiply_chunk(int64_t first_panel, int64_t panels, int64_t first_k, int64_t k_end) const {
    const int64_t row_blocks = divide_up(p_.m, blocks_.block_rows);
    const int64_t panel_groups = divide_up(panels, blocks_.task_panels);
    float* const a = my_block();
#pragma omp for schedule(dynamic)
    for (int64_t task = 0; task < row_blocks * panel_groups; ++task) {
      const int64_t row = task % row_blocks * blocks_.block_rows;
      const int64_t rows = std::min(blocks_.block_rows, p_.m - row);
      const int64_t begin = task / row_blocks * blocks_.task_panels;
      const int64_t end = std::min(begin + blocks_.task_panels, panels);
      for (int64_t k = first_k; k < k_end; k += blocks_.k_block) {
        const int64_t terms = std::min(blocks_.k_block, k_end - k);
        const Rows block = rows_of(row, rows, k, terms, a);
        for (int64_t i = begin; i < end; ++i) {
          multiply_panel(first_panel + i, packed(i, first_k, k), row, rows, k, terms, block);
        }
      }
    }
  }

  // A block of A.
  struct Rows {
    const float* first;
    int64_t stride;
  };

  // Where it lies, or packed into `a`. The kernel always takes whole tiles: missing rows are zeros.
  Rows rows_of(int64_t row, int64_t rows, int64_t k, int64_t terms, float* a) const {
    if (p_.a != nullptr && !blocks_.rounded && rows % blocks_.kernel.rows == 0)
      return {p_.a + row * p_.a_stride + k, p_.a_stride};
    const int64_t whole = divide_up(rows, blocks_.kernel.rows) * blocks_.kernel.rows;
    p_.read_rows(row, rows, k, terms, a, blocks_.stride);
    for (int64_t r = rows; r < whole; ++r) std::fill_n(a + r * blocks_.stride, terms, 0.0F);
    if (blocks_.together == 2) {
      rows_to_pairs(a, blocks_.stride, whole, terms);
    } else if (blocks_.rounded) {
      for (int64_t r = 0; r < rows; ++r) round_to_bf16(a + r * blocks_.stride, terms);
    }
    return {a, blocks_.stride};
  }

  void multiply_panel(int64_t panel, const float* b, int64_t first_row, int64_t rows, int64_t k,
                      int64_t terms, const Rows& block) const {
    const GemmKernel& kernel = blocks_.kernel;
    const int64_t column = column_of(panel), columns = columns_of(panel), padded = kernel.padded(columns);
    float* const c = p_.c + panel / blocks_.panels_per_item * p_.item_stride + column;
    Tile tile{block.first, block.stride,  b,    divide_up(terms, blocks_.together), padded / kernel.width,
              c,           p_.row_stride, k > 0};
    if (k == 0 && p_.column_bias != nullptr) tile.column_bias = p_.column_bias + column;
    for (int64_t r = 0; r < rows; r += kernel.rows) {
      const int64_t row = first_row + r;
      tile.a = block.first + r * block.stride;
      tile.c = c + row * p_.row_stride;
      if (k == 0 && p_.row_bias != nullptr) tile.row_bias = p_.row_bias + row;
      if (r + kernel.rows <= rows && columns == padded) {
        kernel.run(tile);
      } else {
        run_border_tile(kernel, tile, std::min(kernel.rows, rows - r), columns);
      }
    }
  }

  const Product& p_;
  const Blocks blocks_;
  const std::shared_ptr<float> b_chunk_;  // packed panels, one after another
  const int64_t a_floats_;
  const std::shared_ptr<float> a_blocks_;  // one block of A for each thread
};

// to[i][j] = from[j][i], 4 x 4.
void transpose_square(const float* from, int64_t stride, float* to, int64_t to_stride) {
  using S = Simd<4>;
  S::Vec row[4], pair[4];
  for (int r = 0; r < 4; ++r) S::load(row[r], from + r * stride);
  pair[0] = __builtin_shufflevector(row[0], row[1], 0, 4, 1, 5);
  pair[1] = __builtin_shufflevector(row[0], row[1], 2, 6, 3, 7);
  pair[2] = __builtin_shufflevector(row[2], row[3], 0, 4, 1, 5);
  pair[3] = __builtin_shufflevector(row[2], row[3], 2, 6, 3, 7);
  for (int half = 0; half < 2; ++half) {
    float* const two = to + 2 * half * to_stride;
    S::store(__builtin_shufflevector(pair[half], pair[half + 2], 0, 1, 4, 5), two);
    S::store(__builtin_shufflevector(pair[half], pair[half + 2], 2, 3, 6, 7), two + to_stride);
  }
}

}  // namespace

GemmKernel gemm_kernel() {
  switch (current_isa()) {
    case Isa::avx512:
      return {8, 3, 16, gemm_tile_avx512};
    case Isa::avx2:
      return {4, 3, 8, gemm_tile_avx2};
    case Isa::generic:
      break;
  }
  return {4, 3, 4, gemm_tile_generic};
}

void multiply(const Product& product) {
  constexpr double products_worth_a_team = 4e6;
  const double products = static_cast<double>(product.m) * static_cast<double>(product.n) *
                          static_cast<double>(product.k) * static_cast<double>(product.items);
  const int threads = products > products_worth_a_team ? omp_get_max_threads() : 1;
  const Multiplication multiplication(product, threads);
  if (rehearsing()) return;
#pragma omp parallel num_threads(threads) if (threads > 1)
  multiplication.run();
}

// In squares of 4 x 4, which every processor turns over in registers. Four of them below each other fill a
// line of the cache, 16 numbers, before the next row of `to` has its turn.
void transpose(const float* from, int64_t stride, int64_t rows, int64_t columns, float* to,
               int64_t to_stride) {
  constexpr int64_t line = 16;
  const int64_t whole_rows = rows / 4 * 4, whole_columns = columns / 4 * 4;
  for (int64_t first = 0; first < whole_rows; first += line) {
    const int64_t last = std::min(first + line, whole_rows);
    for (int64_t i = 0; i < whole_columns; i += 4) {
      for (int64_t j = first; j < last; j += 4)
        transpose_square(from + j * stride + i, stride, to + i * to_stride + j, to_stride);
    }
    for (int64_t i = whole_columns; i < columns; ++i) {
      for (int64_t j = first; j < last; ++j) to[i * to_stride + j] = from[j * stride + i];
    }
  }
  for (int64_t j = whole_rows; j < rows; ++j) {
    for (int64_t i = 0; i < columns; ++i) to[i * to_stride + j] = from[j * stride + i];
  }
}

}  // namespace cutaway::fast
