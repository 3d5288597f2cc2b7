#include "models/stable_diffusion.h"

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "models/checkpoints/config.h"
#include "models/checkpoints/networks.h"
#include "models/pipeline/img2img.h"
#include "models/pipeline/noise.h"
#include "samplers/guidance.h"
#include "tensor/error.h"
#include "tensor/files/mapped_files.h"
#include "tensor/trace.h"

namespace cutaway {
namespace {

namespace fs = std::filesystem;

// ---- Loading

void must_be_a_model_folder(const std::string& folder, bool has_tokenizer) {
  std::error_code ignored;
  for (const char* part : {"tokenizer", "text_encoder", "unet", "vae", "scheduler"}) {
    if (has_tokenizer && std::string_view(part) == "tokenizer") continue;
    if (!fs::is_directory(folder + "/" + part, ignored)) {
      throw Error("the model folder " + folder + " has no " + part +
                  "/ in it; a model is a folder with tokenizer/, "
                  "text_encoder/, unet/, vae/ and scheduler/");
    }
  }
}

void must_fit_together(const StableDiffusion& model, const std::string& folder) {
  const auto number = [](int64_t value) { return std::to_string(value); };
  if (model.tokenizer.vocabulary_size() > model.text_encoder.config.vocab_size) {
    throw Error("in " + folder + " the tokenizer knows " + number(model.tokenizer.vocabulary_size()) +
                " tokens, but the text encoder only " + number(model.text_encoder.config.vocab_size) +
                ": they belong to different models");
  }
  if (model.tokenizer.context_length() > model.text_encoder.config.max_position_embeddings) {
    throw Error("in " + folder + " the tokenizer makes texts of " + number(model.tokenizer.context_length()) +
                " tokens, but the text encoder takes " +
                number(model.text_encoder.config.max_position_embeddings) +
                ": they belong to different models");
  }
  if (model.text_encoder.config.hidden_size != model.unet.config.cross_attention_dim) {
    throw Error("in " + folder + " the text encoder gives tokens " +
                number(model.text_encoder.config.hidden_size) + " wide, but the UNet takes " +
                number(model.unet.config.cross_attention_dim) + ": they belong to different models");
  }
  if ((model.unet.config.in_channels != model.vae.config.latent_channels && !model.paints_masks()) ||
      model.unet.config.out_channels != model.vae.config.latent_channels) {
    throw Error("in " + folder + " the UNet takes " + number(model.unet.config.in_channels) +
                " channels and gives " + number(model.unet.config.out_channels) +
                ", but the VAE's latents have " + number(model.vae.config.latent_channels));
  }
}

// Single files carry no vocabulary.
std::string tokenizer_for(const std::string& file, bool folder, const LoadOptions& options) {
  if (!options.tokenizer.empty()) return options.tokenizer;
  if (folder) return file + "/tokenizer";
  std::error_code ignored;
  const fs::path beside = fs::path(file).parent_path() / "tokenizer";
  if (fs::is_directory(beside, ignored)) return beside.string();
  if (const char* chosen = std::getenv("CUTAWAY_TOKENIZER"); chosen != nullptr && *chosen != '\0')
    return chosen;
  if (!options.remembered_tokenizer.empty()) return options.remembered_tokenizer;
  throw Error(
      file +
      " holds no vocabulary for the prompt, as no single-file checkpoint does: name a folder with CLIP's "
      "vocab.json and merges.txt by --tokenizer DIR, once and for all by `cutaway config tokenizer DIR`, or "
      "put it beside the file as tokenizer/; any Stable Diffusion 1.x folder has the two files in "
      "tokenizer/, and so has openai/clip-vit-large-patch14 on huggingface.co");
}

// ---- Generating

// Self-attention on a band is known by having as many keys as queries (tensor/dispatch/row_bands.h), so at no
// level may a band have as many pixels as the prompt has tokens. Where one has, the prompt is said twice:
// attention is an average, and that of all tokens twice is the same.
Tensor told_from_pixels(const Tensor& prompt, const std::vector<int64_t>& rows, int64_t width,
                        int64_t lowest_scale) {
  const auto is_a_band = [&](int64_t tokens) {
    for (int64_t scale = 1; scale <= lowest_scale; scale *= 2) {
      for (const int64_t band : rows) {
        if (band / scale * ((width + scale - 1) / scale) == tokens) return true;
      }
    }
    return false;
  };
  Tensor context = prompt;
  while (is_a_band(context.shape()[1])) context = concat({context, prompt}, 1);
  return context;
}

// Each neighbour predicts a band of rows of x, and all get the whole prediction.
Tensor predicted_by_bands(const UNet& unet, const Tensor& x, float t, const Tensor& prompt,
                          const GenerateOptions& options) {
  Neighbours& neighbours = *options.neighbours;
  const int64_t scale = unet.config.scale();
  const std::vector<int64_t> rows = even_bands(x.shape()[2], scale, neighbours.count());
  const Tensor context = told_from_pixels(prompt, rows, x.shape()[3], scale);
  const Bands bands(neighbours, rows, context.shape()[1]);
  return bands.whole(predicted(unet, bands.cut(x), t, context, options.low_memory));
}

// Whatever way a run ends, no step goes on after it.
struct StepTold {
  ~StepTold() { trace::set_step(-1); }
};

Tensor repeated(const Tensor& item, int64_t times) {
  return concat(std::vector<Tensor>(static_cast<size_t>(times), item), 0);
}

void must_be_multiple(const char* name, int64_t pixels, int64_t by) {
  if (pixels % by == 0) return;
  const int64_t below = pixels / by * by;
  throw Error(std::string("the ") + name + " is " + std::to_string(pixels) +
              " pixels, but must be a multiple of " + std::to_string(by) + ": take " +
              (below > 0 ? std::to_string(below) + " or " : "") + std::to_string(below + by));
}

// Levels of the UNet halve the rows, and no row may belong to two bands.
void must_divide_into_bands(const GenerateOptions& options, int64_t pixels_of_unit) {
  const int64_t units = options.height / pixels_of_unit;
  must_be_multiple("height of a picture in bands of rows", options.height, pixels_of_unit);
  if (units < options.neighbours->count()) {
    throw Error("a picture " + std::to_string(options.height) + " pixels high has at most " +
                std::to_string(units) + " bands of at least " + std::to_string(pixels_of_unit) +
                " rows, but there are " + std::to_string(options.neighbours->count()) +
                " programs to draw it: start fewer, or take a larger height");
  }
}

}  // namespace

StableDiffusion StableDiffusion::load(const std::string& path, const LoadOptions& options) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) throw Error("there is no model folder or file " + path);
  const bool folder = fs::is_directory(path, ignored);
  if (folder) must_be_a_model_folder(path, !options.tokenizer.empty());
  Networks networks = load_networks(path, options.variant);
  const nlohmann::json &unet = networks.sizes.at("unet"), &scheduler = networks.sizes.at("scheduler");
  StableDiffusion model{
      .tokenizer = Tokenizer::load(tokenizer_for(path, folder, options)),
      .text_encoder = std::move(networks.text_encoder),
      .unet = std::move(networks.unet),
      .vae = std::move(networks.vae),
      .scheduler = scheduler_config(scheduler, networks.where("scheduler")),
      .sample_size = sample_size_of(unet, networks.where("unet")),
  };
  must_fit_together(model, path);
  model.textual_inversions = TextualInversions(model.text_encoder.config.vocab_size);
  for (const std::string& embedding : options.embeddings) {
    for (TextualInversion& word : read_textual_inversions(embedding, model.text_encoder.config.hidden_size))
      model.textual_inversions.add(std::move(word));
  }
  return model;
}

