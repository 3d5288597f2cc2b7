// Stable Diffusion: text encoder, UNet, VAE and sampler put together.   Doc: docs/pipeline.md
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "models/clip_text.h"
#include "models/overlays/textual_inversion.h"
#include "models/pipeline/compat.h"
#include "models/pipeline/low_memory.h"
#include "models/prompt/encode_prompt.h"
#include "models/prompt/tokenizer.h"
#include "models/unets/unet_sd.h"
#include "models/vae.h"
#include "samplers/levels/schedule.h"
#include "samplers/sampler.h"
#include "tensor/dispatch/row_bands.h"

namespace cutaway {

/// The other of two programs that draw the same picture together: each makes one of guidance's two
/// predictions. They stay equal to the last bit.   Doc: docs/larger-than-one-machine.md
struct GuidancePartner {
  bool has_prompt = true;  // this program predicts with the prompt, and decodes the picture
  std::function<Tensor(const Tensor& mine)> exchange = {};  // gives it away for the other's of the same step
};

/// What to draw and how.
struct GenerateOptions {
  std::string prompt;
  std::string negative_prompt;  // what the picture should move away from
  const Sampler* sampler = &sampler_named("ddim");
  int steps = 20;
  float guidance_scale = 7.5F;  // 1 leaves the prompt unamplified and needs half the work
  float eta = 0;                // DDIM's: 0 adds no noise, 1 as much as DDPM
  uint64_t seed = 0;            // picture i of the batch uses seed + i
  int64_t batch = 1;
  int64_t width = 0, height = 0;  // in pixels; 0 is the size the model was trained at
  // Whose picture it shall be, and how the prompt is read.   Doc: docs/compat.md
  Compat compat = compat_of("diffusers");
  LevelSpacing spacing = LevelSpacing::by_sampler;
  int64_t clip_skip = 1;
  LowMemory low_memory = {};  // of memory, for a price
  // Who else draws this picture; nobody where both are empty.   Doc: docs/larger-than-one-machine.md
  std::optional<GuidancePartner> partner = {};  // makes the other of guidance's predictions
  Neighbours* neighbours = nullptr;             // each predicts a band of rows; the first decodes the picture
  std::optional<Tensor> start;  // [batch, 4, height / 8, width / 8] noise to start from instead of the seed's

  // A picture to start from, and the part of it to repaint.   Doc: docs/workflows.md
  std::optional<Tensor> image;     // [1, 3, height, width], -1 to 1
  std::optional<Tensor> mask;      // [1, 1, height, width]: 1 is painted anew, 0 is kept
  std::optional<double> strength;  // how much of the way from noise is taken; 1 where there is a mask
};
constexpr double default_strength = 0.8;  // without a mask, as in diffusers

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

/// Where the parts of a model are that its path does not tell.
struct LoadOptions {
  /// A folder with vocab.json and merges.txt; "": the model's own, see docs/checkpoints.md.
  std::string tokenizer;
  std::string variant;                    // of the files in a folder, such as "fp16"; "": whichever is there
  std::string remembered_tokenizer = {};  // where neither `tokenizer` nor the model says where one is
  std::vector<std::string> embeddings = {};  // textual inversions, see models/overlays/textual_inversion.h
};

/// Rombach et al. 2022. A model folder in diffusers layout (tokenizer/, text_encoder/, unet/, vae/,
/// scheduler/), or an SD 1.x checkpoint in one file.
struct StableDiffusion {
  Tokenizer tokenizer;
  CLIPTextModel text_encoder;
  UNet unet;
  AutoencoderKL vae;
  SchedulerConfig scheduler;
  int64_t sample_size = 64;                   // latent pixels each way that the UNet was trained at
  TextualInversions textual_inversions = {};  // of textual inversion

  /// An inpainting model: its UNet also takes the mask and the masked picture, 9 channels in all.
  bool paints_masks() const { return unet.config.in_channels == 2 * vae.config.latent_channels + 1; }

  /// Throws Error when a part is missing, broken, or does not fit the others.
  static StableDiffusion load(const std::string& folder_or_file, const LoadOptions& options = {});

  /// The prompt as the UNet's context: [1, T, width].
  Tensor encode_prompt(const std::string& prompt, const std::function<void(const std::string&)>& warning,
                       const PromptRules& rules = {}) const;

  /// Throws Error for options that make no picture: 0 steps, sizes that do
  /// not divide, a guidance that is no number.
  GenerateResult generate(const GenerateOptions& options, const GenerateEvents& events = {}) const;

  /// The options with the model's own size where they name none. Throws Error as generate() does.
  GenerateOptions checked(GenerateOptions options) const;
};

}  // namespace cutaway
