// The trick: what all pixels stamp onto the result is one matrix product, [out kh kw, in] x [in, H W], done
// by the blocked product of gemm.cpp. What is left is to add the stamps up; each row of the result collects
// those that fall on it, so that no two threads write to the same place.
#include <algorithm>
#include <vector>

#include "tensor/fast/gemm.h"
#include "tensor/fast/ops.h"
#include "tensor/fast/parallel.h"
#include "tensor/fast/read_weight.h"

namespace cutaway::fast {
namespace {

struct Stamps {
  const float* values;  // [out, kh, kw, height, width] of one image
  int64_t height, width, kh, kw, stride, padding;
};

// Row `oy` of one channel: oy = iy stride + ky - padding.
void add_stamps(const Stamps& s, int64_t o, int64_t oy, float bias, float* row, int64_t out_width) {
  std::fill_n(row, out_width, bias);
  for (int64_t ky = 0; ky < s.kh; ++ky) {
    const int64_t from_top = oy + s.padding - ky;
    if (from_top < 0 || from_top % s.stride != 0 || from_top / s.stride >= s.height) continue;
    for (int64_t kx = 0; kx < s.kw; ++kx) {
      const float* stamp =
          s.values + (((o * s.kh + ky) * s.kw + kx) * s.height + from_top / s.stride) * s.width;
      for (int64_t ix = 0; ix < s.width; ++ix) {
        const int64_t ox = ix * s.stride + kx - s.padding;
        if (ox >= 0 && ox < out_width) row[ox] += stamp[ix];
      }
    }
  }
}

}  // namespace

Tensor conv_transpose2d(const Tensor& x, const Weight& weight, const std::optional<Weight>& bias,
                        const ConvTranspose2dOptions& options) {
  const int64_t images = x.shape()[0], in = x.shape()[1], height = x.shape()[2], width = x.shape()[3];
  const int64_t out = weight.shape[1], kh = weight.shape[2], kw = weight.shape[3], pixels = height * width;
  const int64_t out_height = (height - 1) * options.stride - 2 * options.padding + kh;
  const int64_t out_width = (width - 1) * options.stride - 2 * options.padding + kw;
  const int64_t stamped = out * kh * kw;  // numbers that one pixel stamps

  const WeightValues w = weight.f32();
  const std::vector<float> b = read_bias(bias);
  Tensor stamps({images, stamped, pixels});
  Product product{.m = stamped, .n = pixels, .k = in, .items = images};
  product.read_rows = [&](int64_t row, int64_t rows, int64_t first, int64_t count, float* to,
                          int64_t stride) {
    transpose(w.data() + first * stamped + row, stamped, count, rows, to, stride);
  };
  product.read_panel = [&](int64_t n, int64_t column, int64_t columns, int64_t first, int64_t count,
                           float* panel, int64_t panel_width) {
    for (int64_t i = 0; i < count; ++i, panel += panel_width) {
      const float* const from = x.data() + (n * in + first + i) * pixels + column;
      std::fill(std::copy_n(from, columns, panel), panel + panel_width, 0.0F);
    }
  };
  product.c = stamps.mutable_data();
  product.row_stride = pixels;
  product.item_stride = stamped * pixels;
  multiply(product);

  Tensor result({images, out, out_height, out_width});
  float* const y = result.mutable_data();
  in_pieces(images * out * out_height, stamps.count(), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t n = row / (out * out_height), o = row / out_height % out;
      const Stamps s{
          stamps.data() + n * stamped * pixels, height, width, kh, kw, options.stride, options.padding};
      add_stamps(s, o, row % out_height, bias ? b[static_cast<size_t>(o)] : 0, y + row * out_width,
                 out_width);
    }
  });
  return result;
}

}  // namespace cutaway::fast