Tensor StableDiffusion::encode_prompt(const std::string& prompt,
                                      const std::function<void(const std::string&)>& warning,
                                      const PromptRules& rules) const {
  return prompt_context(tokenizer, text_encoder, textual_inversions, prompt, rules, warning);
}

GenerateOptions StableDiffusion::checked(GenerateOptions options) const {
  const int64_t scale = vae.config.scale();
  if (options.width == 0) options.width = sample_size * scale;
  if (options.height == 0) options.height = sample_size * scale;
  for (const auto& [name, pixels] :
       {std::pair{"width", options.width}, std::pair{"height", options.height}}) {
    if (pixels < scale || pixels > 8192) {
      throw Error(std::string("the ") + name + " is " + std::to_string(pixels) +
                  " pixels, but must be from " + std::to_string(scale) + " to 8192");
    }
    must_be_multiple(name, pixels, scale);
  }
  if (options.neighbours != nullptr) must_divide_into_bands(options, scale * unet.config.scale());
  if (options.batch < 1 || options.batch > 1024) {
    throw Error("the batch is " + std::to_string(options.batch) + ", but must be from 1 to 1024");
  }
  if (options.steps < 1 || options.steps > scheduler.num_train_timesteps) {
    throw Error("the number of steps is " + std::to_string(options.steps) + ", but must be from 1 to " +
                std::to_string(scheduler.num_train_timesteps));
  }
  if (!std::isfinite(options.guidance_scale) || std::fabs(options.guidance_scale) > 1000) {
    throw Error("the guidance scale (cfg) must be a number from -1000 to 1000; 1 to 15 is usual");
  }
  if (!(options.eta >= 0 && options.eta <= 1)) throw Error("eta must be a number from 0 to 1");
  const Shape needed{options.batch, vae.config.latent_channels, options.height / scale,
                     options.width / scale};
  if (options.start && options.start->shape() != needed) {
    throw Error("the latents to start from are " + to_string(options.start->shape()) + ", but must be " +
                to_string(needed) + " for " + std::to_string(options.batch) + " picture(s) of " +
                std::to_string(options.width) + " x " + std::to_string(options.height));
  }
  check_image(*this, options);
  return options;
}

