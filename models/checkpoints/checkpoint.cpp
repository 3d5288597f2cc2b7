#include "models/checkpoints/checkpoint.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "models/checkpoints/compvis_names.h"
#include "tensor/error.h"
#include "tensor/files/json.h"

namespace cutaway {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// ---- Sizes

// Looks sizes up in a checkpoint of CompVis' naming.
class Shapes {
 public:
  explicit Shapes(const TensorSet& tensors) : tensors_(tensors) {}

  bool has(const std::string& name) const { return tensors_.find(name) != nullptr; }
  size_t rank(const std::string& name) const { return has(name) ? tensors_.find(name)->shape.size() : 0; }

  int64_t extent(const std::string& name, size_t axis) const {
    const StoredTensor* stored = tensors_.find(name);
    if (stored == nullptr) {
      throw Error(tensors_.path() + " holds no tensor " + name +
                  ": the checkpoint is incomplete, or of another kind of network");
    }
    if (axis >= stored->shape.size()) {
      throw Error(tensors_.path() + ": the tensor " + name + " has the shape " + to_string(stored->shape) +
                  " where at least " + std::to_string(axis + 1) + " extents are expected");
    }
    return stored->shape[axis];
  }

 private:
  const TensorSet& tensors_;
};

constexpr int most_blocks = 256;  // far more than any real network has

json unet_sizes(const Shapes& shapes, const std::string& file) {
  const std::string unet = compvis_unet_prefix;
  std::vector<int64_t> channels, layers;
  json down = json::array(), up = json::array();
  int64_t context = 768;
  bool linear = false, new_level = true;
  for (int i = 1; i < most_blocks; ++i) {
    const std::string block = unet + "input_blocks." + std::to_string(i);
    if (shapes.has(block + ".0.op.weight")) {
      new_level = true;
      continue;
    }
    if (!shapes.has(block + ".0.in_layers.0.weight")) break;
    const bool attends = shapes.has(block + ".1.norm.weight");
    if (new_level) {
      channels.push_back(shapes.extent(block + ".0.out_layers.0.weight", 0));
      layers.push_back(0);
      down.push_back(attends ? "CrossAttnDownBlock2D" : "DownBlock2D");
      up.insert(up.begin(), attends ? "CrossAttnUpBlock2D" : "UpBlock2D");
    }
    new_level = false;
    layers.back() += 1;
    if (!attends) continue;
    context = shapes.extent(block + ".1.transformer_blocks.0.attn2.to_k.weight", 1);
    linear = shapes.rank(block + ".1.proj_in.weight") == 2;
  }
  if (channels.empty())
    throw Error(file + " holds no UNet (no tensor model.diffusion_model.input_blocks.1.0...)");
  if (std::any_of(layers.begin(), layers.end(), [&](int64_t n) { return n != layers.front(); })) {
    throw Error(file + " holds a UNet whose levels have different numbers of blocks, which SD 1.x has not");
  }
  return {{"in_channels", shapes.extent(unet + "input_blocks.0.0.weight", 1)},
          {"out_channels", shapes.extent(unet + "out.2.weight", 0)},
          {"block_out_channels", channels},
          {"layers_per_block", layers.front()},
          {"cross_attention_dim", context},
          {"attention_head_dim", 8},  // against its name, the number of heads
          {"use_linear_projection", linear},
          {"down_block_types", down},
          {"up_block_types", up},
          {"sample_size", 64}};
}

json vae_sizes(const Shapes& shapes, const std::string& file) {
  const std::string vae = compvis_vae_prefix;
  std::vector<int64_t> channels;
  int64_t layers = 0;
  for (int level = 0; level < most_blocks; ++level) {
    const std::string block = vae + "encoder.down." + std::to_string(level) + ".block.";
    if (!shapes.has(block + "0.conv1.weight")) break;
    channels.push_back(shapes.extent(block + "0.conv1.weight", 0));
    for (layers = 0; layers < most_blocks; ++layers) {
      if (!shapes.has(block + std::to_string(layers) + ".conv1.weight")) break;
    }
  }
  if (channels.empty()) {
    throw Error(
        file +
        " holds no VAE (no tensor first_stage_model.encoder.down...): it is only a part of a checkpoint");
  }
  return {{"in_channels", shapes.extent(vae + "encoder.conv_in.weight", 1)},
          {"out_channels", shapes.extent(vae + "decoder.conv_out.weight", 0)},
          {"latent_channels", shapes.extent(vae + "decoder.conv_in.weight", 1)},
          {"block_out_channels", channels},
          {"down_block_types", std::vector<std::string>(channels.size(), "DownEncoderBlock2D")},
          {"up_block_types", std::vector<std::string>(channels.size(), "UpDecoderBlock2D")},
          {"layers_per_block", layers},
          {"scaling_factor", 0.18215}};
}

// Files written by newer versions of transformers lack "text_model.".
std::string text_front(const Shapes& shapes) {
  const std::string text = compvis_text_prefix;
  return shapes.has(text + "embeddings.token_embedding.weight") ? text : text + "text_model.";
}

json text_encoder_sizes(const Shapes& shapes, const std::string& file) {
  const std::string text = text_front(shapes);
  if (!shapes.has(text + "embeddings.token_embedding.weight")) {
    throw Error(file + " holds no text encoder of SD 1.x (no tensor " + text +
                "embeddings.token_embedding.weight): it is only a part of a checkpoint");
  }
  int64_t layers = 0;
  while (layers < most_blocks &&
         shapes.has(text + "encoder.layers." + std::to_string(layers) + ".mlp.fc1.weight")) {
    ++layers;
  }
  const int64_t width = shapes.extent(text + "embeddings.token_embedding.weight", 1);
  return {{"vocab_size", shapes.extent(text + "embeddings.token_embedding.weight", 0)},
          {"hidden_size", width},
          {"max_position_embeddings", shapes.extent(text + "embeddings.position_embedding.weight", 0)},
          {"num_hidden_layers", layers},
          {"num_attention_heads", std::max<int64_t>(1, width / 64)},  // CLIP's heads are 64 wide
          {"intermediate_size", shapes.extent(text + "encoder.layers.0.mlp.fc1.weight", 0)},
          {"hidden_act", "quick_gelu"}};
}

json sd1_scheduler() {
  return {{"num_train_timesteps", 1000}, {"beta_start", 0.00085},
          {"beta_end", 0.012},           {"beta_schedule", "scaled_linear"},
          {"clip_sample", false},        {"set_alpha_to_one", false},
          {"steps_offset", 1},           {"prediction_type", "epsilon"}};
}

// Sizes that the user or the writer of the file gives; an empty object when there are none.
json given_sizes(const TensorSet& tensors) {
  const std::string beside = fs::path(tensors.path()).replace_extension(".json").string();
  std::error_code ignored;
  if (beside != tensors.path() && fs::is_regular_file(beside, ignored)) {
    json given = read_json_file(beside);
    if (given.is_object() && (given.contains("unet") || given.contains("vae") ||
                              given.contains("text_encoder") || given.contains("scheduler"))) {
      return given;
    }
  }
  const auto entry = tensors.metadata().find("cutaway.config");
  if (entry == tensors.metadata().end()) return json::object();
  const std::string what = tensors.path() + ": the entry cutaway.config of its metadata";
  json given = parse_json(what, entry->second);
  if (!given.is_object()) throw Error(what + " is no JSON object");
  return given;
}

}  // namespace

