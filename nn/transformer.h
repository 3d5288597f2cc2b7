// "BasicTransformerBlock" and "SpatialTransformer" in the picture.   Doc: docs/unet/transformer.md
#pragma once

#include "nn/attention.h"
#include "nn/conv2d.h"
#include "nn/feed_forward.h"
#include "nn/norm.h"

namespace cutaway {

/// Rombach et al. 2022, appendix E.2.1. CompVis, diffusers: BasicTransformerBlock.
struct BasicTransformerBlock : Module {
  LayerNorm norm1;
  CrossAttention attn1;  // "SelfAttention"
  LayerNorm norm2;
  CrossAttention attn2;  // "CrossAttention"
  LayerNorm norm3;
  FeedForward ff;

  BasicTransformerBlock(int64_t width, int64_t prompt_width, int64_t heads)
      : norm1(width),
        attn1(width, width, heads),
        norm2(width),
        attn2(width, prompt_width, heads),
        norm3(width),
        ff(width) {}

  template <class V>
  void each(V&& visit) {
    visit("norm1", norm1);
    visit("attn1", attn1);
    visit("norm2", norm2);
    visit("attn2", attn2);
    visit("norm3", norm3);
    visit("ff", ff);
  }

  // x: [N, T, width]   prompt: [N, T', prompt_width]   ->   [N, T, width]
  Tensor operator()(Tensor x, Tensor prompt) const {
    Scope scope(path, x, prompt);
    Tensor h = norm1(x);
    x = add(x, attn1(h, h));  // "SelfAttention": the image attends to itself

    h = norm2(x);
    x = add(x, attn2(h, prompt));  // "CrossAttention": the only place where the prompt enters the UNet

    h = norm3(x);
    x = add(x, ff(h));
    return scope.out(x);
  }
};

/// The image becomes tokens, one per pixel, goes through the Transformer block and becomes an image again.
/// CompVis: SpatialTransformer, diffusers: Transformer2DModel.
struct SpatialTransformer : Module {
  GroupNorm norm;
  Conv2d proj_in;                                         // 1x1; SD 2.x writes it as a linear layer of tokens
  std::vector<BasicTransformerBlock> transformer_blocks;  // one in SD 1.x
  Conv2d proj_out;                                        // 1x1, as proj_in

  SpatialTransformer(int64_t channels, int64_t prompt_width, int64_t heads, int64_t groups)
      : norm(groups, channels, 1e-6F),
        proj_in(conv1x1(channels, channels)),
        proj_out(conv1x1(channels, channels)) {
    transformer_blocks.emplace_back(channels, prompt_width, heads);
  }

  template <class V>
  void each(V&& visit) {
    visit("norm", norm);
    visit("proj_in", proj_in);
    visit("transformer_blocks", transformer_blocks);
    visit("proj_out", proj_out);
  }

  // x: [N, channels, H, W]   prompt: [N, T', prompt_width]   ->   [N, channels, H, W]
  Tensor operator()(Tensor x, Tensor prompt) const {
    Scope scope(path, x, prompt);
    const int64_t height = x.shape()[2], width = x.shape()[3];

    Tensor h = norm(x);
    h = proj_in(h);
    h = to_tokens(h);  // [N, H W, channels]
    for (const BasicTransformerBlock& block : transformer_blocks) h = block(h, prompt);
    h = to_image(h, height, width);
    h = proj_out(h);
    return scope.out(add(h, x));
  }
};

}  // namespace cutaway
