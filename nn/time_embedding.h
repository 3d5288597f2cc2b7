// "TimeEmbedding" in the picture: the time step as waves, then a small network.   Doc: docs/unet/time.md
#pragma once

#include "nn/linear.h"

namespace cutaway {

/// linear_1, SiLU, linear_2. CompVis: time_embed, diffusers: TimestepEmbedding.
struct TimeEmbedding : Module {
  Linear linear_1, linear_2;

  TimeEmbedding(int64_t waves, int64_t time_dim) : linear_1(waves, time_dim), linear_2(time_dim, time_dim) {}

  template <class V>
  void each(V&& visit) {
    visit("linear_1", linear_1);
    visit("linear_2", linear_2);
  }

  // waves: [N, channels of the first level]   ->   temb [N, time_dim], four times as wide
  Tensor operator()(Tensor waves) const {
    Scope scope(path, waves);
    Tensor temb = linear_1(waves);
    temb = silu(temb);
    temb = linear_2(temb);
    return scope.out(temb);
  }
};

}  // namespace cutaway