json sd15_sizes() {
  const std::vector<int64_t> unet{320, 640, 1280, 1280}, vae{128, 256, 512, 512};
  const std::string attends = "CrossAttnDownBlock2D", attends_up = "CrossAttnUpBlock2D";
  return {{"unet",
           {{"in_channels", 4},
            {"out_channels", 4},
            {"block_out_channels", unet},
            {"layers_per_block", 2},
            {"cross_attention_dim", 768},
            {"attention_head_dim", 8},
            {"use_linear_projection", false},
            {"down_block_types", {attends, attends, attends, "DownBlock2D"}},
            {"up_block_types", {"UpBlock2D", attends_up, attends_up, attends_up}},
            {"sample_size", 64}}},
          {"vae",
           {{"in_channels", 3},
            {"out_channels", 3},
            {"latent_channels", 4},
            {"block_out_channels", vae},
            {"down_block_types", std::vector<std::string>(vae.size(), "DownEncoderBlock2D")},
            {"up_block_types", std::vector<std::string>(vae.size(), "UpDecoderBlock2D")},
            {"layers_per_block", 2},
            {"scaling_factor", 0.18215}}},
          {"text_encoder",
           {{"vocab_size", 49408},
            {"hidden_size", 768},
            {"max_position_embeddings", 77},
            {"num_hidden_layers", 12},
            {"num_attention_heads", 12},
            {"intermediate_size", 3072},
            {"hidden_act", "quick_gelu"}}},
          {"scheduler", sd1_scheduler()}};
}

