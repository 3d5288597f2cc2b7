// "SelfAttention" and "CrossAttention" in the picture.   Doc: docs/unet/attention.md
#pragma once

#include "nn/linear.h"

namespace cutaway {

/// Queries come from the image; keys and values from the image again (self-attention) or from the prompt
/// (cross-attention). Vaswani et al. 2017, section 3.2. CompVis: CrossAttention, diffusers: Attention.
struct CrossAttention : Module {
  Linear to_q, to_k, to_v;  // no bias
  Linear to_out;
  int64_t heads;

  /// width: of the image's tokens, context_width: of the tokens attended to. In SD 1.x 8 heads of width / 8.
  CrossAttention(int64_t width, int64_t context_width, int64_t head_count)
      : to_q(width, width, false),
        to_k(context_width, width, false),
        to_v(context_width, width, false),
        to_out(width, width),
        heads(head_count) {}

  template <class V>
  void each(V&& visit) {
    visit("to_q", to_q);
    visit("to_k", to_k);
    visit("to_v", to_v);
    visit("to_out.0", to_out);  // to_out.1 is the dropout of training
  }

  // x: [N, T, width]   context: [N, T', context_width]   ->   [N, T, width]
  Tensor operator()(Tensor x, Tensor context) const {
    Scope scope(path, x, context);
    const Tensor q = split_heads(to_q(x), heads);        // [N, heads, T, d]
    const Tensor k = split_heads(to_k(context), heads);  // [N, heads, T', d]
    const Tensor v = split_heads(to_v(context), heads);

    Tensor h = attention(q, k, v, {});  // softmax(q k^T / sqrt(d)) v
    h = merge_heads(h);                 // [N, T, width]
    h = to_out(h);
    return scope.out(h);
  }
};

}  // namespace cutaway
