// `cutaway generate`: a prompt becomes a picture.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <random>

#include "apps/commands.h"
#include "models/stable_diffusion.h"
#include "tensor/backend.h"
#include "tensor/error.h"
#include "tensor/png.h"
#include "tensor/safetensors.h"

namespace cutaway {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

struct GenerateArguments {
  std::string model = "weights/demo";
  std::string prompt, negative;
  std::string sampler = "ddim";
  int steps = 20;
  float cfg = 5;
  float eta = 0;
  std::optional<uint64_t> seed;
  int64_t batch = 1;
  int64_t width = 0, height = 0;
  std::string latents, save_latents;
  std::string out = "cutaway.png";
  bool quiet = false;
  RunOptions run;
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// "%g" gives the shortest form that a person would write: 5, 7.5.
std::string shown(float value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", static_cast<double>(value));
  return text;
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

// Where picture i of the batch goes: cat.png, or cat-1.png, cat-2.png, ... for several.
std::string picture_path(const std::string& out, int64_t i, int64_t batch) {
  if (batch == 1) return out;
  const fs::path path(out);
  return (path.parent_path() /
          (path.stem().string() + "-" + std::to_string(i + 1) + path.extension().string()))
      .string();
}

// Found out before the work, not after it.
void must_be_writable(const std::string& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored))
    throw Error("cannot write " + path + ": it is a folder; name a file in it");
  const fs::path parent = fs::path(path).parent_path();
  if (!parent.empty() && !fs::is_directory(parent, ignored)) {
    throw Error("cannot write " + path + ": the folder " + parent.string() + " does not exist");
  }
}

std::vector<PngText> picture_texts(const GenerateArguments& arguments, uint64_t seed) {
  return {{"prompt", arguments.prompt},
          {"negative prompt", arguments.negative},
          {"seed", std::to_string(seed)},
          {"sampler", arguments.sampler},
          {"steps", std::to_string(arguments.steps)},
          {"cfg", shown(arguments.cfg)},
          {"model", arguments.model},
          {"Software", std::string("cutaway ") + CUTAWAY_VERSION}};
}

// Never write a picture of NaNs: it would look like a black one and hide the fault.
void must_be_finite(const Tensor& picture) {
  for (const float value : picture.values()) {
    if (!std::isfinite(value)) {
      throw Error(
          "the picture holds NaN or infinite values and is not written; are the weights damaged? "
          "A lower --cfg may help");
    }
  }
}

// What happened on the way from noise to picture, for --save-latents.
struct LatentLog {
  Tensor start;
  std::vector<Tensor> after_step;

