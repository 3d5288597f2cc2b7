// The trick: a convolution is a matrix product of the weights [out, in kh kw] with a matrix that has a column
// for each pixel of the result and a row for each tap: the number that this tap sees from that pixel. That
// matrix (im2col) is never made; its panels are gathered from the image when the product needs them, while
// they are in the cache. One channel and tap gives a run of neighbouring pixels, so gathering is mostly
// copying. 1 x 1 kernels see the image itself.
//
// The last convolution of a network has three or four channels of results: too few to be worth a matrix.
// There every tap of every channel is added, line by line, to the sums of a line of pixels.
#include <algorithm>
#include <cstring>
#include <vector>

#include "tensor/backend.h"
#include "tensor/fast/gemm.h"
#include "tensor/fast/ops.h"
#include "tensor/fast/parallel.h"
#include "tensor/fast/read_weight.h"
#include "tensor/fast/rounding.h"
#include "tensor/fast/simd.h"
#include "tensor/fast/winograd.h"
#include "tensor/memory.h"

namespace cutaway::fast {
namespace {

// How a kernel's window lies on an image.
struct Window {
  int64_t height, width;  // of the image
  int64_t kh, kw, stride, dilation;
  int64_t top, left;  // padding
  int64_t out_width;
};

// Neighbouring pixels of one row of the result.
struct Run {
  int64_t at;  // first column in the panel
  int64_t length;
  int64_t y, x;  // where the window's corner lies in the image for the first of them; negative in the padding
};

std::vector<Run> runs_of(const Window& w, int64_t pixel, int64_t pixels) {
  std::vector<Run> runs;
  for (int64_t at = 0; at < pixels;) {
    const int64_t oy = (pixel + at) / w.out_width, ox = (pixel + at) % w.out_width;
    const int64_t length = std::min(pixels - at, w.out_width - ox);
    runs.push_back({at, length, oy * w.stride - w.top, ox * w.stride - w.left});
    at += length;
  }
  return runs;
}

// Small images have short runs, for which a call of memcpy or memset takes longer than the copying. (The
// empty asm keeps the compiler from making one of these loops.)
void copy_run(const float* from, int64_t count, float* to) {
  using S = Simd<4>;
  if (count > 64) {
    std::memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
    return;
  }
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    S::Vec four;
    S::load(four, from + i);
    S::store(four, to + i);
    asm("" : "+r"(i));
  }
  for (; i < count; ++i) {
    to[i] = from[i];
    asm("" : "+r"(i));
  }
}
void zero_run(float* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    to[i] = 0;
    asm("" : "+r"(i));
  }
}

// to[i] = row[x + i * stride], 0 outside [0, width).
void gather(const float* row, int64_t width, int64_t x, int64_t stride, int64_t count, float* to) {
  if (stride == 1) {
    const int64_t begin = std::clamp<int64_t>(-x, 0, count), end = std::clamp(width - x, begin, count);
    zero_run(to, begin);
    if (begin < end) copy_run(row + x + begin, end - begin, to + begin);
    zero_run(to + end, count - end);
    return;
  }
  const int64_t begin = std::clamp<int64_t>(x < 0 ? (-x + stride - 1) / stride : 0, 0, count);
  const int64_t end = std::clamp<int64_t>(x < width ? (width - x + stride - 1) / stride : 0, begin, count);
  std::fill_n(to, begin, 0.0F);
  for (int64_t i = begin; i < end; ++i) to[i] = row[x + i * stride];
  std::fill(to + end, to + count, 0.0F);
}

