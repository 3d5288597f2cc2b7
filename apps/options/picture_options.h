// apps/options/: the options that commands share.
//
// What says which picture is drawn: the options that generate and the
// commands that look inside have in common.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "apps/options/compat_options.h"
#include "models/stable_diffusion.h"

namespace cutaway {

struct PictureOptions {
  std::string model;      // a model folder, or a checkpoint in one file
  std::string tokenizer;  // a folder; "" is the model's own
  std::string variant;    // of the files in a folder
  std::string negative;
  std::string sampler = "ddim";
  int steps = 20;
  float cfg = 5, cfg_rescale = 0;
  float eta = 0;
  std::optional<uint64_t> seed;
  int64_t batch = 1;
  int64_t width = 0, height = 0;
  std::string latents;  // FILE or FILE:tensor
  std::vector<std::string> embeddings;
  CompatOptions compat;

  PictureOptions();
};

void add_picture_options(CLI::App& command, PictureOptions& options);

/// The model with its tokenizer.
StableDiffusion load_model(const PictureOptions& options);

/// All but the prompt. A seed that was not given is drawn here. Throws Error for
/// an unknown sampler or unreadable latents.
GenerateOptions to_generate_options(const PictureOptions& options);

/// A number as a person would write it: 5, 7.5.
std::string shown(float value);

/// Where the i-th of `count` results goes: cat.png, or cat-1.png, cat-2.png, ... for several.
std::string numbered_path(const std::string& path, size_t i, size_t count);

/// Throws Error when no file can be written at that path: found out before the work, not after it.
void must_be_writable(const std::string& path);

}  // namespace cutaway
