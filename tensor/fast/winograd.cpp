// The trick: Winograd's transforms (winograd_transforms.cpp) turn a 3 x 3 convolution into 36 (or 16) matrix
// products, one for each position in a tile: M[t] = U[t] V[t], with U[t] the transformed weights, [out, in],
// and V[t] the transformed pixels, [in, tiles]. They take 4 (or 2.25) times fewer multiplications than the
// direct way, and the kernel of gemm.h does them near the peak of the machine.
//
// U would be four times as large as the weights, more than most machines have. So it is made in blocks of a
// few channels, which every tile uses while they are in the cache, and then forgotten.
#include "tensor/fast/winograd.h"

#include <omp.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "tensor/fast/gemm.h"
#include "tensor/fast/weights.h"
#include "tensor/fast/winograd_transforms.h"
#include "tensor/memory.h"
#include "tensor/rehearsal.h"

namespace cutaway::fast {
namespace {

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

// How a convolution is cut. Sums run over k in blocks whose borders depend on k alone.
struct Plan {
  GemmKernel kernel;
  int64_t m, positions;
  int64_t in, out, height, width, out_height, out_width, images;
  int64_t top, left;                 // padding
  int64_t tiles_across, tiles_down;  // of one image; some tiles may lie beyond its right edge
  int64_t lanes;                     // tiles in a vector
  int64_t chunk_rows;                // rows of tiles at a time: of all images, one below the other
  int64_t columns;                   // tiles in a chunk, made up to whole vectors
  int64_t panel, panel_stride;       // columns in a panel, floats in a panel
  int64_t v_stride;                  // floats from one position to the next
  int64_t block_rows;                // channels of the result at a time
  int64_t u_row, u_stride, m_stride;
  int64_t k_block;
  int64_t line;

  int64_t tile_rows() const { return images * tiles_down; }
  int64_t columns_of(int64_t rows) const { return round_up(rows * tiles_across, kernel.width); }
};

// Positions a power of two apart would all fall on the same lines of the cache.
int64_t off_powers_of_two(int64_t floats) { return round_up(floats, 16) + 80; }

void plan_columns(Plan& p) {
  constexpr int64_t most_columns = 512, most_v = 16 << 20;  // 64 MiB
  p.lanes = p.kernel.width;
  while (p.tiles_across % p.lanes != 0) p.lanes /= 2;
  const int64_t wanted = std::clamp<int64_t>(most_v / (p.positions * p.in), 1, most_columns);
  const int64_t rows = std::clamp<int64_t>(wanted / p.tiles_across, 1, p.tile_rows());
  p.chunk_rows = divide_up(p.tile_rows(), divide_up(p.tile_rows(), rows));
  p.columns = p.columns_of(p.chunk_rows);
  const int64_t vectors = p.columns / p.kernel.width;
  // A panel with a single vector would leave most registers idle: 2 + 2 is better than 3 + 1.
  p.panel = p.kernel.width * (vectors % p.kernel.vectors == 1 && vectors > 1 ? 2 : p.kernel.vectors);
  p.panel_stride = p.panel * p.in;
  p.v_stride = off_powers_of_two(divide_up(p.columns, p.panel) * p.panel_stride);
}

Plan plan_of(const Tensor& x, const Weight& weight, const Padding& padding, int64_t side) {
  constexpr int64_t l1_k = 384, most_u = 4 << 20;  // 16 MiB
  Plan p{};
  p.kernel = gemm_kernel();
  p.m = side;
  p.positions = (side + 2) * (side + 2);
  p.images = x.shape()[0];
  p.in = x.shape()[1];
  p.height = x.shape()[2];
  p.width = x.shape()[3];
  p.out = weight.shape[0];
  p.top = padding.top;
  p.left = padding.left;
  p.out_height = p.height + padding.top + padding.bottom - 2;
  p.out_width = p.width + padding.left + padding.right - 2;
  p.tiles_across = round_up(divide_up(p.out_width, side), 4);
  p.tiles_down = divide_up(p.out_height, side);
  p.line = std::max(p.tiles_across * side + 4, p.left + p.width);
  plan_columns(p);
  p.k_block = divide_up(p.in, divide_up(p.in, l1_k));
  p.u_row = round_up(p.in, 16) + 16;
  const int64_t tile = p.kernel.rows;
  const int64_t fitting = std::max<int64_t>(most_u / (p.positions * p.u_row) / tile, 2) * tile;
  p.block_rows = round_up(divide_up(p.out, divide_up(p.out, fitting)), tile);
  p.u_stride = off_powers_of_two(p.block_rows * p.u_row);
  p.m_stride = off_powers_of_two(p.block_rows * p.columns);
  return p;
}

class WinogradConvolution {
 public:
  WinogradConvolution(const Plan& plan, const float* x, const Weight& weight, const float* bias, float* y,
                      int threads)
      : p_(plan),
        x_(x),
        weight_(weight),
        bias_(bias),
        y_(y),
        u_(allocate_floats(plan.positions * plan.u_stride)),
        v_(allocate_floats(plan.positions * plan.v_stride)),
        m_(allocate_floats(plan.positions * plan.m_stride)),
        scratch_floats_(std::max((plan.m + 3) * plan.line, 9 * plan.in)),
        scratch_(allocate_floats(threads * scratch_floats_)) {}

