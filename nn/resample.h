// "Downsample" and "Upsample" in the picture: half the size, twice the size.   Doc: docs/unet/resample.md
#pragma once

#include "nn/conv2d.h"

namespace cutaway {

/// A 3x3 convolution in steps of two pixels. The UNet pads one pixel on every side, the VAE's encoder
/// right and bottom only, as the first VQGAN did. CompVis: Downsample, diffusers: Downsample2D.
struct Downsample : Module {
  Conv2d conv;

  explicit Downsample(int64_t channels, const Padding& padding = Padding::all(1))
      : conv(channels, channels, 3, {.stride = 2, .padding = padding}) {}

  template <class V>
  void each(V&& visit) {
    visit("conv", conv);
  }

  // x: [N, C, H, W]   ->   [N, C, H / 2, W / 2], odd sizes rounded up in the UNet
  Tensor operator()(Tensor x) const {
    Scope scope(path, x);
    return scope.out(conv(x));
  }
};

/// Every pixel four times, then a 3x3 convolution. CompVis: Upsample, diffusers: Upsample2D.
struct Upsample : Module {
  Conv2d conv;

  explicit Upsample(int64_t channels) : conv(conv3x3(channels, channels)) {}

  template <class V>
  void each(V&& visit) {
    visit("conv", conv);
  }

  // x: [N, C, H, W]   ->   [N, C, 2 H, 2 W]
  Tensor operator()(Tensor x) const { return (*this)(x, 2 * x.shape()[2], 2 * x.shape()[3]); }

  // The same to a given size: where a level of odd size was halved, its skip connection says which.
  Tensor operator()(Tensor x, int64_t height, int64_t width) const {
    Scope scope(path, x);
    Tensor h = upsample_nearest(x, height, width);
    h = conv(h);
    return scope.out(h);
  }
};

}  // namespace cutaway
