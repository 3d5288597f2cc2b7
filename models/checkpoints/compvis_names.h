// The names that CompVis' original code gives the weights of Stable Diffusion, computed from ours,
// which are diffusers'. Single-file checkpoints use them.   Doc: docs/checkpoints.md
#pragma once

#include <optional>
#include <string>

#include "models/unets/unet_sd.h"
#include "models/vae.h"

namespace cutaway {

/// What stands before the names of each network in a single-file checkpoint.
inline constexpr const char* compvis_unet_prefix = "model.diffusion_model.";
inline constexpr const char* compvis_vae_prefix = "first_stage_model.";
inline constexpr const char* compvis_text_prefix =
    "cond_stage_model.transformer.";  // then transformers' own names

/// "down_blocks.0.resnets.1.conv1.weight" -> "input_blocks.2.0.in_layers.2.weight". CompVis numbers all blocks of
/// one side in a row, so the answer depends on how many there are at each level. Nothing for a name that no
/// UNet of this configuration has the like of.
std::optional<std::string> compvis_unet_name(const std::string& name, const UNetConfig& config);

/// "decoder.up_blocks.0.resnets.1.conv1.weight" -> "decoder.up.3.block.1.conv1.weight": CompVis counts the
/// decoder's levels from the finest. Its attention stores 1x1 convolutions where ours are linear layers:
/// [C, C, 1, 1] in place of [C, C].
std::optional<std::string> compvis_vae_name(const std::string& name, const VaeConfig& config);

/// "encoder.mid_block.attentions.0.to_q.weight" -> "encoder.mid_block.attentions.0.query.weight": the names
/// that diffusers itself gave the VAE's attention until 0.17, and the published SD 1.x folders still have.
/// Nothing for all other weights.
std::optional<std::string> older_vae_name(const std::string& name);

}  // namespace cutaway
