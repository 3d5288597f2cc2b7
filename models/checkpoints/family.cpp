// Which family a checkpoint belongs to, told by the names and shapes of its tensors.
#include <algorithm>
#include <filesystem>
#include <string_view>

#include "models/checkpoints/checkpoint.h"
#include "models/checkpoints/compvis_names.h"
#include "tensor/error.h"

namespace cutaway {
namespace {

namespace fs = std::filesystem;

// Names with a slash are no weights: recordings of a run are called so.
bool is_weight(const StoredTensor& tensor) { return tensor.name.find('/') == std::string::npos; }

bool is_number(const StoredTensor& tensor) {  // and not a count or an id
  return tensor.dtype.find('F') != std::string::npos || tensor.dtype.starts_with("Q") ||
         tensor.dtype.starts_with("IQ");
}

class Names {
 public:
  explicit Names(const TensorSet& set) {
    for (const StoredTensor* tensor : set.tensors()) {
      if (is_weight(*tensor)) tensors_.push_back(tensor);
    }
  }

  const std::vector<const StoredTensor*>& all() const { return tensors_; }

  template <class Rule>
  const StoredTensor* first(const Rule& rule) const {
    const auto found = std::find_if(tensors_.begin(), tensors_.end(),
                                    [&](const StoredTensor* t) { return rule(std::string_view(t->name)); });
    return found == tensors_.end() ? nullptr : *found;
  }
  bool starts(std::string_view front) const {
    return first([&](std::string_view name) { return name.starts_with(front); }) != nullptr;
  }
  bool contains(std::string_view part) const {
    return first([&](std::string_view name) { return name.find(part) != std::string_view::npos; }) != nullptr;
  }
  const StoredTensor* ends(std::string_view back) const {
    return first([&](std::string_view name) { return name.ends_with(back); });
  }
  bool has(std::string_view name) const {
    return first([&](std::string_view other) { return other == name; }) != nullptr;
  }
  /// The extent of the first tensor whose name ends so, 0 when there is none.
  int64_t extent(std::string_view back, size_t axis) const {
    const StoredTensor* tensor = ends(back);
    return tensor != nullptr && axis < tensor->shape.size() ? tensor->shape[axis] : 0;
  }

