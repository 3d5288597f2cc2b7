// Reading of config.json files: the sizes of the networks in a model folder, diffusers layout.
// Doc: docs/loading.md
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "models/clip_text.h"
#include "models/unets/unet_sd.h"
#include "models/vae.h"
#include "samplers/levels/schedule.h"

namespace cutaway {

// Each reads the keys that its network needs; keys that are not there keep the defaults of the
// original implementation. `where` is the file's path, for messages. Throws Error when a value has
// the wrong type or is out of range, or when the configuration asks for something that SD 1.x does
// not have (and would silently draw wrong).
UNetConfig unet_config(const nlohmann::json& json, const std::string& where);
VaeConfig vae_config(const nlohmann::json& json, const std::string& where);
ClipTextConfig clip_text_config(const nlohmann::json& json, const std::string& where);
/// Latent pixels each way that a UNet was trained at: "sample_size", 64 in SD 1.x.
int64_t sample_size_of(const nlohmann::json& unet_json, const std::string& where);
SchedulerConfig scheduler_config(const nlohmann::json& json, const std::string& where);

}  // namespace cutaway
