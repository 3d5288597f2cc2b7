#include "apps/verify/layers_from_shapes.h"

#include "apps/verify/cases.h"
#include "models/clip_text.h"
#include "tensor/error.h"
#include "tensor/files/text.h"

namespace cutaway::verify {
namespace {

// The extent of a weight's axis; throws Error when the weight has another rank than the layer's.
int64_t extent(const WeightTable& weights, const std::string& name, int rank, int axis) {
  const Shape& shape = weights.shape(name);
  if (shape.rank() != rank) {
    throw Error(weights.description() + ": the weight " + in_quotes(name) + " has the shape " +
                to_string(shape) + ", but must have " + std::to_string(rank) + " extents");
  }
  return shape[axis];
}

// The layer with the sizes of the weights at the path; whether it has a bias, and how it slides, is its own.
Linear sized(const Linear& layer, const WeightTable& weights, const std::string& path) {
  const std::string weight = join_path(path, "weight");
  return Linear(extent(weights, weight, 2, 1), extent(weights, weight, 2, 0), layer.bias.has_value());
}

Conv2d sized(const Conv2d& conv, const WeightTable& weights, const std::string& path) {
  const std::string weight = join_path(path, "weight");
  return Conv2d(extent(weights, weight, 4, 1) * conv.options.groups, extent(weights, weight, 4, 0),
                extent(weights, weight, 4, 2), conv.options);
}

// The sizes of a UNet with this one level.
UNetConfig one_level(int64_t channels, const LayerOptions& options) {
  return {.block_out_channels = {channels},
          .attends = {false},
          .heads = {options.heads},
          .layers_per_block = 0,
          .norm_num_groups = options.groups};
}

// The same with a level more, so that its blocks have a Downsample or an Upsample.
UNetConfig two_levels() {
  return {.block_out_channels = {1, 1},
          .attends = {false, false},
          .heads = {1, 1},
          .layers_per_block = 0,
          .norm_num_groups = 1};
}

template <class Block>
void fill(Block& block, const WeightTable& weights, const LayerOptions& options) {
  block.resnets.clear();
  block.attentions.clear();
  for (int64_t i = 0; i < weights.count_below("resnets"); ++i)
    block.resnets.push_back(resblock_of(weights, "resnets." + std::to_string(i), options.groups));
  for (int64_t i = 0; i < weights.count_below("attentions"); ++i)
    block.attentions.push_back(transformer_of(weights, "attentions." + std::to_string(i), options));
  if (!block.attentions.empty() && block.attentions.size() != block.resnets.size()) {
    throw Error(weights.description() + " has " + std::to_string(block.resnets.size()) + " ResBlocks and " +
                std::to_string(block.attentions.size()) + " Transformers, but must have one for each");
  }
}

LayerOptions options_of(const Params& params, int64_t heads) {
  const Params config = params.object("config");
  LayerOptions options{.heads = params.integer("heads", heads)};
  options.groups = config.integer("norm_num_groups", options.groups);
  options.groups = params.integer("groups", params.integer("norm_num_groups", options.groups));
  if (options.groups < 1) params.refuse("groups", "must be at least 1");
  if (options.heads < 1) params.refuse("heads", "must be at least 1");
  return options;
}

// The channels that go into a ResBlock and come out of it.
int64_t resnet_in(const WeightTable& weights, const std::string& path) {
  return extent(weights, join_path(path, "conv1.weight"), 4, 1);
}
int64_t resnet_out(const WeightTable& weights, const std::string& path) {
  return extent(weights, join_path(path, "conv1.weight"), 4, 0);
}

void check_one_head(const LayerOptions& options) {
  if (options.heads != 1) throw NotBuilt("the VAE's attention has one head, others are not built yet");
}

}  // namespace

LayerOptions unet_options(const Params& params) { return options_of(params, LayerOptions{}.heads); }
LayerOptions vae_options(const Params& params) { return options_of(params, 1); }

// ---- Layers

ResBlock resblock_of(const WeightTable& weights, const std::string& path, int64_t groups) {
  const int64_t in = resnet_in(weights, path), out = resnet_out(weights, path);
  ResBlock block = sd::resblock(one_level(out, {.groups = groups}), in, out);
  block.time_emb_proj = sized(*block.time_emb_proj, weights, join_path(path, "time_emb_proj"));
  return block;
}

ResBlock vae_resblock_of(const WeightTable& weights, const std::string& path, int64_t groups) {
  const int64_t layers = 1;
  return DownEncoderBlock(resnet_in(weights, path), resnet_out(weights, path), layers, false, groups)
      .resnets.front();
}

CrossAttention attention_of(const WeightTable& weights, const std::string& path, int64_t heads) {
  CrossAttention attention(heads, heads, heads);
  attention.to_q = sized(attention.to_q, weights, join_path(path, "to_q"));
  attention.to_k = sized(attention.to_k, weights, join_path(path, "to_k"));
  attention.to_v = sized(attention.to_v, weights, join_path(path, "to_v"));
  attention.to_out = sized(attention.to_out, weights, join_path(path, "to_out.0"));
  return attention;
}

BasicTransformerBlock transformer_block_of(const WeightTable& weights, const std::string& path,
                                           const LayerOptions& options) {
  const int64_t width = extent(weights, join_path(path, "norm1.weight"), 1, 0);
  BasicTransformerBlock block(width, width, options.heads);
  block.attn1 = attention_of(weights, join_path(path, "attn1"), options.heads);
  block.attn2 = attention_of(weights, join_path(path, "attn2"), options.heads);
  block.ff.geglu.proj = sized(block.ff.geglu.proj, weights, join_path(path, "ff.net.0.proj"));
  block.ff.out = sized(block.ff.out, weights, join_path(path, "ff.net.2"));
  return block;
}

SpatialTransformer transformer_of(const WeightTable& weights, const std::string& path,
                                  const LayerOptions& options) {
  const int64_t channels = extent(weights, join_path(path, "norm.weight"), 1, 0);
  SpatialTransformer transformer = sd::transformer(one_level(channels, options), 0);
  transformer.transformer_blocks.clear();
  const std::string blocks = join_path(path, "transformer_blocks");
  for (int64_t i = 0; i < weights.count_below(blocks); ++i) {
    transformer.transformer_blocks.push_back(
        transformer_block_of(weights, join_path(blocks, std::to_string(i)), options));
  }
  return transformer;
}

Downsample downsample_of(const WeightTable& weights, const std::string& path) {
  Downsample down = *sd::DownBlock(two_levels(), 0).downsampler;
  down.conv = sized(down.conv, weights, join_path(path, "conv"));
  return down;
}

Downsample vae_downsample_of(const WeightTable& weights, const std::string& path) {
  const int64_t channels = extent(weights, join_path(path, "conv.weight"), 4, 1), layers = 0, groups = 1;
  return *DownEncoderBlock(channels, channels, layers, true, groups).downsampler;
}

Upsample upsample_of(const WeightTable& weights, const std::string& path) {
  Upsample up(1);
  up.conv = sized(up.conv, weights, join_path(path, "conv"));
  return up;
}

AttnBlock attn_block_of(const WeightTable& weights, const std::string& path, const LayerOptions& options) {
  check_one_head(options);
  return AttnBlock(extent(weights, join_path(path, "group_norm.weight"), 1, 0), options.groups);
}

TimeEmbedding time_embedding_of(const WeightTable& weights, const std::string& path) {
  TimeEmbedding embedding(1, 1);
  embedding.linear_1 = sized(embedding.linear_1, weights, join_path(path, "linear_1"));
  embedding.linear_2 = sized(embedding.linear_2, weights, join_path(path, "linear_2"));
  return embedding;
}

CLIPEncoderLayer clip_layer_of(const WeightTable& weights, const Params& params) {
  if (!params.flag("causal", true)) throw NotBuilt("attention to later tokens is not built yet");
  ClipTextConfig config;
  if (params.has("act") || params.has("hidden_act")) {  // its config.json chooses
    const std::string act = params.text("act", params.text("hidden_act", ""));
    if (act != "quick_gelu" && act != "gelu")
      throw NotBuilt("the activation " + in_quotes(act) + " is not built yet");
    config.hidden_act = act == "gelu" ? Activation::gelu : Activation::quick_gelu;
  }
  const int64_t heads = params.integer("heads", 8);
  if (heads < 1) params.refuse("heads", "must be at least 1");
  return CLIPEncoderLayer(extent(weights, "layer_norm1.weight", 1, 0), heads,
                          extent(weights, "mlp.fc1.weight", 2, 0), config.hidden_act, config.layer_norm_eps);
}

// ---- Blocks

sd::DownBlock down_block_of(const WeightTable& weights, const LayerOptions& options) {
  sd::DownBlock block(two_levels(), 0);
  fill(block, weights, options);
  block.downsampler.reset();
  if (weights.has_below("downsamplers.0")) block.downsampler = downsample_of(weights, "downsamplers.0");
  return block;
}

sd::UpBlock up_block_of(const WeightTable& weights, const LayerOptions& options) {
  sd::UpBlock block(two_levels(), 1);
  fill(block, weights, options);
  block.upsampler.reset();
  if (weights.has_below("upsamplers.0")) block.upsampler = upsample_of(weights, "upsamplers.0");
  return block;
}

sd::MidBlock mid_block_of(const WeightTable& weights, const LayerOptions& options) {
  sd::MidBlock block(one_level(resnet_out(weights, "resnets.0"), options));
  block.resnet_0 = resblock_of(weights, "resnets.0", options.groups);
  block.attention = transformer_of(weights, "attentions.0", options);
  block.resnet_1 = resblock_of(weights, "resnets.1", options.groups);
  return block;
}

DownEncoderBlock vae_down_block_of(const WeightTable& weights, const LayerOptions& options) {
  return DownEncoderBlock(resnet_in(weights, "resnets.0"), resnet_out(weights, "resnets.0"),
                          weights.count_below("resnets"), weights.has_below("downsamplers.0"),
                          options.groups);
}

UpDecoderBlock vae_up_block_of(const WeightTable& weights, const LayerOptions& options) {
  return UpDecoderBlock(resnet_in(weights, "resnets.0"), resnet_out(weights, "resnets.0"),
                        weights.count_below("resnets"), weights.has_below("upsamplers.0"), options.groups);
}

VaeMidBlock vae_mid_block_of(const WeightTable& weights, const LayerOptions& options) {
  check_one_head(options);
  return VaeMidBlock(resnet_out(weights, "resnets.0"), options.groups);
}

}  // namespace cutaway::verify
