// Layers whose sizes are read off the shapes and names of their weights. Everything else, each eps and each
// padding, is as the constructors of the layers have it: it is what a case tests, so no case may set it.
#pragma once

#include <string>

#include "apps/verify/manifest.h"
#include "apps/verify/weight_table.h"
#include "models/unets/unet_sd.h"
#include "models/vae.h"
#include "nn/clip_layer.h"

namespace cutaway::verify {

/// The sizes that shapes cannot tell.
struct LayerOptions {
  int64_t heads = 8;
  int64_t groups = 32;
};

/// The options in a case's params; what it does not say is as in Stable Diffusion.
LayerOptions unet_options(const Params& params);
LayerOptions vae_options(const Params& params);

// All of these read the weights below `path` and throw Error when one that is needed is not there.
ResBlock resblock_of(const WeightTable& weights, const std::string& path, int64_t groups);      // the UNet's
ResBlock vae_resblock_of(const WeightTable& weights, const std::string& path, int64_t groups);  // the VAE's
CrossAttention attention_of(const WeightTable& weights, const std::string& path, int64_t heads);
BasicTransformerBlock transformer_block_of(const WeightTable& weights, const std::string& path,
                                           const LayerOptions& options);
SpatialTransformer transformer_of(const WeightTable& weights, const std::string& path,
                                  const LayerOptions& options);
Downsample downsample_of(const WeightTable& weights, const std::string& path);      // the UNet's
Downsample vae_downsample_of(const WeightTable& weights, const std::string& path);  // the VAE's
Upsample upsample_of(const WeightTable& weights, const std::string& path);
AttnBlock attn_block_of(const WeightTable& weights, const std::string& path, const LayerOptions& options);
TimeEmbedding time_embedding_of(const WeightTable& weights, const std::string& path);

sd::DownBlock down_block_of(const WeightTable& weights, const LayerOptions& options);
sd::UpBlock up_block_of(const WeightTable& weights, const LayerOptions& options);
sd::MidBlock mid_block_of(const WeightTable& weights, const LayerOptions& options);
DownEncoderBlock vae_down_block_of(const WeightTable& weights, const LayerOptions& options);
UpDecoderBlock vae_up_block_of(const WeightTable& weights, const LayerOptions& options);
VaeMidBlock vae_mid_block_of(const WeightTable& weights, const LayerOptions& options);
CLIPEncoderLayer clip_layer_of(const WeightTable& weights, const Params& params);

}  // namespace cutaway::verify
