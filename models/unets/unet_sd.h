// models/unets/: the family of UNets: one file each, in the same order, to be compared by diff -u.
//
// The UNet of Stable Diffusion 1.x and 2.x: one struct a box, in picture order.   Doc: docs/unet/unet.md
//
// Each generation of UNets has a file here and a namespace of its own, all in this order, so that `diff -u`
// shows what changed from one to the next.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "nn/resample.h"
#include "nn/resblock.h"
#include "nn/time_embedding.h"
#include "nn/transformer.h"
#include "tensor/error.h"

namespace cutaway::sd {

// ---- UNetConfig

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
  TimestepOptions time = {};

  size_t levels() const { return block_out_channels.size(); }
  /// Width of the time step's vector.
  int64_t time_dim() const { return 4 * block_out_channels.front(); }
  /// How many pixels of the latent become one at the lowest level, each way: 8 in SD 1.x.
  int64_t scale() const { return int64_t{1} << (levels() - 1); }
};

/// A ResBlock with the UNet's time step and norms.
inline ResBlock resblock(const UNetConfig& config, int64_t in, int64_t out) {
  return ResBlock(in, out, config.time_dim(), config.norm_num_groups, config.norm_eps);
}

/// A Transformer of a level (0 is d1), as wide as the level.
inline SpatialTransformer transformer(const UNetConfig& config, size_t level) {
  return SpatialTransformer(config.block_out_channels[level], config.cross_attention_dim, config.heads[level],
                            config.norm_num_groups);
}

// ---- DownBlock

/// "d1" to "d4": ResBlocks, each followed by a Transformer where the level attends, then half the size.
/// Every result is also a skip connection. diffusers: CrossAttnDownBlock2D, DownBlock2D.
struct DownBlock : Module {
  std::vector<ResBlock> resnets;
  std::vector<SpatialTransformer> attentions;  // none in d4
  std::optional<Downsample> downsampler;       // none in d4

  DownBlock(const UNetConfig& config, size_t level) {
    const int64_t in = config.block_out_channels[level == 0 ? 0 : level - 1];
    const int64_t out = config.block_out_channels[level];
    for (int64_t i = 0; i < config.layers_per_block; ++i) {
      resnets.push_back(resblock(config, i == 0 ? in : out, out));
      if (config.attends[level]) attentions.push_back(transformer(config, level));
    }
    if (level + 1 < config.levels()) downsampler.emplace(out);
  }

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
  Tensor operator()(Tensor h, Tensor temb, Tensor prompt, std::vector<Tensor>& skips) const {
    Scope scope(path, h, temb, prompt);
    for (size_t i = 0; i < resnets.size(); ++i) {
      h = resnets[i](h, temb);
      if (!attentions.empty()) h = attentions[i](h, prompt);
      skips.push_back(h);
    }
    if (downsampler) {
      h = (*downsampler)(h);
      skips.push_back(h);
    }
    return scope.out(h);
  }
};

// ---- MidBlock

/// "m": ResBlock, Transformer, ResBlock at the lowest resolution. diffusers: UNetMidBlock2DCrossAttn.
struct MidBlock : Module {
  ResBlock resnet_0;
  SpatialTransformer attention;
  ResBlock resnet_1;

  explicit MidBlock(const UNetConfig& config)
      : resnet_0(resblock(config, config.block_out_channels.back(), config.block_out_channels.back())),
        attention(transformer(config, config.levels() - 1)),
        resnet_1(resblock(config, config.block_out_channels.back(), config.block_out_channels.back())) {}

  template <class V>
  void each(V&& visit) {
    visit("resnets.0", resnet_0);
    visit("attentions.0", attention);
    visit("resnets.1", resnet_1);
  }

  // h: [N, C, H, W]   ->   the same shape
  Tensor operator()(Tensor h, Tensor temb, Tensor prompt) const {
    Scope scope(path, h, temb, prompt);
    h = resnet_0(h, temb);
    h = attention(h, prompt);
    h = resnet_1(h, temb);
    return scope.out(h);
  }
};

// ---- UpBlock

