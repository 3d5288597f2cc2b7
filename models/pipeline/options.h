// What is drawn, how that is run, and who is told.   Doc: docs/pipeline.md
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "models/pipeline/compat.h"
#include "models/pipeline/low_memory.h"
#include "models/pipeline/parallel.h"
#include "samplers/sampler.h"
#include "tensor/tensor.h"

namespace cutaway {

/// What is drawn.
struct GenerateOptions {
  std::string prompt;
  std::string negative_prompt;  // what the picture should move away from
  const Sampler* sampler = &sampler_named("ddim");
  int steps = 20;
  float guidance_scale = 7.5F;  // 1 leaves the prompt unamplified and needs half the work
  float guidance_rescale = 0;   // 0 to 1: how much of the prediction's spread is given back; 0 is none
  float eta = 0;                // DDIM's: 0 adds no noise, 1 as much as DDPM
  uint64_t seed = 0;            // picture i of the batch uses seed + i
  int64_t batch = 1;
  int64_t width = 0, height = 0;  // in pixels; 0 is the size the model was trained at
  // Whose picture it shall be, and how the prompt is read.   Doc: docs/compat.md
  Compat compat = compat_of("diffusers");
  LevelSpacing spacing = LevelSpacing::by_sampler;
  int64_t clip_skip = 1;
  std::optional<Tensor> start;  // [batch, 4, height / 8, width / 8] noise to start from instead of the seed's

  // A picture to start from, and the part of it to repaint.   Doc: docs/workflows.md
  std::optional<Tensor> image;     // [1, 3, height, width], -1 to 1
  std::optional<Tensor> mask;      // [1, 1, height, width]: 1 is painted anew, 0 is kept
  std::optional<double> strength;  // how much of the way from noise is taken; 1 where there is a mask
};
constexpr double default_strength = 0.8;  // without a mask, as in diffusers

/// How it is run: the same picture, but for rounding and for tiles.
struct Execution {
  LowMemory low_memory = {};  // less of it, for a price
  // Who else draws this picture; nobody where both are empty.   Doc: docs/larger-than-one-machine.md
  std::optional<GuidancePartner> partner = {};  // makes the other of guidance's predictions
  Neighbours* neighbours = nullptr;             // each predicts a band of rows

  /// Of several programs one decodes the picture.
  bool decodes() const;
};

/// A run as it goes on. All functions may be left out.
struct GenerateEvents {
  std::function<void(const std::string& text)> warning = {};
  std::function<void(const Tensor& noise)> start = {};
  OnStep step = {};                   // after each step, with the latent
  std::function<void()> decode = {};  // the latent is done, the picture comes next
};

struct GenerateResult {
  Tensor latent;   // [batch, 4, h, w], as the UNet sees it (times scaling_factor)
  Tensor picture;  // [batch, 3, 8 h, 8 w], about -1 to 1, not clamped; empty where another program decodes it
};

}  // namespace cutaway
