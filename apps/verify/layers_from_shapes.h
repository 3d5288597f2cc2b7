// Layers whose sizes are read off the shapes and names of their weights.
#pragma once

#include <string>

#include "apps/verify/manifest.h"
#include "apps/verify/weight_table.h"
#include "models/unets/unet_sd.h"
#include "models/vae.h"
#include "nn/clip_layer.h"

namespace cutaway::verify {

/// What shapes cannot tell.
struct LayerOptions {
  int64_t heads = 8;
  int64_t groups = 32;
  float resnet_eps = 1e-5F;
  float transformer_eps = 1e-6F;  // of its group norm
  float layer_norm_eps = 1e-5F;
};

/// The options in a case's params; what it does not say is as in Stable Diffusion.
LayerOptions unet_options(const Params& params);
LayerOptions vae_options(const Params& params);

// All of these read the weights below `path` and throw Error when one that is needed is not there.
Linear linear_of(const WeightTable& weights, const std::string& path);
Conv2d conv_of(const WeightTable& weights, const std::string& path, const Conv2dOptions& options);
ResBlock resblock_of(const WeightTable& weights, const std::string& path, int64_t groups, float eps);
CrossAttention attention_of(const WeightTable& weights, const std::string& path, int64_t heads);
BasicTransformerBlock transformer_block_of(const WeightTable& weights, const std::string& path,
                                           const LayerOptions& options);
SpatialTransformer transformer_of(const WeightTable& weights, const std::string& path,
                                  const LayerOptions& options);
Downsample downsample_of(const WeightTable& weights, const std::string& path, const Padding& padding);
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