  // Runs on every thread of a team at once; each `omp for` shares its turns among them and waits for all.
  void run() const {
    for (int64_t row = 0; row < p_.tile_rows(); row += p_.chunk_rows) {
      const int64_t rows = std::min(p_.chunk_rows, p_.tile_rows() - row);
      transform_input(row, rows);
      for (int64_t out = 0; out < p_.out; out += p_.block_rows) {
        const int64_t outs = std::min(p_.block_rows, p_.out - out);
        transform_weights(out, outs);
        multiply_positions(outs, p_.columns_of(rows));
        transform_output(row, rows, out, outs);
      }
    }
  }

 private:
  float* scratch() const { return scratch_.get() + omp_get_thread_num() * scratch_floats_; }

  void transform_input(int64_t first_row, int64_t rows) const {
    const int64_t columns = p_.columns_of(rows), plane = p_.height * p_.width;
#pragma omp for schedule(dynamic)
    for (int64_t c = 0; c < p_.in; ++c) {
      WinogradInput r{p_.m,      nullptr, p_.height, p_.width,    0, -p_.left, p_.tiles_across, p_.lanes,
                      scratch(), p_.line, nullptr,   p_.v_stride, 0, p_.panel, p_.panel_stride};
      for (int64_t i = 0; i < rows; ++i) {
        const int64_t image = (first_row + i) / p_.tiles_down, down = (first_row + i) % p_.tiles_down;
        r.plane = x_ + (image * p_.in + c) * plane;
        r.top = down * p_.m - p_.top;
        r.column = i * p_.tiles_across;
        r.to = v_.get() + c * p_.panel;
        winograd_input(r);
      }
      for (int64_t j = rows * p_.tiles_across; j < columns; ++j) {
        float* const unused = v_.get() + j / p_.panel * p_.panel_stride + c * p_.panel + j % p_.panel;
        for (int64_t t = 0; t < p_.positions; ++t) unused[t * p_.v_stride] = 0;
      }
    }
  }

  void transform_weights(int64_t first_out, int64_t outs) const {
    const int64_t rows = round_up(outs, p_.kernel.rows);
#pragma omp for schedule(dynamic)
    for (int64_t r = 0; r < rows; ++r) {
      float* const to = u_.get() + r * p_.u_row;
      if (r < outs) {
        read_weight(weight_, (first_out + r) * p_.in * 9, p_.in * 9, scratch());
        winograd_weights(p_.m, scratch(), p_.in, to, p_.u_stride);
      } else {
        for (int64_t t = 0; t < p_.positions; ++t) std::fill_n(to + t * p_.u_stride, p_.in, 0.0F);
      }
    }
  }

