#include "models/vae.h"

namespace cutaway {
namespace {

constexpr float vae_eps = 1e-6F;
constexpr int64_t no_time_step = 0;

std::vector<ResBlock> resnets_of(int64_t layers, int64_t in, int64_t out, int64_t groups) {
  std::vector<ResBlock> resnets;
  for (int64_t i = 0; i < layers; ++i)
    resnets.emplace_back(i == 0 ? in : out, out, no_time_step, groups, vae_eps);
  return resnets;
}

}  // namespace

// ---- The boxes of both halves

DownEncoderBlock::DownEncoderBlock(int64_t in, int64_t out, int64_t layers, bool downsamples, int64_t groups)
    : resnets(resnets_of(layers, in, out, groups)) {
  if (downsamples) downsampler.emplace(out, Padding{.right = 1, .bottom = 1});
}

Tensor DownEncoderBlock::operator()(Tensor h) const {
  Scope scope(path, h);
  for (const ResBlock& resnet : resnets) h = resnet(h);
  if (downsampler) h = (*downsampler)(h);
  return scope.out(h);
}

VaeMidBlock::VaeMidBlock(int64_t channels, int64_t groups)
    : resnet_0(channels, channels, no_time_step, groups, vae_eps),
      attention(channels, groups),
      resnet_1(channels, channels, no_time_step, groups, vae_eps) {}

Tensor VaeMidBlock::operator()(Tensor h) const {
  Scope scope(path, h);
  h = resnet_0(h);
  h = attention(h);
  h = resnet_1(h);
  return scope.out(h);
}

UpDecoderBlock::UpDecoderBlock(int64_t in, int64_t out, int64_t layers, bool upsamples, int64_t groups)
    : resnets(resnets_of(layers, in, out, groups)) {
  if (upsamples) upsampler.emplace(out);
}

Tensor UpDecoderBlock::operator()(Tensor h) const {
  Scope scope(path, h);
  for (const ResBlock& resnet : resnets) h = resnet(h);
  if (upsampler) h = (*upsampler)(h);
  return scope.out(h);
}

// ---- Encoder

Encoder::Encoder(const VaeConfig& config)
    : conv_in(conv3x3(config.in_channels, config.block_out_channels.front())),
      mid_block(config.block_out_channels.back(), config.norm_num_groups),
      conv_norm_out(config.norm_num_groups, config.block_out_channels.back(), vae_eps),
      conv_out(conv3x3(config.block_out_channels.back(), 2 * config.latent_channels)) {
  const std::vector<int64_t>& channels = config.block_out_channels;
  for (size_t i = 0; i < channels.size(); ++i) {
    const bool last = i + 1 == channels.size();
    down_blocks.emplace_back(channels[i == 0 ? 0 : i - 1], channels[i], config.layers_per_block, !last,
                             config.norm_num_groups);
  }
}

Tensor Encoder::operator()(Tensor picture) const {
  Scope scope(path, picture);
  Tensor h = conv_in(picture);
  for (const DownEncoderBlock& down : down_blocks) h = down(h);
  h = mid_block(h);
  h = conv_norm_out(h);
  h = silu(h);
  h = conv_out(h);
  return scope.out(h);
}

// ---- Decoder

Decoder::Decoder(const VaeConfig& config)
    : conv_in(conv3x3(config.latent_channels, config.block_out_channels.back())),
      mid_block(config.block_out_channels.back(), config.norm_num_groups),
      conv_norm_out(config.norm_num_groups, config.block_out_channels.front(), vae_eps),
      conv_out(conv3x3(config.block_out_channels.front(), config.out_channels)) {
  const std::vector<int64_t>& channels = config.block_out_channels;
  for (size_t i = channels.size(); i-- > 0;) {
    const int64_t below = i + 1 < channels.size() ? channels[i + 1] : channels.back();
    up_blocks.emplace_back(below, channels[i], config.layers_per_block + 1, i > 0, config.norm_num_groups);
  }
}

Tensor Decoder::operator()(Tensor latent) const {
  Scope scope(path, latent);
  Tensor h = conv_in(latent);
  h = mid_block(h);
  for (const UpDecoderBlock& up : up_blocks) h = up(h);
  h = conv_norm_out(h);
  h = silu(h);
  h = conv_out(h);
  return scope.out(h);
}

// ---- AutoencoderKL

AutoencoderKL::AutoencoderKL(const VaeConfig& sizes)
    : config(sizes),
      encoder(sizes),
      quant_conv(conv1x1(2 * sizes.latent_channels, 2 * sizes.latent_channels)),
      post_quant_conv(conv1x1(sizes.latent_channels, sizes.latent_channels)),
      decoder(sizes) {}

LatentDistribution AutoencoderKL::encode(Tensor picture) const { return distribution(moments(picture)); }

Tensor AutoencoderKL::moments(Tensor picture) const {
  Tensor h = encoder(picture);
  return quant_conv(h);
}

LatentDistribution AutoencoderKL::distribution(const Tensor& moments) const {
  LatentDistribution latent;
  latent.mean = slice(moments, 1, 0, config.latent_channels);
  latent.logvar = clamp(slice(moments, 1, config.latent_channels, 2 * config.latent_channels), -30, 20);
  latent.std = exp(scale(latent.logvar, 0.5F));
  return latent;
}

Tensor AutoencoderKL::decode(Tensor latent) const {
  Tensor h = post_quant_conv(latent);
  return decoder(h);
}

}  // namespace cutaway
