// Conv2d: a small window of weights slides over the picture.
#pragma once

#include "nn/module.h"
#include "tensor/ops.h"
#include "tensor/trace.h"

namespace cutaway {

/// One output channel is a kernel of its own over all input channels. CompVis, diffusers: torch.nn.Conv2d.
struct Conv2d : Module {
  Weight weight;               // [out, in, kernel, kernel]
  std::optional<Weight> bias;  // [out]
  Conv2dOptions options;

  Conv2d(int64_t in, int64_t out, int64_t kernel, const Conv2dOptions& how = {})
      : weight({out, in / how.groups, kernel, kernel}), bias(Shape{out}), options(how) {}

  template <class V>
  void each(V&& visit) {
    visit("weight", weight);
    visit("bias", bias);
  }

  // x: [N, in, H, W]   ->   [N, out, H', W']
  Tensor operator()(Tensor x) const {
    Scope scope(path, x);
    return scope.out(conv2d(x, weight, bias, options));
  }
};

/// 3x3, one pixel of zeros around: the size stays.
inline Conv2d conv3x3(int64_t in, int64_t out) { return Conv2d(in, out, 3, {.padding = Padding::all(1)}); }
/// 1x1: the same matrix for every pixel.
inline Conv2d conv1x1(int64_t in, int64_t out) { return Conv2d(in, out, 1); }

}  // namespace cutaway