  void multiply_positions(int64_t outs, int64_t columns) const {
    const int64_t rows = round_up(outs, p_.kernel.rows), task_rows = 16 * p_.kernel.rows;
    const int64_t row_tasks = divide_up(rows, task_rows);
#pragma omp for schedule(dynamic)
    for (int64_t task = 0; task < p_.positions * row_tasks; ++task) {
      const int64_t t = task / row_tasks, first = task % row_tasks * task_rows;
      const float* const u = u_.get() + t * p_.u_stride;
      const float* const v = v_.get() + t * p_.v_stride;
      float* const sums = m_.get() + t * p_.m_stride;
      for (int64_t k = 0; k < p_.in; k += p_.k_block) {
        const int64_t terms = std::min(p_.k_block, p_.in - k);
        for (int64_t j = 0; j < columns; j += p_.panel) {
          const int64_t vectors = std::min(p_.panel, columns - j) / p_.kernel.width;
          Tile tile{nullptr,    p_.u_row, v + j / p_.panel * p_.panel_stride + k * p_.panel,
                    terms,      vectors,  nullptr,
                    p_.columns, k > 0};
          tile.b_stride = p_.panel;
          for (int64_t r = first; r < std::min(first + task_rows, rows); r += p_.kernel.rows) {
            tile.a = u + r * p_.u_row + k;
            tile.c = sums + r * p_.columns + j;
            p_.kernel.run(tile);
          }
        }
      }
    }
  }

  void transform_output(int64_t first_row, int64_t rows, int64_t first_out, int64_t outs) const {
#pragma omp for schedule(dynamic)
    for (int64_t o = 0; o < outs; ++o) {
      for (int64_t i = 0; i < rows; ++i) {
        const int64_t image = (first_row + i) / p_.tiles_down, down = (first_row + i) % p_.tiles_down;
        float* const plane = y_ + (image * p_.out + first_out + o) * p_.out_height * p_.out_width;
        winograd_output({p_.m, m_.get() + o * p_.columns + i * p_.tiles_across, p_.m_stride, p_.tiles_across,
                         p_.lanes, bias_ != nullptr ? bias_[first_out + o] : 0,
                         plane + down * p_.m * p_.out_width, std::min(p_.m, p_.out_height - down * p_.m),
                         p_.out_width, p_.out_width});
      }
    }
  }

  const Plan p_;
  const float* const x_;
  const Weight& weight_;
  const float* const bias_;
  float* const y_;
  const std::shared_ptr<float> u_, v_, m_;
  const int64_t scratch_floats_;
  const std::shared_ptr<float> scratch_;
};

}  // namespace

int64_t winograd_side(const Shape& x, const Shape& weight, const Conv2dOptions& options) {
  if (weight[2] != 3 || weight[3] != 3 || options.stride != 1 || options.dilation != 1 || options.groups != 1)
    return 0;
  const Padding& p = options.padding;
  const int64_t height = x[2] + p.top + p.bottom - 2, width = x[3] + p.left + p.right - 2;
  if (weight[0] < 64 || weight[1] < 64) return 0;
  if (height * width >= 24 * 24 && width >= 16) return 4;
  return height * width >= 16 * 12 && width >= 8 ? 2 : 0;
}

Tensor winograd(const Tensor& x, const Weight& weight, const std::optional<Weight>& bias,
                const Padding& padding, int64_t side) {
  const Plan plan = plan_of(x, weight, padding, side);
  const std::vector<float> b = read_bias(bias);
  Tensor result({plan.images, plan.out, plan.out_height, plan.out_width});
  constexpr int64_t products_worth_a_team = 4000000;
  const int64_t products = plan.positions * plan.in * plan.out * plan.tile_rows() * plan.tiles_across;
  const int threads = products > products_worth_a_team ? omp_get_max_threads() : 1;
  const WinogradConvolution convolution(plan, x.data(), weight, bias ? b.data() : nullptr,
                                        result.mutable_data(), threads);
  if (rehearsing()) return result;
#pragma omp parallel num_threads(threads) if (threads > 1)
  convolution.run();
  return result;
}

}  // namespace cutaway::fast
