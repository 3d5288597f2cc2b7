// models/checkpoints/: what a file of weights is, and where each network finds its own in it.
//
// Checkpoints: what a file or a folder of weights is, which sizes its networks have, and where each network
// finds its weights in it.   Doc: docs/checkpoints.md
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <vector>

#include "models/checkpoints/tensor_set.h"
#include "models/unets/unet_sd.h"
#include "models/vae.h"
#include "nn/load.h"

namespace cutaway {

// ---- What it is

/// One network's share of a checkpoint.
struct CheckpointPart {
  std::string name;  // "unet", "vae", "text_encoder", "controlnet", "lora", ...
  int64_t tensors = 0;
  int64_t parameters = 0;
  std::set<std::string> dtypes;
};

/// What `cutaway inspect` says of a file or folder.
struct CheckpointSummary {
  std::string family;  // sd1, sd1-inpainting, sd2, sdxl, controlnet, t2i-adapter, ip-adapter, lora,
                       // textual-inversion, vae, clip-text, unknown
  std::string naming;  // diffusers, compvis, transformers, openclip, kohya, peft, original or unknown
  std::string format;  // safetensors, pickle or gguf
  bool folder = false;
  size_t files = 1;
  std::vector<CheckpointPart> parts;    // what the family is made of
  std::vector<CheckpointPart> ignored;  // "ema": a second set of weights; "other": buffers of the training
  int64_t in_channels = 0;              // of the UNet or ControlNet; 0 where there is none
  std::string advice;                   // what can be done with it here, in one sentence
};

/// Says what a file, a list of shards or a folder is. Reads headers, no
/// numbers. Throws Error when it cannot be read.
CheckpointSummary inspect_checkpoint(const std::string& path);
/// The same for tensors that are open already.
CheckpointSummary summary_of(const TensorSet& tensors);

// ---- Single files: sizes and weights

/// The sizes of the networks of an SD 1.x checkpoint in one file, as the config.json of a diffusers
/// folder would say them: {"unet": {...}, "vae": {...}, "text_encoder": {...}, "scheduler": {...}}.
/// They come from the tensors' shapes; what shapes do not tell (8 attention heads, the noise
/// schedule) is as in SD 1.x. A file NAME.json beside NAME.safetensors, or an entry cutaway.config in
/// the file's metadata, of the same form, goes before that. Throws Error when a network is missing or
/// its blocks make no UNet or VAE of this kind.
nlohmann::json compvis_sizes(const TensorSet& tensors);

/// The same for Stable Diffusion 1.5 itself.
nlohmann::json sd15_sizes();

/// The weights of one network among the tensors of a checkpoint.
class PartSource : public WeightSource {
 public:
  /// The names that a weight may have in the file, the likeliest first.
  using Names = std::function<std::vector<std::string>(const std::string& name)>;

  /// `wanted` are the network's own names. What else stands in the file below `prefix` is reported as
  /// unexpected, unless it starts with one of `left_aside`.
  PartSource(const TensorSet& tensors, const std::string& prefix, const std::vector<std::string>& wanted,
             const Names& names_in_file, const std::vector<std::string>& left_aside = {});

  std::string description() const override { return description_; }
  std::vector<std::string> names() const override { return names_; }
  std::optional<Weight> find(const std::string& name, const Shape& needed) const override;

 private:
  const TensorSet& tensors_;
  std::string description_;
  std::vector<std::string> names_;
  std::map<std::string, const StoredTensor*> stored_;  // by the network's name
};

/// The names of a network's weights.
template <class Network>
std::vector<std::string> weight_names(Network& network) {
  std::vector<std::string> names;
  for_each_weight(network, "", [&](const std::string& name, const Weight&) { names.push_back(name); });
  return names;
}

PartSource unet_in_compvis(const TensorSet& tensors, UNet& unet);
PartSource vae_in_compvis(const TensorSet& tensors, AutoencoderKL& vae);
PartSource text_encoder_in_compvis(const TensorSet& tensors, const std::vector<std::string>& wanted);
/// A network in a folder of its own, with diffusers' names of today or of before.
PartSource part_in_folder(const TensorSet& tensors, const std::vector<std::string>& wanted);

}  // namespace cutaway