  void save(const std::string& path, const std::map<std::string, std::string>& metadata) const {
    std::vector<NamedTensor> tensors{{"noise", start}};
    for (size_t i = 0; i < after_step.size(); ++i) {
      char name[32];
      std::snprintf(name, sizeof name, "latent_%02zu", i);
      tensors.push_back({name, after_step[i]});
    }
    tensors.push_back({"latents", after_step.back()});
    write_safetensors(path, tensors, metadata);
  }
};

GenerateOptions options_from(const GenerateArguments& arguments) {
  GenerateOptions options;
  options.prompt = arguments.prompt;
  options.negative_prompt = arguments.negative;
  options.sampler = sampler_named(arguments.sampler);
  options.steps = arguments.steps;
  options.guidance_scale = arguments.cfg;
  options.eta = arguments.eta;
  options.seed = arguments.seed ? *arguments.seed : std::random_device{}();
  options.batch = arguments.batch;
  options.width = arguments.width;
  options.height = arguments.height;
  if (!arguments.latents.empty()) options.start = read_latents(arguments.latents);
  return options;
}

void generate(const GenerateArguments& arguments) {
  apply(arguments.run);
  for (int64_t i = 0; i < arguments.batch; ++i)
    must_be_writable(picture_path(arguments.out, i, arguments.batch));
  if (!arguments.save_latents.empty()) must_be_writable(arguments.save_latents);

  const auto begin = Clock::now();
  const GenerateOptions options = options_from(arguments);
  const StableDiffusion model = StableDiffusion::load(arguments.model);
  const bool quiet = arguments.quiet;
  if (!quiet) {
    std::printf("\"%s\" with %s, %s, %d steps, cfg %s, seed %llu\n", arguments.prompt.c_str(),
                arguments.model.c_str(), arguments.sampler.c_str(), options.steps,
                shown(options.guidance_scale).c_str(), static_cast<unsigned long long>(options.seed));
  }

  LatentLog log;
  auto step_begin = Clock::now();
  const GenerateEvents events{
      .warning =
          [](const std::string& text) { std::fprintf(stderr, "cutaway: warning: %s\n", text.c_str()); },
      .start = [&](const Tensor& noise) { log.start = noise, step_begin = Clock::now(); },
      .step =
          [&](const Step& step) {
            log.after_step.push_back(step.latent);
            if (quiet) return;
            std::printf("step %2d of %d   t %6.1f   %.3f s\n", step.index + 1, step.count,
                        static_cast<double>(step.t), seconds_since(step_begin));
            std::fflush(stdout);
            step_begin = Clock::now();
          },
      .decode = [&] { step_begin = Clock::now(); },
  };
  const GenerateResult result = model.generate(options, events);
  if (!quiet) std::printf("decoded in %.3f s\n", seconds_since(step_begin));
  must_be_finite(result.picture);

  if (!arguments.save_latents.empty()) {
    log.save(arguments.save_latents, {{"prompt", arguments.prompt}, {"seed", std::to_string(options.seed)}});
  }
  const Shape& size = result.picture.shape();
  for (int64_t i = 0; i < options.batch; ++i) {
    const std::string path = picture_path(arguments.out, i, options.batch);
    const uint64_t seed = options.seed + static_cast<uint64_t>(i);
    write_png(path, size[3], size[2], 3, to_rgb8(result.picture, i), picture_texts(arguments, seed));
    std::printf("%s  seed %llu  %.2f s\n", path.c_str(), static_cast<unsigned long long>(seed),
                seconds_since(begin));
  }
}

}  // namespace

void add_generate_command(CLI::App& program, int&) {
  auto arguments = std::make_shared<GenerateArguments>();
  CLI::App& command = *program.add_subcommand("generate", "Draw pictures from a prompt");
  command.add_option("--model", arguments->model, "The model folder, in diffusers layout")
      ->capture_default_str();
  command.add_option("--prompt", arguments->prompt, "What to draw")->required();
  command.add_option("--negative", arguments->negative, "What the picture should move away from");
  command.add_option("--steps", arguments->steps, "How many steps from noise to picture")
      ->capture_default_str();
  command.add_option("--cfg", arguments->cfg, "Guidance scale: how strongly the prompt pulls")
      ->capture_default_str();
  command
      .add_option("--sampler", arguments->sampler,
                  "ddim, ddpm, euler, euler_ancestral, dpmpp_2m or dpmpp_2m_karras")
      ->capture_default_str();
  command.add_option("--eta", arguments->eta, "DDIM's noise, from 0 (none) to 1 (as much as DDPM)")
      ->capture_default_str();
  command.add_option("--seed", arguments->seed,
                     "The number that the noise comes from; picture i uses seed + i");
  command.add_option("--batch", arguments->batch, "How many pictures at once")->capture_default_str();
  command.add_option("--width", arguments->width, "Width in pixels; the model's own when left out");
  command.add_option("--height", arguments->height, "Height in pixels; the model's own when left out");
  command
      .add_option("--latents", arguments->latents,
                  "Start from this noise: a safetensors file, FILE or FILE:tensor")
      ->type_name("FILE[:tensor]");
  command
      .add_option("--save-latents", arguments->save_latents,
                  "Write the noise and the latent after each step to a file")
      ->type_name("FILE");
  command
      .add_option("--out", arguments->out,
                  "The picture; of several, cat.png becomes cat-1.png, cat-2.png, ...")
      ->type_name("FILE.png")
      ->capture_default_str();
  command.add_flag("--quiet", arguments->quiet, "Print nothing but the picture's path, seed and time");
  add_run_options(command, arguments->run);
  command.callback([arguments] { generate(*arguments); });
}

}  // namespace cutaway