json compvis_sizes(const TensorSet& tensors) {
  const Shapes shapes(tensors);
  json sizes = {{"unet", unet_sizes(shapes, tensors.path())},
                {"vae", vae_sizes(shapes, tensors.path())},
                {"text_encoder", text_encoder_sizes(shapes, tensors.path())},
                {"scheduler", sd1_scheduler()}};
  const json all_given = given_sizes(tensors);
  for (const auto& [part, given] : all_given.items()) {
    if (!given.is_object())
      throw Error(tensors.path() + ": the given sizes of " + part + " are no JSON object");
    for (const auto& [key, value] : given.items()) sizes[part][key] = value;
  }
  return sizes;
}

PartSource::PartSource(const TensorSet& tensors, const std::string& prefix,
                       const std::vector<std::string>& wanted, const Names& names_in_file,
                       const std::vector<std::string>& left_aside)
    : tensors_(tensors), description_(tensors.path()) {
  std::set<const StoredTensor*> taken;
  for (const std::string& name : wanted) {
    for (const std::string& candidate : names_in_file(name)) {
      const StoredTensor* stored = tensors.find(prefix + candidate);
      if (stored == nullptr) continue;
      stored_[name] = stored;
      taken.insert(stored);
      names_.push_back(name);
      break;
    }
  }
  for (const StoredTensor* stored : tensors.tensors()) {
    if (!stored->name.starts_with(prefix) || taken.contains(stored)) continue;
    const std::string name = stored->name.substr(prefix.size());
    const bool aside = std::any_of(left_aside.begin(), left_aside.end(),
                                   [&](const std::string& front) { return name.starts_with(front); });
    if (!aside) names_.push_back(name);
  }
}

std::optional<Weight> PartSource::find(const std::string& name, const Shape&) const {
  const auto found = stored_.find(name);
  if (found == stored_.end()) return std::nullopt;
  return tensors_.weight(*found->second);
}

namespace {

PartSource::Names one_name(std::function<std::optional<std::string>(const std::string&)> rename) {
  return [rename = std::move(rename)](const std::string& name) {
    const std::optional<std::string> renamed = rename(name);
    return renamed ? std::vector<std::string>{*renamed} : std::vector<std::string>{};
  };
}

// What stands beside the text encoder's weights in some files: a buffer 0, 1, 2, ..., and the rest of CLIP.
const std::vector<std::string> beside_text = {
    "text_model.embeddings.position_ids", "embeddings.position_ids", "logit_scale",      "text_projection",
    "text_model.text_projection",         "vision_model.",           "visual_projection"};
// The judge that the VAE was trained against, and a second, averaged set of weights.
const std::vector<std::string> beside_vae = {"loss.", "model_ema."};

}  // namespace

PartSource unet_in_compvis(const TensorSet& tensors, UNet& unet) {
  return PartSource(tensors, compvis_unet_prefix, weight_names(unet),
                    one_name([&](const std::string& name) { return compvis_unet_name(name, unet.config); }));
}

PartSource vae_in_compvis(const TensorSet& tensors, AutoencoderKL& vae) {
  return PartSource(tensors, compvis_vae_prefix, weight_names(vae),
                    one_name([&](const std::string& name) { return compvis_vae_name(name, vae.config); }),
                    beside_vae);
}

PartSource text_encoder_in_compvis(const TensorSet& tensors, const std::vector<std::string>& wanted) {
  const auto names = [](const std::string& name) {
    return std::vector<std::string>{name, name.substr(name.find('.') + 1)};
  };
  return PartSource(tensors, compvis_text_prefix, wanted, names, beside_text);
}

PartSource part_in_folder(const TensorSet& tensors, const std::vector<std::string>& wanted) {
  const auto names_in_file = [](const std::string& name) {
    std::vector<std::string> names{name};
    if (const auto older = older_vae_name(name)) names.push_back(*older);
    if (name.starts_with("text_model.")) names.push_back(name.substr(std::string("text_model.").size()));
    return names;
  };
  return PartSource(tensors, "", wanted, names_in_file, beside_text);
}

}  // namespace cutaway
