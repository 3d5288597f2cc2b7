// models/: the whole, and its parts: Stable Diffusion, VAE, CLIP's text encoder.
//
// Stable Diffusion: text encoder, UNet, VAE and sampler put together.   Doc: docs/pipeline.md
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "models/clip_text.h"
#include "models/overlays/textual_inversion.h"
#include "models/pipeline/options.h"
#include "models/prompt/encode_prompt.h"
#include "models/prompt/known_words.h"
#include "models/prompt/tokenizer.h"
#include "models/unets/unet_sd.h"
#include "models/vae.h"
#include "samplers/levels/schedule.h"
#include "samplers/sampler.h"

namespace cutaway {

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
  KnownWords known_words = {};                // where the model folder lists them

  /// The networks, each by the name that its layers' paths begin with: the one list of them.
  template <class V>
  void each(V&& visit) {
    visit("text_encoder", text_encoder);
    visit("unet", unet);
    visit("vae", vae);
  }

  /// An inpainting model: its UNet also takes the mask and the masked picture, 9 channels in all.
  bool paints_masks() const { return unet.config.in_channels == 2 * vae.config.latent_channels + 1; }

  /// Throws Error when a part is missing, broken, or does not fit the others.
  static StableDiffusion load(const std::string& folder_or_file, const LoadOptions& options = {});

  /// The prompt as the UNet's context: [1, T, width]. `warning` is told the words that do not fit, and those
  /// that the model does not know.
  Tensor encode_prompt(const std::string& prompt, const std::function<void(const std::string&)>& warning,
                       const PromptRules& rules = {}) const;

  /// The figure of docs/pipeline.md, in models/pipeline/generate.cpp. Throws Error for options that make no
  /// picture: 0 steps, sizes that do not divide, a guidance that is no number.
  GenerateResult generate(const GenerateOptions& options, const Execution& how = {},
                          const GenerateEvents& events = {}) const;

  /// The options with the model's own size where they name none. Throws Error as generate() does.
  GenerateOptions checked(GenerateOptions options, const Execution& how = {}) const;
};

}  // namespace cutaway