// Rows [first, first + count) of the matrix, columns of `pixels` pixels; row (i kh + ky) kw + kx is channel i
// under tap (ky, kx), in the weights' order.
void read_pixels(const float* image, const Window& w, int64_t pixel, int64_t pixels, int64_t first,
                 int64_t count, float* panel, int64_t panel_width) {
  const std::vector<Run> runs = runs_of(w, pixel, pixels);
  for (int64_t k = first; k < first + count; ++k, panel += panel_width) {
    const float* const plane = image + k / (w.kh * w.kw) * w.height * w.width;
    const int64_t down = k / w.kw % w.kh * w.dilation, right = k % w.kw * w.dilation;
    for (const Run& run : runs) {
      const int64_t y = run.y + down;
      if (y < 0 || y >= w.height) {
        std::fill_n(panel + run.at, run.length, 0.0F);
      } else {
        gather(plane + y * w.width, w.width, run.x + right, w.stride, run.length, panel + run.at);
      }
    }
    std::fill(panel + pixels, panel + panel_width, 0.0F);
  }
}

// ---- Few channels of results

constexpr int64_t few_outputs = 4, pixels_at_once = 64;

// sums[o][x] += sum over taps of w[o][ky][kx] lines[ky][x + kx dilation], for one channel of the image.
struct FewOutputs {
  const float* lines;  // kh of them, `line` floats apart, with their padding
  int64_t line, kh, kw, dilation;
  const float* weights;  // of output 0, those of the next `weight_stride` further
  int64_t weight_stride, out;
  float* sums;
  int64_t pixels;  // in a row of sums; a multiple of pixels_at_once
};
template <int width>
CUTAWAY_INLINE void add_channel_body(const FewOutputs& f) {
  using S = Simd<width>;
  for (int64_t o = 0; o < f.out; ++o) {
    float* const sums = f.sums + o * f.pixels;
    for (int64_t x = 0; x < f.pixels; x += 4 * width) {
      const float* tap = f.weights + o * f.weight_stride;
      typename S::Vec sum[4], pixels;
      CUTAWAY_UNROLL for (int v = 0; v < 4; ++v) S::load(sum[v], sums + x + v * width);
      for (int64_t ky = 0; ky < f.kh; ++ky) {
        const float* from = f.lines + ky * f.line + x;
        for (int64_t kx = 0; kx < f.kw; ++kx, from += f.dilation, ++tap) {
          CUTAWAY_UNROLL for (int v = 0; v < 4; ++v) {
            S::load(pixels, from + v * width);
            sum[v] += *tap * pixels;
          }
        }
      }
      CUTAWAY_UNROLL for (int v = 0; v < 4; ++v) S::store(sum[v], sums + x + v * width);
    }
  }
}
CUTAWAY_LADDER(add_channel, (const FewOutputs& f), (f))

// The result's row `oy`: y[o * plane + x].
void row_of_few(const float* image, int64_t in, const Window& w, int64_t oy, const float* weights,
                int64_t out, const float* bias, float* y, int64_t plane) {
  const int64_t pixels = round_up(w.out_width, pixels_at_once);
  const int64_t line = pixels + (w.kw - 1) * w.dilation;
  std::vector<float> lines(static_cast<size_t>(w.kh * line)), sums(static_cast<size_t>(out * pixels));
  for (int64_t c = 0; c < in; ++c) {
    for (int64_t ky = 0; ky < w.kh; ++ky) {
      float* const to = lines.data() + ky * line;
      const int64_t from = oy - w.top + ky * w.dilation;
      if (from < 0 || from >= w.height)
        std::fill_n(to, line, 0.0F);
      else
        gather(image + (c * w.height + from) * w.width, w.width, -w.left, 1, line, to);
    }
    add_channel({lines.data(), line, w.kh, w.kw, w.dilation, weights + c * w.kh * w.kw, in * w.kh * w.kw, out,
                 sums.data(), pixels});
  }
  for (int64_t o = 0; o < out; ++o) {
    const float b = bias != nullptr ? bias[o] : 0;
    for (int64_t x = 0; x < w.out_width; ++x)
      y[o * plane + x] = sums[static_cast<size_t>(o * pixels + x)] + b;
  }
}

