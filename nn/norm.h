// GroupNorm and LayerNorm: mean 0 and variance 1, then a learnt scale and shift.   Doc: docs/unet/norm.md
#pragma once

#include "nn/module.h"
#include "tensor/ops.h"
#include "tensor/trace.h"

namespace cutaway {

/// For each image, groups of channels together (Wu & He 2018); the scale and shift are one a channel.
struct GroupNorm : Module {
  Weight weight, bias;  // [channels]
  int64_t groups;
  float eps;  // 1e-5 in the UNet's ResBlocks, 1e-6 in its Transformers and in the VAE

  GroupNorm(int64_t group_count, int64_t channels, float epsilon)
      : weight({channels}), bias({channels}), groups(group_count), eps(epsilon) {}

  template <class V>
  void each(V&& visit) {
    visit("weight", weight);
    visit("bias", bias);
  }

  // x: [N, channels, ...]   ->   the same shape
  Tensor operator()(Tensor x) const {
    Scope scope(path, x);
    return scope.out(group_norm(x, weight, bias, groups, eps));
  }
};

/// For each token by itself, over its width (Ba et al. 2016).
struct LayerNorm : Module {
  Weight weight, bias;  // [width]
  float eps;

  explicit LayerNorm(int64_t width, float epsilon = 1e-5F) : weight({width}), bias({width}), eps(epsilon) {}

  template <class V>
  void each(V&& visit) {
    visit("weight", weight);
    visit("bias", bias);
  }

  // x: [..., width]   ->   the same shape
  Tensor operator()(Tensor x) const {
    Scope scope(path, x);
    return scope.out(layer_norm(x, weight, bias, eps));
  }
};

}  // namespace cutaway