 private:
  std::vector<const StoredTensor*> tensors_;
};

struct PartRule {
  const char* front;  // what the tensor's name starts with
  const char* part;   // "ema" and "other" are left aside
};

void count(std::vector<CheckpointPart>& parts, const std::string& name, const StoredTensor& tensor) {
  auto part = std::find_if(parts.begin(), parts.end(), [&](const auto& p) { return p.name == name; });
  if (part == parts.end()) {
    CheckpointPart fresh;
    fresh.name = name;
    part = parts.insert(parts.end(), fresh);
  }
  part->tensors += 1;
  if (!is_number(tensor)) return;
  part->parameters += tensor.count();
  part->dtypes.insert(tensor.dtype);
}

void count_by(CheckpointSummary& summary, const Names& names, std::initializer_list<PartRule> rules) {
  for (const StoredTensor* tensor : names.all()) {
    const auto rule = std::find_if(rules.begin(), rules.end(),
                                   [&](const PartRule& r) { return tensor->name.starts_with(r.front); });
    if (rule != rules.end()) {
      const std::string part = rule->part;
      count(part == "ema" || part == "other" ? summary.ignored : summary.parts, part, *tensor);
    } else {
      count(summary.ignored, "other", *tensor);
    }
  }
}

// ---- The add-ons

bool is_lora(CheckpointSummary& summary, const Names& names) {
  const bool kohya = names.starts("lora_unet_") || names.starts("lora_te") || names.contains(".lora_up.") ||
                     names.contains(".lora_down.") || names.contains(".hada_w1_") ||
                     names.contains(".lokr_w1");
  const bool peft = names.contains(".lora_A.") || names.contains(".lora_B.");
  const bool diffusers = names.contains("_lora.down.") || names.contains(".lora.down.");
  if (!kohya && !peft && !diffusers) return false;
  summary.family = "lora";
  summary.naming = kohya ? "kohya" : peft ? "peft" : "diffusers";
  for (const StoredTensor* tensor : names.all()) {
    const bool text = tensor->name.starts_with("lora_te") || tensor->name.starts_with("text_encoder");
    count(summary.parts, text ? "text_encoder" : "unet", *tensor);
  }
  summary.advice = "A LoRA: small changes to the weights of a whole model, which is needed as well";
  return true;
}

bool is_ip_adapter(CheckpointSummary& summary, const Names& names) {
  if (!names.starts("ip_adapter.") && !names.contains(".to_k_ip.")) return false;
  summary.family = "ip-adapter";
  summary.naming = names.starts("ip_adapter.") ? "original" : "diffusers";
  count_by(summary, names, {{"image_proj.", "image_proj"}, {"", "ip_adapter"}});
  summary.advice =
      "An IP-Adapter: it lets pictures stand in the prompt, and needs a whole model and an image encoder";
  return true;
}

bool is_textual_inversion(CheckpointSummary& summary, const Names& names) {
  const bool webui = names.has("emb_params") || names.starts("string_to_param.");
  bool small = !names.all().empty() && names.all().size() <= 2;  // {"<the word>": its rows}
  for (const StoredTensor* tensor : names.all()) {
    const size_t rank = tensor->shape.size();
    small = small && is_number(*tensor) && (rank == 1 || rank == 2) && tensor->shape.back() >= 768 &&
            tensor->shape.back() <= 2048 && tensor->name.find('.') == std::string::npos;
  }
  if (!webui && !small) return false;
  summary.family = "textual-inversion";
  summary.naming = webui ? "original" : "diffusers";
  for (const StoredTensor* tensor : names.all()) {
    const bool rows = tensor->shape.size() <= 2 && is_number(*tensor);
    count(rows ? summary.parts : summary.ignored, rows ? "embedding" : "other", *tensor);
  }
  summary.advice = "A textual inversion: rows for new words of the text encoder, used with a whole model";
  return true;
}

bool is_controlnet(CheckpointSummary& summary, const Names& names) {
  const bool compvis = names.starts("control_model.") || names.starts("input_hint_block.");
  const bool diffusers =
      names.starts("controlnet_cond_embedding.") || names.starts("controlnet_down_blocks.");
  if (!compvis && !diffusers) return false;
  summary.family = "controlnet";
  summary.naming = compvis ? "compvis" : "diffusers";
  summary.in_channels = names.extent(compvis ? "input_blocks.0.0.weight" : "conv_in.weight", 1);
  if (names.starts("control_model.")) {
    count_by(summary, names,
             {{"control_model.", "controlnet"},
              {compvis_unet_prefix, "unet"},
              {compvis_vae_prefix, "vae"},
              {"cond_stage_model.", "text_encoder"},
              {"model_ema.", "ema"}});
  } else {
    count_by(summary, names, {{"", "controlnet"}});
  }
  summary.advice =
      "A ControlNet: it steers a whole model by edges, poses or depth, and needs that model as well";
  return true;
}

bool is_t2i_adapter(CheckpointSummary& summary, const Names& names) {
  const bool diffusers = names.starts("adapter.body.");
  const bool original =
      names.starts("body.0.block") || names.starts("body.0.resnets.") || names.starts("body.0.in_conv");
  if (!diffusers && !original) return false;
  summary.family = "t2i-adapter";
  summary.naming = diffusers ? "diffusers" : "original";
  count_by(summary, names, {{"", "adapter"}});
  summary.advice =
      "A T2I-Adapter: it steers a whole model by sketches or depth, and needs that model as well";
  return true;
}

// ---- The networks

// Which Stable Diffusion a UNet is of; "" when it is of none.
std::string unet_family(const Names& names) {
  const bool compvis = names.contains("input_blocks.");
  const StoredTensor* key = names.ends(".attn2.to_k.weight");
  if (key == nullptr || key->shape.size() < 2) return "";  // no prompt
  if (names.contains("add_embedding.") || names.contains(compvis ? "label_emb." : "add_time_proj") ||
      names.starts("conditioner.") || key->shape[1] == 2048) {
    return "sdxl";
  }
  const StoredTensor* projection = names.ends(".proj_in.weight");
  if (key->shape[1] == 1024 || names.starts("cond_stage_model.model.") ||
      (projection != nullptr && projection->shape.size() == 2)) {
    return "sd2";
  }
  return "sd1";
}

int64_t unet_channels(const Names& names) {
  for (const char* name : {"model.diffusion_model.input_blocks.0.0.weight", "input_blocks.0.0.weight",
                           "unet.conv_in.weight", "conv_in.weight"}) {
    if (names.has(name)) return names.extent(name, 1);
  }
  return 0;
}

bool among(const std::vector<CheckpointPart>& parts, std::string_view name) {
  return std::any_of(parts.begin(), parts.end(), [&](const auto& p) { return p.name == name; });
}
bool has_part(const CheckpointSummary& summary, std::string_view name) { return among(summary.parts, name); }

void advise(CheckpointSummary& summary) {
  const bool whole =
      has_part(summary, "unet") && has_part(summary, "vae") && has_part(summary, "text_encoder");
  if (summary.family == "sd1" && summary.in_channels != 4) {
    summary.advice = "A UNet with " + std::to_string(summary.in_channels) +
                     " input channels: it wants more than a noisy latent, which is not known here";
  } else if (summary.family == "sd1" && whole) {
    summary.advice = summary.folder ? "Ready to draw: cutaway generate --model FOLDER"
                                    : "Ready to draw: cutaway generate --model FILE --tokenizer DIR";
  } else if (summary.family == "sd1") {
    summary.advice = "Only a part of a model; to draw, UNet, VAE and text encoder are needed";
  } else if (summary.family == "sd1-inpainting") {
    summary.advice =
        "An inpainting model: its UNet takes 9 channels, the latent, a mask and the masked picture";
  } else if (summary.family == "sd2") {
    summary.advice = "Stable Diffusion 2: another text encoder, which is not read here; take an SD 1.x model";
  } else if (summary.family == "sdxl") {
    summary.advice =
        "Stable Diffusion XL: a larger UNet and two text encoders, not read here; take an SD 1.x model";
  }
  if (summary.family.starts_with("sd1") && among(summary.ignored, "ema"))
    summary.advice += " (it uses the plain weights, not their average over the training, model_ema)";
}

bool is_checkpoint(CheckpointSummary& summary, const Names& names) {
  const bool compvis = names.starts(compvis_unet_prefix) || names.starts("input_blocks.");
  const bool diffusers = (names.starts("down_blocks.") || names.starts("unet.down_blocks.")) &&
                         names.ends("time_embedding.linear_1.weight") != nullptr;
  // An inpainting model's first convolution alone: all that sets it apart.
  const bool first_only = names.all().size() <= 2 && names.extent("conv_in.weight", 1) == 9;
  if (!compvis && !diffusers && !first_only) return false;
  summary.family = first_only ? "sd1" : unet_family(names);
  if (summary.family.empty()) return false;
  summary.naming = compvis ? "compvis" : "diffusers";
  summary.in_channels = unet_channels(names);
  if (summary.family == "sd1" && summary.in_channels == 9) summary.family = "sd1-inpainting";
  if (names.starts(compvis_unet_prefix)) {
    count_by(summary, names,
             {{compvis_unet_prefix, "unet"},
              {"first_stage_model.loss.", "other"},
              {compvis_vae_prefix, "vae"},
              {"cond_stage_model.", "text_encoder"},
              {"conditioner.", "text_encoder"},
              {"model_ema.", "ema"}});
  } else if (names.starts("unet.")) {
    count_by(summary, names, {{"unet.", "unet"}, {"vae.", "vae"}, {"text_encoder.", "text_encoder"}});
  } else {
    count_by(summary, names, {{"", "unet"}});
  }
  advise(summary);
  return true;
}

bool is_vae(CheckpointSummary& summary, const Names& names) {
  const StoredTensor* conv = names.ends("decoder.conv_in.weight");
  if (conv == nullptr) return false;
  const bool compvis = names.contains("decoder.mid.block_1.");
  if (!compvis && !names.contains("decoder.mid_block.")) return false;
  summary.family = "vae";
  summary.naming = compvis ? "compvis" : "diffusers";
  const std::string front =
      conv->name.substr(0, conv->name.size() - std::string("decoder.conv_in.weight").size());
  for (const StoredTensor* tensor : names.all()) {
    const std::string_view name = std::string_view(tensor->name).substr(0, front.size());
    const std::string_view rest = name == front ? std::string_view(tensor->name).substr(front.size()) : "";
    const bool own = rest.starts_with("encoder.") || rest.starts_with("decoder.") ||
                     rest.starts_with("quant_conv.") || rest.starts_with("post_quant_conv.");
    count(own ? summary.parts : summary.ignored, own ? "vae" : "other", *tensor);
  }
  summary.advice = "Only a VAE: it turns latents into pictures, for a model folder's vae/";
  return true;
}

bool is_clip_text(CheckpointSummary& summary, const Names& names) {
  const bool transformers = names.ends("embeddings.token_embedding.weight") != nullptr;
  const bool openclip = !transformers && names.ends("token_embedding.weight") != nullptr &&
                        names.contains("transformer.resblocks.");
  if (!transformers && !openclip) return false;
  summary.family = "clip-text";
  summary.naming = transformers ? "transformers" : "openclip";
  for (const StoredTensor* tensor : names.all()) {
    const bool vision = tensor->name.starts_with("vision_model.") || tensor->name.starts_with("visual");
    count(vision ? summary.ignored : summary.parts, vision ? "other" : "text_encoder", *tensor);
  }
  summary.advice = "Only a text encoder: it turns prompts into numbers, for a model folder's text_encoder/";
  return true;
}

// ---- Folders

void add_folder_part(CheckpointSummary& summary, const std::string& folder, const std::string& part) {
  const TensorSet set = TensorSet::of_folder(folder);
  const CheckpointSummary own = summary_of(set);
  summary.files += set.files();
  summary.format = set.format();
  CheckpointPart counted;
  counted.name = part;
  for (const CheckpointPart& p : own.parts) {
    counted.tensors += p.tensors;
    counted.parameters += p.parameters;
    counted.dtypes.insert(p.dtypes.begin(), p.dtypes.end());
  }
  const bool used = part == "unet" || part == "vae" || part.starts_with("text_encoder");
  (used ? summary.parts : summary.ignored).push_back(counted);
  if (part == "unet" || summary.family.empty()) {
    summary.family = own.family;
    summary.naming = own.naming;
    summary.in_channels = own.in_channels;
    summary.advice = own.advice;
  }
}

CheckpointSummary summary_of_folder(const std::string& folder) {
  CheckpointSummary summary;
  summary.folder = true;
  summary.files = 0;
  std::vector<std::string> parts;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (entry.is_directory(error) && TensorSet::has_weights(entry.path().string())) {
      parts.push_back(entry.path().filename().string());
    }
  }
  std::sort(parts.begin(), parts.end());
  for (const std::string& part : parts) add_folder_part(summary, folder + "/" + part, part);
  if (parts.empty()) {  // one network's own folder, such as a ControlNet's
    const TensorSet set = TensorSet::of_folder(folder);
    summary = summary_of(set);
    summary.folder = true;
  }
  advise(summary);
  return summary;
}

}  // namespace

CheckpointSummary summary_of(const TensorSet& tensors) {
  CheckpointSummary summary;
  summary.format = tensors.format();
  summary.files = tensors.files();
  const Names names(tensors);
  for (const auto& recognised : {is_lora, is_ip_adapter, is_controlnet, is_t2i_adapter, is_checkpoint, is_vae,
                                 is_clip_text, is_textual_inversion}) {
    if (recognised(summary, names)) return summary;
    summary.parts.clear();
    summary.ignored.clear();
  }
  summary.family = summary.naming = "unknown";
  for (const StoredTensor* tensor : names.all()) count(summary.ignored, "other", *tensor);
  summary.advice = "Nothing known here has tensors of these names";
  return summary;
}

CheckpointSummary inspect_checkpoint(const std::string& path) {
  std::error_code error;
  if (!fs::exists(path, error)) throw Error("there is no file or folder " + path);
  if (fs::is_directory(path, error)) return summary_of_folder(path);
  return summary_of(TensorSet::of_file(path));
}

}  // namespace cutaway
