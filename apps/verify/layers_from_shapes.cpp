#include "apps/verify/layers_from_shapes.h"

#include "apps/verify/cases.h"
#include "tensor/error.h"
#include "tensor/files/text.h"

namespace cutaway::verify {
namespace {

LayerOptions options_of(const Params& params, LayerOptions options) {
  const Params config = params.object("config");
  options.groups = config.integer("norm_num_groups", options.groups);
  options.groups = params.integer("groups", params.integer("norm_num_groups", options.groups));
  options.heads = params.integer("heads", options.heads);
  if (options.groups < 1) params.refuse("groups", "must be at least 1");
  if (options.heads < 1) params.refuse("heads", "must be at least 1");
  options.resnet_eps = static_cast<float>(params.number("eps", options.resnet_eps));
  options.layer_norm_eps = static_cast<float>(params.number("layer_norm_eps", options.layer_norm_eps));
  return options;
}

// The extent of a weight's axis; throws Error when the weight has another rank than the layer's.
int64_t extent(const WeightTable& weights, const std::string& name, int rank, int axis) {
  const Shape& shape = weights.shape(name);
  if (shape.rank() != rank) {
    throw Error(weights.description() + ": the weight " + in_quotes(name) + " has the shape " +
                to_string(shape) + ", but must have " + std::to_string(rank) + " extents");
  }
  return shape[axis];
}

// A UNet of one level, one channel and no parts; its blocks are to be filled.
UNetConfig empty_unet() {
  return {.block_out_channels = {1},
          .attends = {false},
          .heads = {1},
          .layers_per_block = 0,
          .norm_num_groups = 1};
}

template <class Block>
void fill(Block& block, const WeightTable& weights, const LayerOptions& options) {
  block.resnets.clear();
  block.attentions.clear();
  for (int64_t i = 0; i < weights.count_below("resnets"); ++i) {
    block.resnets.push_back(
        resblock_of(weights, "resnets." + std::to_string(i), options.groups, options.resnet_eps));
  }
  for (int64_t i = 0; i < weights.count_below("attentions"); ++i) {
    block.attentions.push_back(transformer_of(weights, "attentions." + std::to_string(i), options));
  }
  if (!block.attentions.empty() && block.attentions.size() != block.resnets.size()) {
    throw Error(weights.description() + " has " + std::to_string(block.resnets.size()) + " ResBlocks and " +
                std::to_string(block.attentions.size()) + " Transformers, but must have one for each");
  }
}

std::vector<ResBlock> resnets_of(const WeightTable& weights, const LayerOptions& options) {
  std::vector<ResBlock> resnets;
  for (int64_t i = 0; i < weights.count_below("resnets"); ++i) {
    resnets.push_back(
        resblock_of(weights, "resnets." + std::to_string(i), options.groups, options.resnet_eps));
  }
  return resnets;
}

}  // namespace

LayerOptions unet_options(const Params& params) { return options_of(params, {}); }

LayerOptions vae_options(const Params& params) {
  LayerOptions options;
  options.heads = 1;
  options.resnet_eps = 1e-6F;
  options = options_of(params, options);
  options.transformer_eps = static_cast<float>(params.number("eps", options.transformer_eps));
  return options;
}

// ---- Layers

Linear linear_of(const WeightTable& weights, const std::string& path) {
  const std::string weight = join_path(path, "weight");
  return Linear(extent(weights, weight, 2, 1), extent(weights, weight, 2, 0),
                weights.has(join_path(path, "bias")));
}

Conv2d conv_of(const WeightTable& weights, const std::string& path, const Conv2dOptions& options) {
  const std::string weight = join_path(path, "weight");
  Conv2d conv(extent(weights, weight, 4, 1) * options.groups, extent(weights, weight, 4, 0),
              extent(weights, weight, 4, 2), options);
  if (!weights.has(join_path(path, "bias"))) conv.bias.reset();
  return conv;
}

ResBlock resblock_of(const WeightTable& weights, const std::string& path, int64_t groups, float eps) {
  const std::string conv1 = join_path(path, "conv1.weight"), proj = join_path(path, "time_emb_proj.weight");
  const int64_t in = extent(weights, conv1, 4, 1), out = extent(weights, conv1, 4, 0);
  const int64_t time_dim = weights.has(proj) ? extent(weights, proj, 2, 1) : 0;
  ResBlock block(in, out, time_dim, groups, eps);
  const std::string shortcut = join_path(path, "conv_shortcut");
  if (weights.has_below(shortcut)) block.conv_shortcut = conv_of(weights, shortcut, {});
  return block;
}

CrossAttention attention_of(const WeightTable& weights, const std::string& path, int64_t heads) {
  CrossAttention attention(heads, heads, heads);
  attention.to_q = linear_of(weights, join_path(path, "to_q"));
  attention.to_k = linear_of(weights, join_path(path, "to_k"));
  attention.to_v = linear_of(weights, join_path(path, "to_v"));
  attention.to_out = linear_of(weights, join_path(path, "to_out.0"));
  return attention;
}

BasicTransformerBlock transformer_block_of(const WeightTable& weights, const std::string& path,
                                           const LayerOptions& options) {
  const int64_t width = extent(weights, join_path(path, "norm1.weight"), 1, 0);
  BasicTransformerBlock block(width, width, options.heads);
  block.attn1 = attention_of(weights, join_path(path, "attn1"), options.heads);
  block.attn2 = attention_of(weights, join_path(path, "attn2"), options.heads);
  block.ff.geglu.proj = linear_of(weights, join_path(path, "ff.net.0.proj"));
  block.ff.out = linear_of(weights, join_path(path, "ff.net.2"));
  for (LayerNorm* norm : {&block.norm1, &block.norm2, &block.norm3}) norm->eps = options.layer_norm_eps;
  return block;
}

SpatialTransformer transformer_of(const WeightTable& weights, const std::string& path,
                                  const LayerOptions& options) {
  const int64_t channels = extent(weights, join_path(path, "norm.weight"), 1, 0);
  SpatialTransformer transformer(channels, channels, options.heads, options.groups);
  transformer.norm.eps = options.transformer_eps;
  transformer.transformer_blocks.clear();
  const std::string blocks = join_path(path, "transformer_blocks");
  for (int64_t i = 0; i < weights.count_below(blocks); ++i) {
    transformer.transformer_blocks.push_back(
        transformer_block_of(weights, join_path(blocks, std::to_string(i)), options));
  }
  return transformer;
}

Downsample downsample_of(const WeightTable& weights, const std::string& path, const Padding& padding) {
  Downsample down(1, padding);
  down.conv = conv_of(weights, join_path(path, "conv"), {.stride = 2, .padding = padding});
  return down;
}

Upsample upsample_of(const WeightTable& weights, const std::string& path) {
  Upsample up(1);
  up.conv = conv_of(weights, join_path(path, "conv"), {.padding = Padding::all(1)});
  return up;
}

AttnBlock attn_block_of(const WeightTable& weights, const std::string& path, const LayerOptions& options) {
  if (options.heads != 1) throw NotBuilt("the VAE's attention has one head, others are not built yet");
  AttnBlock attention(extent(weights, join_path(path, "group_norm.weight"), 1, 0), options.groups);
  attention.group_norm.eps = options.transformer_eps;
  return attention;
}

TimeEmbedding time_embedding_of(const WeightTable& weights, const std::string& path) {
  TimeEmbedding embedding(1, 1);
  embedding.linear_1 = linear_of(weights, join_path(path, "linear_1"));
  embedding.linear_2 = linear_of(weights, join_path(path, "linear_2"));
  return embedding;
}

CLIPEncoderLayer clip_layer_of(const WeightTable& weights, const Params& params) {
  if (!params.flag("causal", true)) throw NotBuilt("attention to later tokens is not built yet");
  const std::string act = params.text("act", params.text("hidden_act", "quick_gelu"));
  if (act != "quick_gelu" && act != "gelu")
    throw NotBuilt("the activation " + in_quotes(act) + " is not built yet");
  const int64_t heads = params.integer("heads", 8);
  if (heads < 1) params.refuse("heads", "must be at least 1");
  return CLIPEncoderLayer(extent(weights, "layer_norm1.weight", 1, 0), heads,
                          extent(weights, "mlp.fc1.weight", 2, 0),
                          act == "gelu" ? Activation::gelu : Activation::quick_gelu,
                          static_cast<float>(params.number("eps", params.number("layer_norm_eps", 1e-5))));
}

// ---- Blocks

sd::DownBlock down_block_of(const WeightTable& weights, const LayerOptions& options) {
  sd::DownBlock block(empty_unet(), 0);
  fill(block, weights, options);
  if (weights.has_below("downsamplers.0")) {
    block.downsampler = downsample_of(weights, "downsamplers.0", Padding::all(1));
  }
  return block;
}

sd::UpBlock up_block_of(const WeightTable& weights, const LayerOptions& options) {
  sd::UpBlock block(empty_unet(), 0);
  fill(block, weights, options);
  if (weights.has_below("upsamplers.0")) block.upsampler = upsample_of(weights, "upsamplers.0");
  return block;
}

sd::MidBlock mid_block_of(const WeightTable& weights, const LayerOptions& options) {
  sd::MidBlock block(empty_unet());
  block.resnet_0 = resblock_of(weights, "resnets.0", options.groups, options.resnet_eps);
  block.attention = transformer_of(weights, "attentions.0", options);
  block.resnet_1 = resblock_of(weights, "resnets.1", options.groups, options.resnet_eps);
  return block;
}

DownEncoderBlock vae_down_block_of(const WeightTable& weights, const LayerOptions& options) {
  DownEncoderBlock block(1, 1, 0, false, 1);
  block.resnets = resnets_of(weights, options);
  if (weights.has_below("downsamplers.0")) {
    block.downsampler = downsample_of(weights, "downsamplers.0", {.right = 1, .bottom = 1});
  }
  return block;
}

UpDecoderBlock vae_up_block_of(const WeightTable& weights, const LayerOptions& options) {
  UpDecoderBlock block(1, 1, 0, false, 1);
  block.resnets = resnets_of(weights, options);
  if (weights.has_below("upsamplers.0")) block.upsampler = upsample_of(weights, "upsamplers.0");
  return block;
}

VaeMidBlock vae_mid_block_of(const WeightTable& weights, const LayerOptions& options) {
  VaeMidBlock block(1, 1);
  block.resnet_0 = resblock_of(weights, "resnets.0", options.groups, options.resnet_eps);
  block.attention = attn_block_of(weights, "attentions.0", options);
  block.resnet_1 = resblock_of(weights, "resnets.1", options.groups, options.resnet_eps);
  return block;
}

}  // namespace cutaway::verify
