#include "apps/options/compat_options.h"

#include <charconv>

#include "tensor/error.h"
#include "tensor/files/text.h"

namespace cutaway {
namespace {

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

int64_t whole_number(const std::string& name, const std::string& text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size())
    throw Error("the " + name + " is " + in_quotes(text) + ", which is no number");
  return number;
}

}  // namespace

void add_compat_options(CLI::App& command, CompatOptions& options) {
  command.option_defaults()->group("Like which program");
  command
      .add_option(
          "--compat", options.compat,
          "Draw the picture that this program draws from the same prompt, seed, sampler, steps and cfg: " +
              joined(program_names()))
      ->type_name("PROGRAM")
      ->capture_default_str();
  command
      .add_option(
          "--prompt-weights", options.prompt_weights,
          "What (word:1.3), [word] and BREAK mean: none, webui or comfyui; as --compat has it when left "
          "out")
      ->type_name("RULE");
  command
      .add_option("--clip-skip", options.clip_skip,
                  "Leave out the last N - 1 layers of the text encoder; 1 leaves out none")
      ->type_name("N")
      ->capture_default_str();
  command
      .add_option("--schedule", options.schedule,
                  "Spacing of the noise levels: " + joined(level_spacing_names()) +
                      "; the sampler's own when left out")
      ->type_name("NAME");
  command
      .add_option("--noise", options.noise,
                  "Whose random numbers: cpu or cuda; as --compat has it when left out")
      ->type_name("SOURCE");
}

void apply(const CompatOptions& given, GenerateOptions& options) {
  options.compat = compat_of(given.compat);
  if (!given.prompt_weights.empty())
    options.compat.prompt_weights = prompt_weights_named(given.prompt_weights);
  if (!given.noise.empty()) {
    const RandomSource source = random_source_named(given.noise);
    // ComfyUI draws the starting noise on the processor always; what may differ is where the steps draw.
    const bool starts_on_cpu = options.compat.step_stream == StepNoise::same_seed_anew;
    if (!starts_on_cpu) options.compat.start_noise = source;
    options.compat.step_noise = source;
  }
  if (!given.schedule.empty()) options.spacing = level_spacing_named(given.schedule);
  options.clip_skip = given.clip_skip;
}

uint64_t seed_of_picture(const GenerateOptions& options, int64_t i) {
  const bool own = options.compat.noise_for == NoiseFor::picture;
  return options.seed + (own ? static_cast<uint64_t>(i) : 0);
}

std::map<std::string, std::string> to_texts(const GenerateOptions& options) {
  const Compat& chosen = options.compat;
  const Compat& usual = compat_of(chosen.name);
  std::map<std::string, std::string> texts;
  if (usual.name != compat_of("diffusers").name) texts["compat"] = usual.name;
  if (chosen.prompt_weights != usual.prompt_weights)
    texts["prompt weights"] = to_string(chosen.prompt_weights);
  if (chosen.step_noise != usual.step_noise) texts["noise"] = to_string(chosen.step_noise);
  if (options.spacing != LevelSpacing::by_sampler) texts["schedule"] = to_string(options.spacing);
  if (options.clip_skip != 1) texts["clip skip"] = std::to_string(options.clip_skip);
  return texts;
}

CompatOptions compat_in(const std::map<std::string, std::string>& texts) {
  CompatOptions options;
  const auto read = [&](const char* key, std::string& value) {
    if (const auto found = texts.find(key); found != texts.end()) value = found->second;
  };
  read("compat", options.compat);
  read("prompt weights", options.prompt_weights);
  read("noise", options.noise);
  read("schedule", options.schedule);
  std::string clip_skip = "1";
  read("clip skip", clip_skip);
  options.clip_skip = whole_number("clip skip", clip_skip);
  return options;
}

}  // namespace cutaway
