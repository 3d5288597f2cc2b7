// Linear: y = x W^T + b.
#pragma once

#include "nn/module.h"
#include "tensor/ops.h"
#include "tensor/trace.h"

namespace cutaway {

/// The same matrix for every row of x. CompVis, diffusers: torch.nn.Linear.
struct Linear : Module {
  Weight weight;               // [out, in]
  std::optional<Weight> bias;  // [out]

  Linear(int64_t in, int64_t out, bool with_bias = true) : weight({out, in}) {
    if (with_bias) bias.emplace(Shape{out});
  }

  template <class V>
  void each(V&& visit) {
    visit("weight", weight);
    visit("bias", bias);
  }

  // x: [..., in]   ->   [..., out]
  Tensor operator()(Tensor x) const {
    Scope scope(path, x);
    return scope.out(linear(x, weight, bias));
  }
};

}  // namespace cutaway
