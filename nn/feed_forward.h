// "FeedForward" in the picture: two linear layers with GEGLU between them.   Doc: docs/unet/feed_forward.md
#pragma once

#include "nn/linear.h"

namespace cutaway {

/// The gated half of the feed-forward layer: x W times gelu(x V), both from one projection. (Shazeer 2020)
struct GEGLU : Module {
  Linear proj;  // value and gate in one: width -> 2 inner

  GEGLU(int64_t width, int64_t inner) : proj(width, 2 * inner) {}

  template <class V>
  void each(V&& visit) {
    visit("proj", proj);
  }

  // x: [N, T, width]   ->   [N, T, inner]
  Tensor operator()(Tensor x) const {
    Scope scope(path, x);
    Tensor h = proj(x);  // [N, T, 2 inner]
    h = geglu(h);
    return scope.out(h);
  }
};

/// CompVis and diffusers: FeedForward. The names of its parts in a checkpoint come from a list: net.0 the
/// GEGLU, net.1 the dropout of training, net.2 the way back.
struct FeedForward : Module {
  GEGLU geglu;
  Linear out;

  explicit FeedForward(int64_t width) : geglu(width, 4 * width), out(4 * width, width) {}

  template <class V>
  void each(V&& visit) {
    visit("net.0", geglu);
    visit("net.2", out);
  }

  // x: [N, T, width]   ->   [N, T, width]
  Tensor operator()(Tensor x) const {
    Scope scope(path, x);
    Tensor h = geglu(x);  // [N, T, 4 width]
    h = out(h);
    return scope.out(h);
  }
};

}  // namespace cutaway
