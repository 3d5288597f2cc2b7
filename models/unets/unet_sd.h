// The UNet of Stable Diffusion 1.x: one struct a box, in picture order.   Doc: docs/unet/unet.md
#pragma once

#include <span>
#include <vector>

#include "nn/resample.h"
#include "nn/resblock.h"
#include "nn/time_embedding.h"
#include "nn/transformer.h"

namespace cutaway {

/// The sizes of a UNet; config.json of a model folder's unet/ has them. The defaults are those of SD 1.5.
struct UNetConfig {
  int64_t in_channels = 4;
  int64_t out_channels = 4;
  std::vector<int64_t> block_out_channels = {320, 640, 1280, 1280};  // d1, d2, d3, d4
  std::vector<bool> attends = {true, true, true, false};             // which of them have Transformers
  std::vector<int64_t> heads = {8, 8, 8, 8};                         // attention heads at each level
  int64_t layers_per_block = 2;
  int64_t cross_attention_dim = 768;  // width of the prompt's tokens
  int64_t norm_num_groups = 32;
  float norm_eps = 1e-5F;
  bool use_linear_projection = false;
  TimestepOptions time = {};

  /// How many pixels of the latent become one at the lowest level, each way: 8 in SD 1.x.
  int64_t scale() const { return int64_t{1} << (block_out_channels.size() - 1); }
};

/// "d1" to "d4": ResBlocks, each followed by a Transformer where the level attends, then half the size.
/// Every result is also a skip connection. diffusers: CrossAttnDownBlock2D, DownBlock2D.
struct DownBlock : Module {
  std::vector<ResBlock> resnets;
  std::vector<SpatialTransformer> attentions;  // none in d4
  std::optional<Downsample> downsampler;       // none in d4

  DownBlock(int64_t in, int64_t out, int64_t time_dim, bool attends, int64_t heads, bool downsamples,
            const UNetConfig& config);

  template <class V>
  void each(V&& visit) {
    for (size_t i = 0; i < resnets.size(); ++i) {
      visit("resnets." + std::to_string(i), resnets[i]);
      if (!attentions.empty()) visit("attentions." + std::to_string(i), attentions[i]);
    }
    visit("downsamplers.0", downsampler);
  }

  // h: [N, in, H, W]   temb: [N, time_dim]   prompt: [N, T, context]
  //   ->   [N, out, H / 2, W / 2], skips grow
  Tensor operator()(Tensor h, Tensor temb, Tensor prompt, std::vector<Tensor>& skips) const;
};

/// "m": ResBlock, Transformer, ResBlock at the lowest resolution. diffusers: UNetMidBlock2DCrossAttn.
struct MidBlock : Module {
  ResBlock resnet_0;
  SpatialTransformer attention;
  ResBlock resnet_1;

  MidBlock(int64_t channels, int64_t time_dim, int64_t heads, const UNetConfig& config);

  template <class V>
  void each(V&& visit) {
    visit("resnets.0", resnet_0);
    visit("attentions.0", attention);
    visit("resnets.1", resnet_1);
  }

  // h: [N, C, H, W]   ->   the same shape
  Tensor operator()(Tensor h, Tensor temb, Tensor prompt) const;
};

/// "u1" to "u4": before each ResBlock the newest skip connection is joined on; twice the size at the end.
/// diffusers: UpBlock2D, CrossAttnUpBlock2D.
struct UpBlock : Module {
  std::vector<ResBlock> resnets;
  std::vector<SpatialTransformer> attentions;  // none in u1
  std::optional<Upsample> upsampler;           // none in u4

  /// below: channels that come from the level below, skip: channels of the last skip (all others have `out`).
  UpBlock(int64_t below, int64_t skip, int64_t out, int64_t time_dim, bool attends, int64_t heads,
          bool upsamples, const UNetConfig& config);

  template <class V>
  void each(V&& visit) {
    for (size_t i = 0; i < resnets.size(); ++i) {
      visit("resnets." + std::to_string(i), resnets[i]);
      if (!attentions.empty()) visit("attentions." + std::to_string(i), attentions[i]);
    }
    visit("upsamplers.0", upsampler);
  }

  // h: [N, below, H, W]   ->   [N, out, 2 H, 2 W], skips shrink
  Tensor operator()(Tensor h, Tensor temb, Tensor prompt, std::vector<Tensor>& skips) const;
};

/// Ronneberger et al. 2015 (down, up, skips); Ho et al. 2020 (ResBlocks with a time step); Rombach et al.
/// 2022 (Transformers with a prompt). diffusers: UNet2DConditionModel, CompVis: UNetModel. 859,520,964
/// parameters in SD 1.5.
struct UNet : Module {
  UNetConfig config;
  TimeEmbedding time_embedding;
  Conv2d conv_in;
  std::vector<DownBlock> down_blocks;  // d1, d2, d3, d4
  MidBlock mid_block;                  // m
  std::vector<UpBlock> up_blocks;      // u1, u2, u3, u4
  GroupNorm conv_norm_out;
  Conv2d conv_out;

  explicit UNet(const UNetConfig& sizes = {});

  template <class V>
  void each(V&& visit) {
    visit("time_embedding", time_embedding);
    visit("conv_in", conv_in);
    visit("down_blocks", down_blocks);
    visit("mid_block", mid_block);
    visit("up_blocks", up_blocks);
    visit("conv_norm_out", conv_norm_out);
    visit("conv_out", conv_out);
  }

  // sample: the noisy latent [N, 4, H, W]   t: one time step for each image   prompt: [N, T, 768]
  //   ->   the noise in it (or v, as the model was trained) [N, 4, H, W]
  Tensor operator()(Tensor sample, std::span<const float> t, Tensor prompt) const;
};

}  // namespace cutaway