GenerateResult StableDiffusion::generate(const GenerateOptions& wanted, const GenerateEvents& events) const {
  const GenerateOptions options = checked(wanted);
  const int64_t batch = options.batch;

  const PromptRules rules{options.compat.prompt_weights, options.clip_skip};
  Tensor prompt = encode_prompt(options.prompt, events.warning, rules);  // [1, T, width]
  Tensor negative = encode_prompt(options.negative_prompt, events.warning, rules);
  repeat_to_equal_length(prompt, negative);
  prompt = repeated(prompt, batch);  // [batch, T, width]
  negative = repeated(negative, batch);
  const Tensor both = concat({negative, prompt}, 0);  // [2 batch, T, width]

  // Classifier-free guidance (Ho & Salimans 2022): two predictions, and away from the one without the prompt.
  const StepTold step_told;
  int calls = 0;  // every sampler here asks the model once a step
  RunStart run;
  const auto predicted_here = [&](const Tensor& x, float t, const Tensor& context) {
    if (options.neighbours != nullptr) return predicted_by_bands(unet, x, t, context, options);
    return predicted(unet, x, t, context, options.low_memory);
  };
  // The same by two programs, one prediction each.
  const auto guided_by_two = [&](const GuidancePartner& partner, const Tensor& x, float t) {
    const Tensor mine = predicted_here(x, t, partner.has_prompt ? prompt : negative);
    const Tensor other = partner.exchange(mine);
    return partner.has_prompt ? guided(other, mine, options.guidance_scale)
                              : guided(mine, other, options.guidance_scale);
  };
  const Model predict = [&](const Tensor& latent, float t) {
    trace::set_step(calls++);
    check_mapped_files_in_place();  // a run takes long: better now than after the last step
    const Tensor x = run.unet_input(latent);
    if (options.guidance_scale == 1) return predicted_here(x, t, prompt);
    if (options.partner) return guided_by_two(*options.partner, x, t);
    const Tensor y = predicted_here(concat({x, x}, 0), t, both);
    return guided(slice(y, 0, 0, batch), slice(y, 0, batch, 2 * batch), options.guidance_scale);
  };

  RunNoise noise(options.compat, options.seed, batch);
  run = run_start(*this, options, [&](const Shape& shape) { return noise.start(shape); });
  if (events.start) events.start(run.noise);

  const OnStep after_step = [&](Step& step) {
    step.latent = run.keep_known(step.index, step.latent);
    if (events.step) events.step(step);
  };
  GenerateResult result;
  result.latent = sample(*run.sampler,
                         Run{.plan = run.plan,
                             .model = predict,
                             .noise = [&](const Shape& shape) { return noise.step(shape); },
                             .eta = options.eta,
                             .on_step = after_step},
                         run.start);

  trace::set_step(-1);
  const bool decodes = (!options.partner || options.partner->has_prompt) &&
                       (options.neighbours == nullptr || options.neighbours->place() == 0);
  if (!decodes) return result;  // another program makes the picture
  if (events.decode) events.decode();
  result.picture = decoded(vae, scale(result.latent, 1 / vae.config.scaling_factor), options.low_memory);
  return result;
}

}  // namespace cutaway
