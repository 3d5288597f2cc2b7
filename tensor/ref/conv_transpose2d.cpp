// Transposed convolution, reference version: every pixel of x stamps its kernel onto the result.
#include <vector>

#include "tensor/ref/ops.h"

namespace cutaway::ref {

// y[n, o, iy * stride + ky - padding, ix * stride + kx - padding] += x[n, i, iy, ix] * weight[i, o, ky, kx],
// and bias[o] everywhere.
Tensor conv_transpose2d(const Tensor& x, const Weight& weight, const std::optional<Weight>& bias,
                        const ConvTranspose2dOptions& options) {
  const int64_t images = x.shape()[0], in = x.shape()[1], height = x.shape()[2], width = x.shape()[3];
  const int64_t out = weight.shape[1], kh = weight.shape[2], kw = weight.shape[3];
  const int64_t stride = options.stride, padding = options.padding;
  const int64_t out_height = (height - 1) * stride - 2 * padding + kh;
  const int64_t out_width = (width - 1) * stride - 2 * padding + kw;

  const WeightValues w = weight.f32();
  const WeightValues b = bias ? bias->f32() : WeightValues(Tensor::filled({out}, 0));  // no bias: zeros
  Tensor result({images, out, out_height, out_width});
  float* y = result.mutable_data();

  for (int64_t n = 0; n < images; ++n) {
    for (int64_t o = 0; o < out; ++o) {
      std::vector<double> sums(static_cast<size_t>(out_height * out_width), b[o]);
      for (int64_t i = 0; i < in; ++i) {
        const float* plane = x.data() + (n * in + i) * height * width;
        const float* kernel = w.data() + (i * out + o) * kh * kw;
        for (int64_t iy = 0; iy < height; ++iy) {
          for (int64_t ix = 0; ix < width; ++ix) {
            for (int64_t ky = 0; ky < kh; ++ky) {
              const int64_t oy = iy * stride + ky - padding;
              if (oy < 0 || oy >= out_height) continue;  // padding takes these rows away
              for (int64_t kx = 0; kx < kw; ++kx) {
                const int64_t ox = ix * stride + kx - padding;
                if (ox < 0 || ox >= out_width) continue;
                sums[static_cast<size_t>(oy * out_width + ox)] +=
                    static_cast<double>(plane[iy * width + ix]) * kernel[ky * kw + kx];
              }
            }
          }
        }
      }
      for (int64_t pixel = 0; pixel < out_height * out_width; ++pixel) {
        y[(n * out + o) * out_height * out_width + pixel] =
            static_cast<float>(sums[static_cast<size_t>(pixel)]);
      }
    }
  }
  return result;
}

}  // namespace cutaway::ref
