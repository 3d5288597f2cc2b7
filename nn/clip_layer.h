// "CLIPEncoderLayer" in the picture: one layer of the text encoder.   Doc: docs/clip.md
#pragma once

#include <string_view>

#include "nn/linear.h"
#include "nn/norm.h"

namespace cutaway {

/// Each token attends to itself and the tokens before it. (transformers: CLIPAttention)
struct CLIPAttention : Module {
  Linear q_proj, k_proj, v_proj, out_proj;
  int64_t heads;

  CLIPAttention(int64_t width, int64_t head_count)
      : q_proj(width, width),
        k_proj(width, width),
        v_proj(width, width),
        out_proj(width, width),
        heads(head_count) {}

  template <class V>
  void each(V&& visit) {
    visit("q_proj", q_proj);
    visit("k_proj", k_proj);
    visit("v_proj", v_proj);
    visit("out_proj", out_proj);
  }

  // x: [N, T, width]   ->   [N, T, width]
  Tensor operator()(Tensor x) const {
    Scope scope(path, x);
    const Tensor q = split_heads(q_proj(x), heads);  // [N, heads, T, d]
    const Tensor k = split_heads(k_proj(x), heads);
    const Tensor v = split_heads(v_proj(x), heads);

    Tensor h = attention(q, k, v, {.causal = true});
    h = merge_heads(h);  // [N, T, width]
    h = out_proj(h);
    return scope.out(h);
  }
};

/// The activation between the two linear layers: CLIP's own networks use quick_gelu, OpenCLIP's use gelu.
enum class Activation { quick_gelu, gelu };

/// Two linear layers. (transformers: CLIPMLP)
struct CLIPMLP : Module {
  Linear fc1, fc2;
  Activation activation;

  CLIPMLP(int64_t width, int64_t inner, Activation act)
      : fc1(width, inner), fc2(inner, width), activation(act) {}

  template <class V>
  void each(V&& visit) {
    visit("fc1", fc1);
    visit("fc2", fc2);
  }

  // x: [N, T, width]   ->   [N, T, width]
  Tensor operator()(Tensor x) const {
    Scope scope(path, x);
    Tensor h = fc1(x);  // [N, T, inner]
    h = activation == Activation::quick_gelu ? quick_gelu(h) : gelu(h);
    h = fc2(h);
    return scope.out(h);
  }
};

/// Radford et al. 2021, section 2.4. (transformers: CLIPEncoderLayer)
struct CLIPEncoderLayer : Module {
  LayerNorm layer_norm1;
  CLIPAttention self_attn;
  LayerNorm layer_norm2;
  CLIPMLP mlp;

  CLIPEncoderLayer(int64_t width, int64_t heads, int64_t inner, Activation act, float eps)
      : layer_norm1(width, eps), self_attn(width, heads), layer_norm2(width, eps), mlp(width, inner, act) {}

  template <class V>
  void each(V&& visit) {
    visit("layer_norm1", layer_norm1);
    visit("self_attn", self_attn);
    visit("layer_norm2", layer_norm2);
    visit("mlp", mlp);
  }

  // x: [N, T, width]   ->   [N, T, width]
  Tensor operator()(Tensor x) const {
    Scope scope(path, x);
    Tensor h = layer_norm1(x);
    x = add(x, self_attn(h));

    h = layer_norm2(x);
    x = add(x, mlp(h));
    return scope.out(x);
  }
};

}  // namespace cutaway
