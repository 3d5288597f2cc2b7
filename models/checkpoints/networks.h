// The three networks of Stable Diffusion 1.x with their weights, from a folder or a file.
// Doc: docs/checkpoints.md
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "models/clip_text.h"
#include "models/unets/unet_sd.h"
#include "models/vae.h"

namespace cutaway {

/// The networks of a model with their weights, and what its files say of their sizes.
struct Networks {
  CLIPTextModel text_encoder;
  UNet unet;
  AutoencoderKL vae;

  /// As StableDiffusion::each.
  template <class V>
  void each(V&& visit) {
    visit("text_encoder", text_encoder);
    visit("unet", unet);
    visit("vae", vae);
  }

  /// What config.json of each says, under "text_encoder", "unet" and "vae", and
  /// scheduler_config.json under "scheduler".
  nlohmann::json sizes;
  /// For messages: where the sizes of a part come from, "unet/config.json".
  std::string where(const std::string& part) const;

  std::string path;
  bool folder = false;
};

/// `variant`: of the files in a folder, such as "fp16"; "" for whichever is there. Throws Error when a part
/// is missing, broken, or has no network's names and shapes.
Networks load_networks(const std::string& path, const std::string& variant = "");

/// Stable Diffusion 1.5 at full size with the weights of the formula (docs/formula_weights.md): 1,066,235,307
/// numbers made in memory, 4.3 GB.
Networks formula_networks();

}  // namespace cutaway
