// "BasicTransformerBlock" and "SpatialTransformer" in the picture.   Doc: docs/unet/transformer.md
#pragma once

#include <variant>

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
  std::variant<Conv2d, Linear> proj_in;  // a 1x1 convolution in SD 1.x, the same as a linear layer in SD 2.x
  std::vector<BasicTransformerBlock> transformer_blocks;  // one in SD 1.x
  std::variant<Conv2d, Linear> proj_out;

  SpatialTransformer(int64_t channels, int64_t prompt_width, int64_t heads, int64_t groups,
                     bool linear_projection = false)
      : norm(groups, channels, 1e-6F),
        proj_in(linear_projection ? Projection(Linear(channels, channels)) : conv1x1(channels, channels)),
        proj_out(proj_in) {
    transformer_blocks.emplace_back(channels, prompt_width, heads);
  }

  template <class V>
  void each(V&& visit) {
    visit("norm", norm);
    std::visit([&](auto& projection) { visit("proj_in", projection); }, proj_in);
    visit("transformer_blocks", transformer_blocks);
    std::visit([&](auto& projection) { visit("proj_out", projection); }, proj_out);
  }

  // x: [N, channels, H, W]   prompt: [N, T', prompt_width]   ->   [N, channels, H, W]
  Tensor operator()(Tensor x, Tensor prompt) const {
    Scope scope(path, x, prompt);
    const int64_t height = x.shape()[2], width = x.shape()[3];

    Tensor h = norm(x);
    h = project_to_tokens(h);  // [N, H W, channels]
    for (const BasicTransformerBlock& block : transformer_blocks) h = block(h, prompt);
    h = project_to_image(h, height, width);
    return scope.out(add(h, x));
  }

 private:
  using Projection = std::variant<Conv2d, Linear>;

  Tensor project_to_tokens(const Tensor& image) const {
    if (const Conv2d* conv = std::get_if<Conv2d>(&proj_in)) return to_tokens((*conv)(image));
    return std::get<Linear>(proj_in)(to_tokens(image));
  }

  Tensor project_to_image(const Tensor& tokens, int64_t height, int64_t width) const {
    if (const Conv2d* conv = std::get_if<Conv2d>(&proj_out)) return (*conv)(to_image(tokens, height, width));
    return to_image(std::get<Linear>(proj_out)(tokens), height, width);
  }
};

}  // namespace cutaway
