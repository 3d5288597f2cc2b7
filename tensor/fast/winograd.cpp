// The trick: Winograd's transforms (winograd_transforms.cpp) turn a 3 x 3 convolution into 36 (or 16) matrix
// products, one for each position in a tile: M[t] = U[t] V[t], with U[t] the transformed weights, [out, in],
// and V[t] the transformed pixels, [in, tiles]. They take 4 (or 2.25) times fewer multiplications than the
// direct way, and the kernel of gemm.h does them near the peak of the machine.
//
// Who does what: a core is slow to read what another core has just written, and five times slower to write
// over it. So each keeps its own numbers to itself, and meets the others once:
//
//   a small image: all cores transform the pixels, V; then each takes some channels of the result, makes
//                  their U, multiplies, goes back to pixels, and forgets U, which would be four times as
//                  large as the weights.
//   a large image: all cores transform the weights, U; then each takes some tiles, makes their V, multiplies,
//                  goes back to pixels.
#include "tensor/fast/winograd.h"

#include <omp.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "tensor/fast/gemm.h"
#include "tensor/fast/read_weight.h"
#include "tensor/fast/rounding.h"
#include "tensor/fast/simd.h"
#include "tensor/fast/winograd_transforms.h"
#include "tensor/memory.h"

namespace cutaway::fast {
namespace {

// How a convolution is cut. Sums run over k in blocks whose borders depend on k alone.
struct Plan {
  GemmKernel kernel;
  int64_t m, positions;
  int64_t in, out, height, width, out_height, out_width, images;
  int64_t top, left;                 // padding
  int64_t tiles_across, tiles_down;  // of one image; some tiles may lie beyond its right edge
  int64_t lanes;                     // tiles in a vector
  bool large;                        // each core takes some tiles; else some channels
  int64_t chunk_rows;                // rows of tiles at a time: of all images, one below the other
  int64_t columns;                   // tiles in a chunk, made up to whole vectors
  int64_t panel, panel_stride;       // columns in a panel, floats in a panel
  int64_t v_stride;                  // floats from one position to the next
  int64_t block_rows;                // channels of the result at a time
  int64_t u_row, u_stride, m_stride;
  int64_t k_block;
  int64_t line;