/// "u1" to "u4": before each ResBlock the newest skip connection is joined on; twice the size at the end.
/// diffusers: UpBlock2D, CrossAttnUpBlock2D.
struct UpBlock : Module {
  std::vector<ResBlock> resnets;
  std::vector<SpatialTransformer> attentions;  // none in u1
  std::optional<Upsample> upsampler;           // none in u4

  /// `level` is that of the DownBlock beside it: u1 has the last, u4 has 0.
  UpBlock(const UNetConfig& config, size_t level) {
    const int64_t below = config.block_out_channels[std::min(level + 1, config.levels() - 1)];
    const int64_t above = config.block_out_channels[level == 0 ? 0 : level - 1];
    const int64_t out = config.block_out_channels[level];
    const int64_t last = config.layers_per_block;  // one more than on the way down: conv_in's or the
    for (int64_t i = 0; i <= last; ++i) {          // Downsample's result is a skip connection too
      resnets.push_back(resblock(config, (i == 0 ? below : out) + (i == last ? above : out), out));
      if (config.attends[level]) attentions.push_back(transformer(config, level));
    }
    if (level > 0) upsampler.emplace(out);
  }

  template <class V>
  void each(V&& visit) {
    for (size_t i = 0; i < resnets.size(); ++i) {
      visit("resnets." + std::to_string(i), resnets[i]);
      if (!attentions.empty()) visit("attentions." + std::to_string(i), attentions[i]);
    }
    visit("upsamplers.0", upsampler);
  }

  // h: [N, below, H, W]   ->   [N, out, 2 H, 2 W], skips shrink
  Tensor operator()(Tensor h, Tensor temb, Tensor prompt, std::vector<Tensor>& skips) const {
    Scope scope(path, h, temb, prompt);
    for (size_t i = 0; i < resnets.size(); ++i) {
      if (skips.empty())
        throw Error("at " + path + " there is no skip connection left; a UNet needs one for each ResBlock");
      h = concat(h, skips.back(), 1);
      skips.pop_back();
      h = resnets[i](h, temb);
      if (!attentions.empty()) h = attentions[i](h, prompt);
    }
    if (upsampler && skips.empty()) h = (*upsampler)(h);
    if (upsampler && !skips.empty()) h = (*upsampler)(h, skips.back().shape()[2], skips.back().shape()[3]);
    return scope.out(h);
  }
};

// ---- UNet

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

  explicit UNet(const UNetConfig& sizes = {})
      : config(sizes),
        time_embedding(config.block_out_channels.front(), config.time_dim()),
        conv_in(conv3x3(config.in_channels, config.block_out_channels.front())),
        mid_block(config),
        conv_norm_out(config.norm_num_groups, config.block_out_channels.front(), config.norm_eps),
        conv_out(conv3x3(config.block_out_channels.front(), config.out_channels)) {
    for (size_t level = 0; level < config.levels(); ++level) down_blocks.emplace_back(config, level);
    for (size_t level = config.levels(); level-- > 0;) up_blocks.emplace_back(config, level);
  }

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
  Tensor operator()(Tensor sample, std::span<const float> t, Tensor prompt) const {
    Scope scope(path, sample, prompt);
    const Tensor waves =
        scope("time_proj", timestep_embedding(t, config.block_out_channels.front(), config.time));
    const Tensor temb = time_embedding(waves);

    Tensor h = conv_in(sample);
    std::vector<Tensor> skips(1, h);  // 12 in SD 1.x: conv_in, then 3 3 3 2 from d1 to d4
    for (const DownBlock& down : down_blocks) h = down(h, temb, prompt, skips);
    for (size_t i = 0; i < skips.size(); ++i)
      skips[i] = scope(("skips." + std::to_string(i)).c_str(), skips[i]);
    h = mid_block(h, temb, prompt);
    for (const UpBlock& up : up_blocks) h = up(h, temb, prompt, skips);

    h = conv_norm_out(h);
    h = silu(h);
    h = conv_out(h);
    return scope.out(h);
  }
};

}  // namespace cutaway::sd

namespace cutaway {
using sd::UNet;
using sd::UNetConfig;
}  // namespace cutaway
