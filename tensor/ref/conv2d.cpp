// Convolution, reference version: the sum over a window of every input channel, pixel by pixel.
#include "tensor/ref/ops.h"

namespace cutaway::ref {

// y[n, o, oy, ox] = bias[o] + sum over i, ky, kx of
//                   weight[o, i, ky, kx] * x[n, first_in + i, oy * stride + ky * dilation - top,
//                                                             ox * stride + kx * dilation - left]
// where first_in is the first input channel of the group that o belongs to.
Tensor conv2d(const Tensor& x, const Weight& weight, const std::optional<Weight>& bias,
              const Conv2dOptions& options) {
  const int64_t images = x.shape()[0], in = x.shape()[1], height = x.shape()[2], width = x.shape()[3];
  const int64_t out = weight.shape[0], in_per_group = weight.shape[1];
  const int64_t kh = weight.shape[2], kw = weight.shape[3];
  const int64_t stride = options.stride, dilation = options.dilation;
  const Padding& p = options.padding;
  const int64_t out_height = (height + p.top + p.bottom - dilation * (kh - 1) - 1) / stride + 1;
  const int64_t out_width = (width + p.left + p.right - dilation * (kw - 1) - 1) / stride + 1;
  const int64_t out_per_group = out / options.groups;

  const WeightValues w = weight.f32();
  const WeightValues b = bias ? bias->f32() : WeightValues(Tensor::filled({out}, 0));  // no bias: zeros
  Tensor result({images, out, out_height, out_width});
  float* y = result.mutable_data();

  for (int64_t n = 0; n < images; ++n) {
    for (int64_t o = 0; o < out; ++o) {
      const int64_t first_in = o / out_per_group * in_per_group;
      for (int64_t oy = 0; oy < out_height; ++oy) {
        for (int64_t ox = 0; ox < out_width; ++ox) {
          double sum = b[o];
          for (int64_t i = 0; i < in_per_group; ++i) {
            const float* plane = x.data() + (n * in + first_in + i) * height * width;
            const float* kernel = w.data() + (o * in_per_group + i) * kh * kw;
            for (int64_t ky = 0; ky < kh; ++ky) {
              const int64_t iy = oy * stride + ky * dilation - p.top;
              if (iy < 0 || iy >= height) continue;  // outside the picture are zeros: nothing to add
              for (int64_t kx = 0; kx < kw; ++kx) {
                const int64_t ix = ox * stride + kx * dilation - p.left;
                if (ix < 0 || ix >= width) continue;
                sum += static_cast<double>(kernel[ky * kw + kx]) * plane[iy * width + ix];
              }
            }
          }
          y[((n * out + o) * out_height + oy) * out_width + ox] = static_cast<float>(sum);
        }
      }
    }
  }
  return result;
}

}  // namespace cutaway::ref
