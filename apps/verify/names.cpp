// Cases of names: is our network, at the size that a list of names and
// shapes speaks of, made of exactly those?
#include <algorithm>
#include <map>

#include "apps/verify/cases.h"
#include "models/clip_text.h"
#include "models/unets/unet_sd.h"
#include "models/vae.h"
#include "nn/load.h"
#include "tensor/error.h"
#include "tensor/files/json.h"
#include "tensor/files/text.h"

namespace cutaway::verify {
namespace {

using NamedShapes = std::map<std::string, std::vector<int64_t>>;

// [[name, shape, dtype], ...]; whole numbers are buffers, no weights.
NamedShapes names_in(const Params& file) {
  const nlohmann::json& tensors = file.values().at("tensors");
  if (!tensors.is_array()) file.refuse("tensors", "must be a list of [name, shape, dtype]");
  NamedShapes names;
  for (const nlohmann::json& row : tensors) {
    const bool fits =
        row.is_array() && row.size() >= 2 && row[0].is_string() && row[1].is_array() &&
        std::all_of(row[1].begin(), row[1].end(), [](const auto& e) { return e.is_number_integer(); });
    if (!fits) throw Error(file.where() + ": " + in_quotes(row.dump()) + " must be [name, shape, dtype]");
    if (row.size() > 2 && row[2].is_string() && row[2].get<std::string>().starts_with("int")) continue;
    names[row[0].get<std::string>()] = row[1].get<std::vector<int64_t>>();
  }
  return names;
}

bool has_below(const NamedShapes& names, const std::string& path) {
  const auto at = names.lower_bound(path + ".");
  return at != names.end() && at->first.starts_with(path + ".");
}

int64_t count_below(const NamedShapes& names, const std::string& path) {
  int64_t count = 0;
  while (has_below(names, path + "." + std::to_string(count))) ++count;
  return count;
}

int64_t extent(const NamedShapes& names, const std::string& name, size_t axis) {
  const auto found = names.find(name);
  if (found == names.end() || axis >= found->second.size()) {
    throw Error("the list has no " + in_quotes(name) + ", which says how large the network is");
  }
  return found->second[axis];
}

std::vector<int64_t> channels_of(const NamedShapes& names, const std::string& blocks) {
  std::vector<int64_t> channels;
  for (int64_t i = 0; i < count_below(names, blocks); ++i) {
    channels.push_back(extent(names, blocks + "." + std::to_string(i) + ".resnets.0.conv1.weight", 0));
  }
  if (channels.empty()) throw Error("the list has nothing below " + in_quotes(blocks));
  return channels;
}

// ---- The sizes of a network, read off the names and shapes

UNetConfig unet_config_of(const NamedShapes& names) {
  UNetConfig config;
  config.in_channels = extent(names, "conv_in.weight", 1);
  config.out_channels = extent(names, "conv_out.weight", 0);
  config.block_out_channels = channels_of(names, "down_blocks");
  config.layers_per_block = count_below(names, "down_blocks.0.resnets");
  const std::string transformer = "mid_block.attentions.0.";
  config.cross_attention_dim = extent(names, transformer + "transformer_blocks.0.attn2.to_k.weight", 1);
  config.attends.clear();
  for (size_t i = 0; i < config.block_out_channels.size(); ++i) {
    config.attends.push_back(has_below(names, "down_blocks." + std::to_string(i) + ".attentions"));
  }
  config.heads.assign(config.block_out_channels.size(), 1);  // heads change no shape
  config.norm_num_groups = 1;
  return config;
}

VaeConfig vae_config_of(const NamedShapes& names) {
  VaeConfig config;
  config.in_channels = extent(names, "encoder.conv_in.weight", 1);
  config.out_channels = extent(names, "decoder.conv_out.weight", 0);
  config.latent_channels = extent(names, "post_quant_conv.weight", 0);
  config.block_out_channels = channels_of(names, "encoder.down_blocks");
  config.layers_per_block = count_below(names, "encoder.down_blocks.0.resnets");
  config.norm_num_groups = 1;
  return config;
}

ClipTextConfig clip_config_of(const NamedShapes& names) {
  const std::string embeddings = "text_model.embeddings.";
  ClipTextConfig config;
  config.vocab_size = extent(names, embeddings + "token_embedding.weight", 0);
  config.hidden_size = extent(names, embeddings + "token_embedding.weight", 1);
  config.max_position_embeddings = extent(names, embeddings + "position_embedding.weight", 0);
  config.num_hidden_layers = count_below(names, "text_model.encoder.layers");
  config.intermediate_size = extent(names, "text_model.encoder.layers.0.mlp.fc1.weight", 0);
  config.num_attention_heads = 1;
  return config;
}

// ---- Comparing

template <class Network>
Comparisons compare_names(Network network, const NamedShapes& names, const Params& file) {
  Comparisons comparisons;
  NamedShapes left = names;
  for_each_weight(network, "", [&](const std::string& name, const Weight& weight) {
    const auto found = names.find(name);
    if (found == names.end()) {
      comparisons.push_back(not_compared(name, "our network has this weight, but it is not in the list"));
      return;
    }
    const Shape listed(std::span<const int64_t>(found->second));
    Comparison comparison;
    comparison.name = name;
    comparison.shape = found->second;
    comparisons.push_back(same_but_for_ones(weight.shape, listed)
                              ? comparison
                              : not_compared(name, "the shape is " + to_string(weight.shape) +
                                                       ", but in the list it is " + to_string(listed)));
    left.erase(name);
  });
  for (const auto& [name, shape] : left) {
    comparisons.push_back(not_compared(name, "no such value: our network has no weight of that name"));
  }
  if (file.has("parameters")) {
    comparisons.push_back(
        compare_exactly("parameters", {parameter_count(network)}, {file.integer("parameters", 0)}));
  }
  return comparisons;
}

}  // namespace

Comparisons run_names(const Case& the_case) {
  const Params file(read_json_file(the_case.path()), the_case.path());
  if (file.has("map")) throw NotBuilt("the names of checkpoints in one file are not built yet");
  if (!file.has("tensors")) throw NotBuilt("the list is about no network that is built");
  const NamedShapes names = names_in(file);
  const auto has = [&](const std::string& path) { return has_below(names, path); };

  if (has("controlnet_cond_embedding") || has("input_hint_block") || has("control_model")) {
    throw NotBuilt("ControlNet is not built yet");
  }
  if (has("add_embedding")) throw NotBuilt("SDXL is not built yet");
  if (has("model.diffusion_model") || has("diffusion_model") || has("input_blocks")) {
    throw NotBuilt("the names of checkpoints in one file are not built yet");
  }
  if (has("text_model.encoder") && !has("unet"))
    return compare_names(CLIPTextModel(clip_config_of(names)), names, file);
  if (has("encoder") && has("decoder"))
    return compare_names(AutoencoderKL(vae_config_of(names)), names, file);
  if (has("time_embedding") && has("mid_block.attentions.0.transformer_blocks")) {
    return compare_names(UNet(unet_config_of(names)), names, file);
  }
  throw NotBuilt("the list is about no network that is built");
}

}  // namespace cutaway::verify