  int64_t tile_rows() const { return images * tiles_down; }
  int64_t chunks() const { return divide_up(tile_rows(), chunk_rows); }
  int64_t columns_of(int64_t rows) const { return round_up(rows * tiles_across, kernel.width); }
};

// Positions a power of two apart would all fall on the same lines of the cache.
int64_t off_powers_of_two(int64_t floats) { return round_up(floats, 16) + 80; }

void plan_columns(Plan& p, int64_t threads) {
  constexpr int64_t shared_v = 16 << 20, own_v = 3 << 20, most_u = 16 << 20;  // 64, 12 and 64 MiB
  p.lanes = p.kernel.width;
  while (p.tiles_across % p.lanes != 0) p.lanes /= 2;
  const auto rows_of = [&](int64_t floats, int64_t least, int64_t most) {
    return std::max<int64_t>(std::clamp(floats / (p.positions * p.in), least, most) / p.tiles_across, 1);
  };
  const int64_t own_chunks = divide_up(p.tile_rows(), rows_of(own_v, 48, 144));
  p.large = own_chunks >= 2 * threads && p.positions * p.u_row * round_up(p.out, p.kernel.rows) <= most_u;
  const int64_t chunks =
      p.large ? round_up(own_chunks, threads) : divide_up(p.tile_rows(), rows_of(shared_v, 1, 512));
  p.chunk_rows = divide_up(p.tile_rows(), chunks);
  p.columns = p.columns_of(p.chunk_rows);
  p.panel = p.kernel.panel_for(p.columns);
  p.panel_stride = p.panel * p.in;
  p.v_stride = off_powers_of_two(divide_up(p.columns, p.panel) * p.panel_stride);
}

Plan plan_of(const Tensor& x, const Weight& weight, const Padding& padding, int64_t side, int64_t threads) {
  constexpr int64_t l1_k = 384, most_block = 64;
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
  p.k_block = divide_up(p.in, divide_up(p.in, l1_k));
  p.u_row = round_up(p.in, 16) + 16;
  plan_columns(p, threads);
  const int64_t rows = round_up(p.out, p.kernel.rows);
  p.block_rows = std::min(rows, most_block);
  // Enough blocks for all cores.
  while (!p.large && p.block_rows > p.kernel.rows && divide_up(rows, p.block_rows) < 4 * threads)
    p.block_rows = round_up(p.block_rows / 2, p.kernel.rows);
  p.u_stride = off_powers_of_two((p.large ? rows : p.block_rows) * p.u_row);
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
        several_(threads > 1),
        u_(allocate_floats((plan.large ? 1 : threads) * plan.positions * plan.u_stride)),
        v_(allocate_floats((plan.large ? threads : 1) * plan.positions * plan.v_stride)),
        m_(allocate_floats(threads * plan.positions * plan.m_stride)),
        scratch_floats_(std::max((plan.m + 3) * plan.line, 9 * plan.in)),
        scratch_(allocate_floats(threads * scratch_floats_)) {}

  // Runs on every thread of a team at once; each `omp for` shares its turns among them and waits for all.
  void run() const { p_.large ? run_by_tiles() : run_by_channels(); }

 private:
  // Of the result: channels [out, out + outs), in tiles [row, row + rows) of all rows of tiles.
  struct Part {
    int64_t row, rows, out, outs;
  };

  void run_by_tiles() const {
#pragma omp for schedule(dynamic, 4)
    for (int64_t o = 0; o < round_up(p_.out, p_.kernel.rows); ++o)
      transform_weights(o, u_.get() + o * p_.u_row);
#pragma omp for schedule(dynamic)
    for (int64_t chunk = 0; chunk < p_.chunks(); ++chunk) {
      float* const v = mine(v_, p_.v_stride);
      const int64_t row = chunk * p_.chunk_rows, rows = std::min(p_.chunk_rows, p_.tile_rows() - row);
      for (int64_t c = 0; c < p_.in; ++c) transform_input(c, row, rows, v);
      for (int64_t out = 0; out < p_.out; out += p_.block_rows)
        multiply({row, rows, out, std::min(p_.block_rows, p_.out - out)}, u_.get() + out * p_.u_row, v);
    }
  }

  void run_by_channels() const {
    for (int64_t row = 0; row < p_.tile_rows(); row += p_.chunk_rows) {
      const int64_t rows = std::min(p_.chunk_rows, p_.tile_rows() - row);
#pragma omp for schedule(dynamic, 4)
      for (int64_t c = 0; c < p_.in; ++c) transform_input(c, row, rows, v_.get());
#pragma omp for schedule(dynamic)
      for (int64_t block = 0; block < divide_up(p_.out, p_.block_rows); ++block) {
        float* const u = mine(u_, p_.u_stride);
        const int64_t out = block * p_.block_rows, outs = std::min(p_.block_rows, p_.out - out);
        for (int64_t r = 0; r < round_up(outs, p_.kernel.rows); ++r)
          transform_weights(out + r, u + r * p_.u_row);
        multiply({row, rows, out, outs}, u, v_.get());
      }
    }
  }

  // This thread's part of a buffer.
  float* mine(const std::shared_ptr<float>& all, int64_t stride) const {
    return all.get() + omp_get_thread_num() * p_.positions * stride;
  }
  float* scratch() const { return scratch_.get() + omp_get_thread_num() * scratch_floats_; }

  void transform_input(int64_t c, int64_t first_row, int64_t rows, float* v) const {
    const int64_t columns = p_.columns_of(rows), plane = p_.height * p_.width;
    const bool stream = several_ && !p_.large && p_.lanes == 16;  // whole lines of memory
    WinogradInput r{p_.m,      nullptr, p_.height, p_.width,    0, -p_.left, p_.tiles_across, p_.lanes,
                    scratch(), p_.line, nullptr,   p_.v_stride, 0, p_.panel, p_.panel_stride, stream};
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t image = (first_row + i) / p_.tiles_down, down = (first_row + i) % p_.tiles_down;
      r.plane = x_ + (image * p_.in + c) * plane;
      r.top = down * p_.m - p_.top;
      r.column = i * p_.tiles_across;
      r.to = v + c * p_.panel;
      winograd_input(r);
    }
    for (int64_t j = rows * p_.tiles_across; j < columns; ++j) {
      float* const unused = v + j / p_.panel * p_.panel_stride + c * p_.panel + j % p_.panel;
      for (int64_t t = 0; t < p_.positions; ++t) unused[t * p_.v_stride] = 0;
    }
    if (stream) finish_streams();
  }