Tensor conv2d_of_few(const Tensor& x, const Weight& weight, const float* bias, const Window& w,
                     int64_t out_height) {
  const int64_t images = x.shape()[0], in = x.shape()[1], out = weight.shape[0];
  const int64_t plane = out_height * w.out_width;
  Tensor result({images, out, out_height, w.out_width});
  if (in_dry_run()) return result;
  std::vector<float> weights(static_cast<size_t>(weight.shape.count()));
  read_weight(weight, 0, weight.shape.count(), weights.data());
  float* const y = result.mutable_data();
  in_pieces(images * out_height, result.count() * in * w.kh * w.kw / 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t n = row / out_height, oy = row % out_height;
      row_of_few(x.data() + n * in * w.height * w.width, in, w, oy, weights.data(), out, bias,
                 y + n * out * plane + oy * w.out_width, plane);
    }
  });
  return result;
}

}  // namespace

Tensor conv2d(const Tensor& x, const Weight& weight, const std::optional<Weight>& bias,
              const Conv2dOptions& options) {
  const bool direct = current_convolution() == Convolution::direct;
  if (const int64_t side = direct ? 0 : winograd_side(x.shape(), weight.shape, options); side > 0) {
    return winograd(x, weight, bias, options.padding, side);
  }
  const int64_t images = x.shape()[0], in = x.shape()[1], height = x.shape()[2], width = x.shape()[3];
  const int64_t out = weight.shape[0], kh = weight.shape[2], kw = weight.shape[3];
  const int64_t in_per_group = weight.shape[1], out_per_group = out / options.groups,
                taps = in_per_group * kh * kw;
  const Padding& p = options.padding;
  const int64_t out_height =
      (height + p.top + p.bottom - options.dilation * (kh - 1) - 1) / options.stride + 1;
  const int64_t out_width = (width + p.left + p.right - options.dilation * (kw - 1) - 1) / options.stride + 1;
  const int64_t pixels = out_height * out_width;

  Window window{height, width, kh, kw, options.stride, options.dilation, p.top, p.left, out_width};
  const std::vector<float> b = read_bias(bias);
  const bool in_bf16 = current_precision() == Precision::bf16;  // whose factors multiply() rounds
  if (out <= few_outputs && options.groups == 1 && options.stride == 1 && out_width >= pixels_at_once / 2 &&
      !in_bf16) {
    return conv2d_of_few(x, weight, bias ? b.data() : nullptr, window, out_height);
  }
  const bool sees_the_image_itself =
      taps == in_per_group && options.stride == 1 && pixels == height * width && p.top == 0 && p.left == 0;
  if (sees_the_image_itself) window = {1, height * width, 1, 1, 1, 1, 0, 0, height * width};  // one long row

  Tensor result({images, out, out_height, out_width});
  for (int64_t group = 0; group < options.groups; ++group) {
    const int64_t first_out = group * out_per_group;
    Product product{.m = out_per_group, .n = pixels, .k = taps, .items = images};
    product.read_rows = [&](int64_t row, int64_t rows, int64_t first, int64_t count, float* to,
                            int64_t stride) {
      for (int64_t r = 0; r < rows; ++r) {
        read_weight(weight, (first_out + row + r) * taps + first, count, to + r * stride);
      }
    };
    if (const float* const weights = floats_of(weight)) {
      product.a = weights + first_out * taps;
      product.a_stride = taps;
    }
    product.read_panel = [&](int64_t n, int64_t column, int64_t columns, int64_t first, int64_t count,
                             float* panel, int64_t panel_width) {
      const float* const image = x.data() + (n * in + group * in_per_group) * height * width;
      read_pixels(image, window, column, columns, first, count, panel, panel_width);
    };
    product.c = result.mutable_data() + first_out * pixels;
    product.row_stride = pixels;
    product.item_stride = out * pixels;
    product.row_bias = bias ? b.data() + first_out : nullptr;
    multiply(product);
  }
  return result;
}

}  // namespace cutaway::fast
