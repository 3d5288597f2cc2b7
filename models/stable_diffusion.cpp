#include "models/stable_diffusion.h"

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "models/checkpoints/config.h"
#include "models/checkpoints/networks.h"
#include "tensor/error.h"

namespace cutaway {
namespace {

namespace fs = std::filesystem;

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
  if (folder) model.known_words = KnownWords::read(path);
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
  std::string text;  // without the words of textual inversions, which the model learned later
  for (const PromptPiece& piece : textual_inversions.pieces_of(prompt)) {
    if (piece.new_ids.empty()) text += piece.text + " ";
  }
  if (const std::string unknown = known_words.warning(text); !unknown.empty() && warning) warning(unknown);
  return prompt_context(tokenizer, text_encoder, textual_inversions, prompt, rules, warning);
}

}  // namespace cutaway
