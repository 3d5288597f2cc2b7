// The trick: a sum needs one multiplication and two loads, so a plain loop waits for loads. Here a tile of 8
// x 48 sums stays in registers (AVX-512; 4 x 24 AVX2, 4 x 12 generic): each step of k loads 8 numbers of A
// and 3 vectors of B and does 24 vector multiply-adds with them. Around it, blocks are sized for the caches:
// a tile's rows of A for L1, a few panels of B (of 384 x 48 numbers) for L2. (Goto & van de Geijn 2008,
// "Anatomy of High-Performance Matrix Multiplication"; Van Zee & van de Geijn 2015, BLIS.) Unlike there, A is
// left in rows: the kernel broadcasts single numbers, which may come from anywhere.
#include "tensor/fast/gemm.h"

#include <omp.h>

#include <algorithm>
#include <memory>

#include "tensor/backend.h"
#include "tensor/fast/bf16.h"
#include "tensor/fast/rounding.h"
#include "tensor/fast/simd.h"
#include "tensor/memory.h"

namespace cutaway::fast {
namespace {

template <int width, int rows, int vectors>
CUTAWAY_INLINE void tile_of(const Tile& t) {
  using S = Simd<width>;
  constexpr int64_t line = 16;  // floats
  // How many rows before its turn B is fetched: it comes from L2, and the processor guesses that too late.
  constexpr int64_t ahead = width == 16 ? 4 : 8;
  typename S::Vec sum[rows][vectors] = {};
  const float *a = t.a, *b = t.b;
  const int64_t b_stride = t.b_stride != 0 ? t.b_stride : vectors * width;
  for (int r = 0; r < rows; ++r) __builtin_prefetch(t.c + r * t.c_stride, 1);
  for (int64_t left = t.k; left > 0; left -= line) {
    for (int64_t i = 0; i < t.fetch_rows; ++i)
      __builtin_prefetch(t.fetch + i * t.fetch_stride + t.k - left, 0, 2);
    for (int64_t k = left < line ? left : line; k > 0; --k) {
      typename S::Vec b_k[vectors];
      CUTAWAY_UNROLL for (int v = 0; v < vectors; ++v) S::load(b_k[v], b + v * width);
      CUTAWAY_UNROLL for (int i = 0; i < vectors * width; i += line)
          __builtin_prefetch(b + ahead * b_stride + i);
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
//
// Every core packs the panels that it needs, even if another core packs the same: it reads what it has packed
// itself several times faster than what another has, and it waits for nobody. A task is a group of panels
// with a range of rows. Tasks of one group follow each other, so that panels once packed serve several.

// How the product is cut. Sums run over k in blocks whose borders depend on k alone, so that neither threads
// nor the batch change a result.
struct Blocks {
  GemmKernel kernel;
  bool rounded;             // factors are rounded to bf16
  int64_t together;         // terms in the place of one float: 2 bf16, or 1
  int64_t k_block;          // terms in one call of the kernel
  int64_t panel;            // columns
  int64_t panels_per_item;  // panels never lie in two items
  int64_t group_panels;     // panels of B in one task
  int64_t groups_per_item;
  int64_t task_rows;  // rows of A in one task
  int64_t row_tasks;
  int64_t chunk_k;     // terms packed at a time; k, where that fits
  int64_t block_rows;  // rows of A read at a time
  int64_t stride;      // between them

  int64_t b_floats() const { return chunk_k * group_panels * panel; }
};

// What a way of cutting costs, in multiply-adds for each term, for the thread that has most to do. The
// weights are rough: packing a number takes as long as 48 products, reading one of A as long as 16.
double cost_of(const Product& p, const Blocks& b, int64_t groups, int64_t threads) {
  const int64_t turns = divide_up(groups * b.row_tasks, threads);
  const int64_t packings = b.chunk_k >= p.k ? std::min(groups, turns) : turns;
  const auto rows = static_cast<double>(b.task_rows),
             columns = static_cast<double>(std::min(b.group_panels * b.panel, round_up(p.n, b.kernel.width)));
  const double waiting = threads > 1 ? rows * columns / 4 : 0;  // at the end, for the others
  return static_cast<double>(turns) * (rows * (columns + 16) + 1000) +
         static_cast<double>(packings) * columns * 48 + waiting;
}

void cut_tasks(const Product& p, Blocks& b, int64_t threads) {
  constexpr int64_t l2_floats = 1 << 17;                                                    // 512 KiB
  const int64_t most_packed = std::clamp<int64_t>((16 << 20) / threads, 1 << 17, 2 << 20);  // up to 8 MiB
  const int64_t most_panels =
      std::clamp<int64_t>(b.together * l2_floats / (b.k_block * b.panel), 1, b.panels_per_item);
  const int64_t row_tiles = divide_up(p.m, b.kernel.rows);
  Blocks best = b;
  double best_cost = 0;
  for (int64_t panels = 1; panels <= most_panels; ++panels) {
    b.groups_per_item = divide_up(b.panels_per_item, panels);
    b.group_panels = divide_up(b.panels_per_item, b.groups_per_item);
    const int64_t fitting = most_packed / (b.group_panels * b.panel);
    b.chunk_k = fitting >= p.k ? p.k : std::max(fitting / b.k_block, int64_t{1}) * b.k_block;
    for (int64_t tasks = 1; tasks <= std::min(row_tiles, 8 * threads);
         tasks = tasks < 4 ? tasks + 1 : tasks * 3 / 2) {
      b.task_rows = divide_up(row_tiles, tasks) * b.kernel.rows;
      b.row_tasks = divide_up(p.m, b.task_rows);
      const double cost = cost_of(p, b, b.groups_per_item * p.items, threads);
      if (best_cost == 0 || cost < best_cost) {
        best_cost = cost;
        best = b;
      }
    }
  }
  b = best;
}

Blocks blocks_of(const Product& p, int64_t threads) {
  constexpr int64_t l1_k = 384, most_block = 128;
  Blocks b{};
  b.kernel = gemm_kernel();
  b.rounded = current_precision() == Precision::bf16;
  b.together = b.rounded && has_bf16_product() ? 2 : 1;
  if (b.together == 2) b.kernel.run = gemm_tile_bf16;
  b.k_block = round_up(divide_up(p.k, divide_up(p.k, l1_k)), b.together);
  b.stride = b.k_block + 16;  // rows a power of two apart would fall on the same lines of the cache
  b.panel = b.kernel.panel_for(p.n);
  b.panels_per_item = divide_up(p.n, b.panel);
  cut_tasks(p, b, threads);
  b.block_rows = std::min(most_block, b.task_rows);
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
        a_floats_(std::max(blocks_.block_rows, blocks_.panel) * blocks_.stride),
        c_floats_(product.write ? blocks_.task_rows * blocks_.group_panels * blocks_.panel : 0),
        own_floats_(round_up(blocks_.b_floats(), 16) + round_up(a_floats_, 16) + round_up(c_floats_, 16)),
        own_(allocate_floats(threads * own_floats_)) {}

  // Runs on every thread of a team at once.
  void run() const {
    Packed packed{};
#pragma omp for schedule(dynamic)
    for (int64_t i = 0; i < p_.items * blocks_.groups_per_item * blocks_.row_tasks; ++i) {
      Task task{};
      const int64_t group = i / blocks_.row_tasks;
      task.item = group / blocks_.groups_per_item;
      task.first_panel = group % blocks_.groups_per_item * blocks_.group_panels;
      task.panels = std::min(blocks_.group_panels, blocks_.panels_per_item - task.first_panel);
      task.row = i % blocks_.row_tasks * blocks_.task_rows;
      task.rows = std::min(blocks_.task_rows, p_.m - task.row);
      run_task(task, packed);
    }
  }

 private:
  struct Task {
    int64_t item, first_panel, panels, row, rows;
  };
  // What this thread has packed.
  struct Packed {
    bool any;
    int64_t item, first_panel, first_k;
  };

  void run_task(const Task& task, Packed& packed) const {
    const int64_t column = task.first_panel * blocks_.panel;
    const int64_t columns = std::min(task.panels * blocks_.panel, p_.n - column);
    // Where C[task.row][column] goes.
    float* const c =
        p_.write ? my_c() : p_.c + task.item * p_.item_stride + task.row * p_.row_stride + column;
    const int64_t c_stride = p_.write ? blocks_.group_panels * blocks_.panel : p_.row_stride;
    for (int64_t k = 0; k < p_.k; k += blocks_.chunk_k) {
      const int64_t k_end = std::min(k + blocks_.chunk_k, p_.k);
      if (!packed.any || packed.item != task.item || packed.first_panel != task.first_panel ||
          packed.first_k != k) {
        pack_chunk(task, k, k_end);
        packed = {true, task.item, task.first_panel, k};
      }
      multiply_chunk(task, k, k_end, c, c_stride);
    }
    if (p_.write) p_.write(task.item, task.row, task.rows, column, columns, c, c_stride);
  }

  // This thread's own memory.
  float* my_b() const { return own_.get() + omp_get_thread_num() * own_floats_; }
  float* my_a() const { return my_b() + round_up(blocks_.b_floats(), 16); }
  float* my_c() const { return my_a() + round_up(a_floats_, 16); }
  // Where the packed panel begins for terms from `k` on, in a chunk that begins at `first_k`.
  float* packed_panel(int64_t panel_in_group, int64_t first_k, int64_t k) const {
    return my_b() + (panel_in_group * blocks_.chunk_k + (k - first_k) / blocks_.together) * blocks_.panel;
  }
  int64_t columns_of(int64_t panel) const { return std::min(blocks_.panel, p_.n - panel * blocks_.panel); }

  void pack_chunk(const Task& task, int64_t first_k, int64_t k_end) const {
    for (int64_t k = first_k; k < k_end; k += blocks_.k_block) {
      for (int64_t i = 0; i < task.panels; ++i) {
        const int64_t panel = task.first_panel + i, columns = columns_of(panel);
        const int64_t terms = std::min(blocks_.k_block, k_end - k), width = blocks_.kernel.padded(columns);
        float* const to = packed_panel(i, first_k, k);
        float* const floats = blocks_.together == 2 ? my_a() : to;
        p_.read_panel(task.item, panel * blocks_.panel, columns, k, terms, floats, width);
        if (blocks_.together == 2)
          panel_to_pairs(floats, terms, width, to);
        else if (blocks_.rounded)
          round_to_bf16(to, terms * width);
      }
    }
  }

  // Either all rows pass the panels of a block of terms, or, where their sums would be too many for L2, each
  // block of rows passes all panels.
  void multiply_chunk(const Task& task, int64_t first_k, int64_t k_end, float* c, int64_t c_stride) const {
    constexpr int64_t most_sums = 1 << 15;  // 128 KiB
    const int64_t k_blocks = divide_up(k_end - first_k, blocks_.k_block);
    const int64_t row_blocks = divide_up(task.rows, blocks_.block_rows);
    const bool sums_stay = task.rows * task.panels * blocks_.panel <= most_sums;
    for (int64_t turn = 0; turn < k_blocks * row_blocks; ++turn) {
      const int64_t k = first_k + (sums_stay ? turn / row_blocks : turn % k_blocks) * blocks_.k_block;
      const int64_t r = (sums_stay ? turn % row_blocks : turn / k_blocks) * blocks_.block_rows;
      const int64_t terms = std::min(blocks_.k_block, k_end - k);
      const int64_t rows = std::min(blocks_.block_rows, task.rows - r);
      const Rows block = rows_of(task.row + r, rows, k, terms, my_a());
      multiply_block(task, r, rows, first_k, k, terms, block, c + r * c_stride, c_stride);
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
    const bool there = p_.a != nullptr && blocks_.together == 2;  // no copy between A and its pairs
    if (!there) p_.read_rows(row, rows, k, terms, a, blocks_.stride);
    if (blocks_.together == 2) {
      rows_to_pairs(there ? p_.a + row * p_.a_stride + k : a, there ? p_.a_stride : blocks_.stride, rows,
                    terms, a, blocks_.stride);
    } else if (blocks_.rounded) {
      for (int64_t r = 0; r < rows; ++r) round_to_bf16(a + r * blocks_.stride, terms);
    }
    for (int64_t r = rows; r < whole; ++r) std::fill_n(a + r * blocks_.stride, terms, 0.0F);
    return {a, blocks_.stride};
  }

  // Rows [first_row, first_row + rows) of the task; `c` is where the first of them goes. Either all rows pass
  // a panel that stays in L1, or, where a panel is too long for that, all panels pass a tile's rows.
  void multiply_block(const Task& task, int64_t first_row, int64_t rows, int64_t first_k, int64_t k,
                      int64_t terms, const Rows& block, float* c, int64_t c_stride) const {
    constexpr int64_t l1_floats = 9 << 10;  // 36 KiB
    const GemmKernel& kernel = blocks_.kernel;
    const int64_t tiles = divide_up(rows, kernel.rows), panels = task.panels;
    Tile tile{};
    tile.a_stride = tile.fetch_stride = block.stride;
    tile.k = divide_up(terms, blocks_.together);
    tile.c_stride = c_stride;
    tile.add = k > 0;
    const bool panel_stays = tile.k * blocks_.panel <= l1_floats;
    for (int64_t turn = 0; turn < tiles * panels; ++turn) {
      const int64_t i = panel_stays ? turn / tiles : turn % panels;
      const int64_t r = (panel_stays ? turn % tiles : turn / panels) * kernel.rows;
      const int64_t row = first_row + r, column = i * blocks_.panel;
      const int64_t columns = columns_of(task.first_panel + i), padded = kernel.padded(columns);
      tile.a = block.first + r * block.stride;
      tile.b = packed_panel(i, first_k, k);
      tile.vectors = padded / kernel.width;
      tile.c = c + r * c_stride + column;
      if (k == 0 && p_.row_bias != nullptr) tile.row_bias = p_.row_bias + task.row + row;
      if (k == 0 && p_.column_bias != nullptr)
        tile.column_bias = p_.column_bias + task.first_panel * blocks_.panel + column;
      // The rows of the next tile come from far away, the first time; meanwhile they are fetched.
      const int64_t from = panel_stays ? 0 : kernel.rows * i / panels;
      const int64_t to = panel_stays ? (i == 0 ? kernel.rows : 0) : kernel.rows * (i + 1) / panels;
      tile.fetch = tile.a + (kernel.rows + from) * block.stride;
      tile.fetch_rows = r + 2 * kernel.rows <= rows ? to - from : 0;
      if (r + kernel.rows <= rows && columns == padded) {
        kernel.run(tile);
      } else {
        run_border_tile(kernel, tile, std::min(kernel.rows, rows - r), columns);
      }
    }
  }

  const Product& p_;
  const Blocks blocks_;
  const int64_t a_floats_, c_floats_, own_floats_;
  const std::shared_ptr<float> own_;  // for each thread: packed panels, a block of A, a task's part of C
};

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
  if (in_dry_run()) return;
#pragma omp parallel num_threads(threads) if (threads > 1)
  multiplication.run();
}

}  // namespace cutaway::fast