  // Of one channel of the result; behind the last one, zeros.
  void transform_weights(int64_t out, float* to) const {
    const bool stream = several_ && p_.large;
    if (out < p_.out) {
      read_weight(weight_, out * p_.in * 9, p_.in * 9, scratch());
      winograd_weights(p_.m, scratch(), p_.in, to, p_.u_stride, stream);
      if (stream) finish_streams();
    } else {
      for (int64_t t = 0; t < p_.positions; ++t) std::fill_n(to + t * p_.u_stride, p_.in, 0.0F);
    }
  }

  void multiply(const Part& part, const float* u, const float* v) const {
    float* const sums = mine(m_, p_.m_stride);
    for (int64_t t = 0; t < p_.positions; ++t)
      multiply_position(part, u + t * p_.u_stride, v + t * p_.v_stride, sums + t * p_.m_stride);
    transform_output(part, sums);
  }

  void multiply_position(const Part& part, const float* u, const float* v, float* sums) const {
    const int64_t rows = round_up(part.outs, p_.kernel.rows), columns = p_.columns_of(part.rows);
    for (int64_t k = 0; k < p_.in; k += p_.k_block) {
      const int64_t terms = std::min(p_.k_block, p_.in - k);
      for (int64_t j = 0; j < columns; j += p_.panel) {
        const int64_t vectors = std::min(p_.panel, columns - j) / p_.kernel.width;
        Tile tile{nullptr,    p_.u_row, v + j / p_.panel * p_.panel_stride + k * p_.panel,
                  terms,      vectors,  nullptr,
                  p_.columns, k > 0};
        tile.b_stride = p_.panel;
        // The first tile on a panel would wait for all of it: each tile fetches a part of the next.
        const float* const next_panel = j + p_.panel < columns ? tile.b + p_.panel_stride
                                        : k + terms < p_.in    ? v + (k + terms) * p_.panel
                                                               : v + p_.v_stride;
        tile.fetch_rows = divide_up(p_.panel, rows / p_.kernel.rows);
        tile.fetch_stride = terms;
        for (int64_t r = 0; r < rows; r += p_.kernel.rows) {
          tile.a = u + r * p_.u_row + k;
          tile.c = sums + r * p_.columns + j;
          tile.fetch = next_panel + r / p_.kernel.rows * tile.fetch_rows * terms;
          p_.kernel.run(tile);
        }
      }
    }
  }

  void transform_output(const Part& part, const float* sums) const {
    for (int64_t o = 0; o < part.outs; ++o) {
      for (int64_t i = 0; i < part.rows; ++i) {
        const int64_t image = (part.row + i) / p_.tiles_down, down = (part.row + i) % p_.tiles_down;
        float* const plane = y_ + (image * p_.out + part.out + o) * p_.out_height * p_.out_width;
        winograd_output({p_.m, sums + o * p_.columns + i * p_.tiles_across, p_.m_stride, p_.tiles_across,
                         p_.lanes, bias_ != nullptr ? bias_[part.out + o] : 0,
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
  const bool several_;
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
  constexpr int64_t products_worth_a_team = 4000000;
  const int64_t tiles = x.shape()[0] * divide_up(x.shape()[2], side) * divide_up(x.shape()[3], side);
  const int64_t products = (side + 2) * (side + 2) * weight.shape[0] * weight.shape[1] * tiles;
  const int threads = products > products_worth_a_team ? omp_get_max_threads() : 1;
  const Plan plan = plan_of(x, weight, padding, side, threads);
  const std::vector<float> b = read_bias(bias);
  Tensor result({plan.images, plan.out, plan.out_height, plan.out_width});
  const WinogradConvolution convolution(plan, x.data(), weight, bias ? b.data() : nullptr,
                                        result.mutable_data(), threads);
  if (in_dry_run()) return result;
#pragma omp parallel num_threads(threads) if (threads > 1)
  convolution.run();
  return result;
}

}  // namespace cutaway::fast
