#include "apps/options/picture_options.h"

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <random>

#include "apps/options/user_settings.h"
#include "tensor/error.h"
#include "tensor/files/safetensors.h"

namespace cutaway {
namespace {

namespace fs = std::filesystem;

// The demo model: in the current folder, beside the build folder that the
// program is in, or where it was installed.
std::string default_model() {
  const std::string name = "weights/demo";
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (const fs::path& root : {fs::path("."), program / "../..", program / "../share/cutaway"}) {
    if (fs::is_directory(root / name, error)) return (root / name).lexically_normal().string();
  }
  return name;
}

// FILE or FILE:tensor; without a name, the file's only tensor or the one called "latents".
Tensor read_latents(const std::string& argument) {
  std::string path = argument, name;
  std::error_code ignored;
  if (const size_t colon = argument.rfind(':');
      colon != std::string::npos && !fs::exists(argument, ignored)) {
    path = argument.substr(0, colon);
    name = argument.substr(colon + 1);
  }
  const SafetensorsFile file = SafetensorsFile::open(path);
  if (name.empty()) name = file.tensors().size() == 1 ? file.tensors().front().name : "latents";
  Tensor latents = file.at(name).to_tensor();
  for (const float value : latents.values()) {
    if (!std::isfinite(value))
      throw Error("the tensor '" + name + "' in " + path + " holds a NaN or an infinity");
  }
  return latents;
}

// A negative number would silently become a huge one.
CLI::Validator not_negative() {
  return CLI::Validator(
      [](const std::string& text) {
        return text.starts_with("-") ? "the seed is " + text + ", but must be 0 or more" : std::string();
      },
      "");
}

}  // namespace

PictureOptions::PictureOptions() : model(default_model()) {}

void add_picture_options(CLI::App& command, PictureOptions& options) {
  command.option_defaults()->group("Which model");
  command
      .add_option("--model", options.model,
                  "The model: a folder in diffusers layout, or an SD 1.x checkpoint in one file")
      ->capture_default_str();
  command
      .add_option("--tokenizer", options.tokenizer,
                  "Folder with CLIP's vocab.json and merges.txt, for a model in one file")
      ->type_name("DIR");
  command.add_option("--variant", options.variant, "Which of a folder's weights, such as fp16")
      ->type_name("NAME");
  command
      .add_option("--embedding", options.embeddings,
                  "Textual inversion: a file, FILE:word, or a folder of them; may be given several times")
      ->type_name("FILE[:word]")
      ->expected(1)
      ->take_all();
  command.option_defaults()->group("Which picture");
  command.add_option("--negative", options.negative, "What the picture should move away from");
  command.add_option("--steps", options.steps, "How many steps from noise to picture")->capture_default_str();
  command.add_option("--cfg", options.cfg, "Guidance scale: how strongly the prompt pulls")
      ->capture_default_str();
  command
      .add_option("--cfg-rescale", options.cfg_rescale,
                  "How much of what a large --cfg does to contrast is taken back, from 0 (nothing) to 1")
      ->type_name("NUMBER");
  std::string names;
  for (const std::string& name : sampler_names()) names += (names.empty() ? "" : ", ") + name;
  command.add_option("--sampler", options.sampler, names)->capture_default_str();
  command.add_option("--eta", options.eta, "DDIM's noise, from 0 (none) to 1 (as much as DDPM)")
      ->capture_default_str();
  command
      .add_option("--seed", options.seed,
                  "The number that the noise comes from; picture i uses seed + i; a random one when left out")
      ->check(not_negative());
  command.add_option("--batch", options.batch, "How many pictures at once")->capture_default_str();
  command.add_option("--width", options.width, "Width in pixels; the model's own when left out");
  command.add_option("--height", options.height, "Height in pixels; the model's own when left out");
  command
      .add_option("--latents", options.latents,
                  "Start from this noise: a safetensors file, FILE or FILE:tensor")
      ->type_name("FILE[:tensor]");
  add_compat_options(command, options.compat);
}

StableDiffusion load_model(const PictureOptions& options) {
  return StableDiffusion::load(options.model, {.tokenizer = options.tokenizer,
                                               .variant = options.variant,
                                               .remembered_tokenizer = read_settings().tokenizer,
                                               .embeddings = options.embeddings});
}

GenerateOptions to_generate_options(const PictureOptions& given) {
  GenerateOptions options;
  options.negative_prompt = given.negative;
  options.sampler = &sampler_named(given.sampler);
  options.steps = given.steps;
  options.guidance_scale = given.cfg;
  options.guidance_rescale = given.cfg_rescale;
  options.eta = given.eta;
  options.seed = given.seed ? *given.seed : std::random_device{}();
  options.batch = given.batch;
  options.width = given.width;
  options.height = given.height;
  if (!given.latents.empty()) options.start = read_latents(given.latents);
  apply(given.compat, options);
  return options;
}

std::string shown(float value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", static_cast<double>(value));
  return text;
}

std::string numbered_path(const std::string& given, size_t i, size_t count) {
  if (count == 1) return given;
  const fs::path path(given);
  return (path.parent_path() /
          (path.stem().string() + "-" + std::to_string(i + 1) + path.extension().string()))
      .string();
}

void must_be_writable(const std::string& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored))
    throw Error("cannot write " + path + ": it is a folder; name a file in it");
  const fs::path parent = fs::path(path).parent_path();
  if (!parent.empty() && !fs::is_directory(parent, ignored)) {
    throw Error("cannot write " + path + ": the folder " + parent.string() + " does not exist");
  }
}

}  // namespace cutaway
