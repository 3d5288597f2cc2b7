// The VAE of Stable Diffusion: pictures to latents of an eighth of the size, and back.   Doc: docs/vae.md
#pragma once

#include <vector>

#include "nn/attn_block.h"
#include "nn/resample.h"
#include "nn/resblock.h"

namespace cutaway {

/// The sizes of a VAE; config.json of a model folder's vae/ has them. The defaults are those of SD 1.x.
struct VaeConfig {
  int64_t in_channels = 3;
  int64_t out_channels = 3;
  int64_t latent_channels = 4;
  std::vector<int64_t> block_out_channels = {128, 256, 512, 512};
  int64_t layers_per_block = 2;
  int64_t norm_num_groups = 32;
  float scaling_factor = 0.18215F;  // the UNet sees latents times this, of variance about 1

  /// How many pixels of the picture one pixel of the latent stands for, each way: 8 in SD 1.x.
  int64_t scale() const { return int64_t{1} << (block_out_channels.size() - 1); }
};

/// ResBlocks without a time step, then half the size. diffusers: DownEncoderBlock2D.
struct DownEncoderBlock : Module {
  std::vector<ResBlock> resnets;
  std::optional<Downsample> downsampler;

  DownEncoderBlock(int64_t in, int64_t out, int64_t layers, bool downsamples, int64_t groups);

  template <class V>
  void each(V&& visit) {
    visit("resnets", resnets);
    visit("downsamplers.0", downsampler);
  }

  // h: [N, in, H, W]   ->   [N, out, H / 2, W / 2]
  Tensor operator()(Tensor h) const;
};

/// ResBlock, attention over the whole image, ResBlock. diffusers: UNetMidBlock2D.
struct VaeMidBlock : Module {
  ResBlock resnet_0;
  AttnBlock attention;
  ResBlock resnet_1;

  VaeMidBlock(int64_t channels, int64_t groups);

  template <class V>
  void each(V&& visit) {
    visit("resnets.0", resnet_0);
    visit("attentions.0", attention);
    visit("resnets.1", resnet_1);
  }

  // h: [N, C, H, W]   ->   the same shape
  Tensor operator()(Tensor h) const;
};

/// ResBlocks without a time step, then twice the size. diffusers: UpDecoderBlock2D.
struct UpDecoderBlock : Module {
  std::vector<ResBlock> resnets;
  std::optional<Upsample> upsampler;

  UpDecoderBlock(int64_t in, int64_t out, int64_t layers, bool upsamples, int64_t groups);

  template <class V>
  void each(V&& visit) {
    visit("resnets", resnets);
    visit("upsamplers.0", upsampler);
  }

  // h: [N, in, H, W]   ->   [N, out, 2 H, 2 W]
  Tensor operator()(Tensor h) const;
};

/// Picture -> moments of the latent. CompVis, diffusers: Encoder.
struct Encoder : Module {
  Conv2d conv_in;
  std::vector<DownEncoderBlock> down_blocks;
  VaeMidBlock mid_block;
  GroupNorm conv_norm_out;
  Conv2d conv_out;

  explicit Encoder(const VaeConfig& config);

  template <class V>
  void each(V&& visit) {
    visit("conv_in", conv_in);
    visit("down_blocks", down_blocks);
    visit("mid_block", mid_block);
    visit("conv_norm_out", conv_norm_out);
    visit("conv_out", conv_out);
  }

  // picture: [N, 3, H, W]   ->   [N, 8, H / 8, W / 8]
  Tensor operator()(Tensor picture) const;
};

/// Latent -> picture. CompVis, diffusers: Decoder.
struct Decoder : Module {
  Conv2d conv_in;
  VaeMidBlock mid_block;
  std::vector<UpDecoderBlock> up_blocks;
  GroupNorm conv_norm_out;
  Conv2d conv_out;

  explicit Decoder(const VaeConfig& config);

  template <class V>
  void each(V&& visit) {
    visit("conv_in", conv_in);
    visit("mid_block", mid_block);
    visit("up_blocks", up_blocks);
    visit("conv_norm_out", conv_norm_out);
    visit("conv_out", conv_out);
  }

  // latent: [N, 4, H, W]   ->   [N, 3, 8 H, 8 W]
  Tensor operator()(Tensor latent) const;
};

/// What the encoder says of a picture's latent: a normal distribution for each number.
struct LatentDistribution {
  Tensor mean;    // [N, 4, h, w]
  Tensor logvar;  // log of the variance, kept within -30 and 20
  Tensor std;     // exp(logvar / 2)
};

/// Kingma & Welling 2013; Rombach et al. 2022, section 3.1. diffusers: AutoencoderKL. 83,653,863 parameters
/// in SD 1.x.
struct AutoencoderKL : Module {
  VaeConfig config;
  Encoder encoder;
  Conv2d quant_conv;       // 1x1
  Conv2d post_quant_conv;  // 1x1
  Decoder decoder;

  explicit AutoencoderKL(const VaeConfig& sizes = {});

  template <class V>
  void each(V&& visit) {
    visit("encoder", encoder);
    visit("quant_conv", quant_conv);
    visit("post_quant_conv", post_quant_conv);
    visit("decoder", decoder);
  }

  // picture: [N, 3, H, W] from -1 to 1   ->   the latent's distribution, before scaling_factor
  LatentDistribution encode(Tensor picture) const;
  // Its two halves: picture -> mean and log variance, [N, 8, h, w] -> the distribution.
  Tensor moments(Tensor picture) const;
  LatentDistribution distribution(const Tensor& moments) const;
  // latent: [N, 4, h, w], before scaling_factor   ->   [N, 3, 8 h, 8 w], about -1 to 1
  Tensor decode(Tensor latent) const;
};

}  // namespace cutaway
