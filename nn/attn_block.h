// "AttnBlock" in the picture: self-attention in the middle of the VAE.   Doc: docs/vae.md
#pragma once

#include "nn/linear.h"
#include "nn/norm.h"

namespace cutaway {

/// One head as wide as the image has channels.
/// CompVis: AttnBlock (with 1x1 convolutions), diffusers: Attention.
struct AttnBlock : Module {
  GroupNorm group_norm;
  Linear to_q, to_k, to_v;
  Linear to_out;

  AttnBlock(int64_t channels, int64_t groups)
      : group_norm(groups, channels, 1e-6F),
        to_q(channels, channels),
        to_k(channels, channels),
        to_v(channels, channels),
        to_out(channels, channels) {}

  template <class V>
  void each(V&& visit) {
    visit("group_norm", group_norm);
    visit("to_q", to_q);
    visit("to_k", to_k);
    visit("to_v", to_v);
    visit("to_out.0", to_out);
  }

  // x: [N, C, H, W]   ->   [N, C, H, W]
  Tensor operator()(Tensor x) const {
    Scope scope(path, x);
    const int64_t height = x.shape()[2], width = x.shape()[3];
    Tensor h = group_norm(x);
    h = to_tokens(h);                          // [N, H W, C]
    const Tensor q = split_heads(to_q(h), 1);  // [N, 1, H W, C]
    const Tensor k = split_heads(to_k(h), 1);
    const Tensor v = split_heads(to_v(h), 1);

    h = attention(q, k, v, {});
    h = merge_heads(h);  // [N, H W, C]
    h = to_out(h);
    h = to_image(h, height, width);
    return scope.out(add(x, h));
  }
};

}  // namespace cutaway
