// `cutaway generate`: a prompt becomes a picture.
#include <chrono>
#include <cmath>
#include <cstdio>

#include "apps/commands.h"
#include "apps/inside/inside_options.h"
#include "apps/memory_forecast.h"
#include "apps/picture_options.h"
#include "models/stable_diffusion.h"
#include "tensor/backend.h"
#include "tensor/error.h"
#include "tensor/png.h"
#include "tensor/safetensors.h"

namespace cutaway {
namespace {

using Clock = std::chrono::steady_clock;

struct GenerateArguments {
  PictureOptions picture;
  std::vector<std::string> prompts;
  std::string save_latents;
  std::string out = "cutaway.png";
  int64_t columns = 0;  // of a sheet with all pictures; 0: a file for each
  bool quiet = false;
  inside::InsideOptions inside;
  RunOptions run;

  int64_t pictures() const { return picture.batch * static_cast<int64_t>(prompts.size()); }
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string picture_path(const GenerateArguments& arguments, int64_t i) {
  if (arguments.columns > 0) return arguments.out;
  return numbered_path(arguments.out, static_cast<size_t>(i), static_cast<size_t>(arguments.pictures()));
}

std::vector<PngText> picture_texts(const GenerateArguments& arguments, const GenerateOptions& options,
                                   const std::string& prompt, uint64_t seed) {
  std::vector<PngText> texts{{"prompt", prompt},
                             {"negative prompt", arguments.picture.negative},
                             {"seed", std::to_string(seed)},
                             {"sampler", arguments.picture.sampler},
                             {"steps", std::to_string(arguments.picture.steps)},
                             {"cfg", shown(arguments.picture.cfg)},
                             {"model", arguments.picture.model},
                             {"Software", std::string("cutaway ") + CUTAWAY_VERSION}};
  for (const auto& [name, text] : to_texts(options)) texts.push_back({name, text});
  for (const std::string& embedding : arguments.picture.embeddings) texts.push_back({"embedding", embedding});
  return texts;
}

// Never write a picture of NaNs: it would look like a black one and hide the fault.
void must_be_finite(const Tensor& picture) {
  for (const float value : picture.values()) {
    if (!std::isfinite(value)) {
      throw Error(
          "the picture holds NaN or infinite values and is not written; are the weights damaged? "
          "--check-finite says in which layer they appear, and a lower --cfg may help");
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

void check_outputs(const GenerateArguments& arguments) {
  if (arguments.picture.batch < 1)
    throw Error("the batch is " + std::to_string(arguments.picture.batch) + ", but must be at least 1");
  for (int64_t i = 0; i < arguments.pictures(); ++i) must_be_writable(picture_path(arguments, i));
  if (arguments.save_latents.empty()) return;
  must_be_writable(arguments.save_latents);
  if (arguments.prompts.size() > 1)
    throw Error("--save-latents takes the latents of one prompt; give one --prompt");
}

// One line for each step, as it is done.
class Progress {
 public:
  explicit Progress(bool quiet) : quiet_(quiet) {}
  void begin() { since_ = Clock::now(); }
  void step(const Step& step) {
    if (quiet_) return;
    std::printf("step %2d of %d   t %6.1f   %.3f s\n", step.index + 1, step.count,
                static_cast<double>(step.t), seconds_since(since_));
    std::fflush(stdout);
    begin();
  }
  void decoded() const {
    if (!quiet_) std::printf("decoded   %27.3f s\n", seconds_since(since_));
  }

 private:
  bool quiet_;
  Clock::time_point since_ = Clock::now();
};

Tensor draw(const StableDiffusion& model, const GenerateOptions& options, const GenerateArguments& arguments,
            const inside::Watch& watch) {
  Progress progress(arguments.quiet);
  LatentLog log;
  const GenerateEvents events{
      .warning =
          [](const std::string& text) { std::fprintf(stderr, "cutaway: warning: %s\n", text.c_str()); },
      .start =
          [&](const Tensor& noise) {
            log.start = noise;
            progress.begin();
          },
      .step =
          [&](const Step& step) {
            log.after_step.push_back(step.latent);
            progress.step(step);
          },
      .decode = [&] { progress.begin(); },
  };
  const GenerateResult result = model.generate(options, events);
  progress.decoded();
  watch.check_edits();
  must_be_finite(result.picture);
  if (!arguments.save_latents.empty()) {
    log.save(arguments.save_latents, {{"prompt", options.prompt}, {"seed", std::to_string(options.seed)}});
  }
  return result.picture;
}

// All pictures in rows on white, two pixels apart.
void write_sheet(const GenerateArguments& arguments, const GenerateOptions& options,
                 const std::vector<Tensor>& batches, uint64_t seed) {
  constexpr int64_t gap = 2;
  const Shape& size = batches.front().shape();
  const int64_t height = size[2], width = size[3], count = arguments.pictures();
  const int64_t columns = std::min(arguments.columns, count), rows = (count + columns - 1) / columns;
  const int64_t sheet_width = columns * (width + gap) - gap, sheet_height = rows * (height + gap) - gap;
  std::vector<unsigned char> sheet(static_cast<size_t>(sheet_width * sheet_height * 3), 255);
  for (int64_t i = 0; i < count; ++i) {
    const std::vector<unsigned char> picture =
        to_rgb8(batches[static_cast<size_t>(i / arguments.picture.batch)], i % arguments.picture.batch);
    for (int64_t y = 0; y < height; ++y) {
      const int64_t to = ((i / columns * (height + gap) + y) * sheet_width + i % columns * (width + gap)) * 3;
      std::copy_n(picture.begin() + y * width * 3, width * 3, sheet.begin() + to);
    }
  }
  std::string prompts;
  for (const std::string& prompt : arguments.prompts) prompts += (prompts.empty() ? "" : " | ") + prompt;
  write_png(arguments.out, sheet_width, sheet_height, 3, sheet,
            picture_texts(arguments, options, prompts, seed));
}

void generate(const GenerateArguments& arguments) {
  apply(arguments.run);
  check_outputs(arguments);
  const auto begin = Clock::now();
  GenerateOptions options = to_generate_options(arguments.picture);
  const uint64_t first_seed = options.seed;
  const StableDiffusion model = load_model(arguments.picture);
  if (!arguments.quiet) std::printf("loaded    %27.3f s\n", seconds_since(begin));
  const inside::Watch watch(arguments.inside);

  std::vector<Tensor> batches;
  for (size_t p = 0; p < arguments.prompts.size(); ++p) {
    options.prompt = arguments.prompts[p];
    options.seed = first_seed + p * static_cast<uint64_t>(arguments.picture.batch);
    if (!arguments.quiet) {
      std::printf("\"%s\" with %s, %s, %d steps, cfg %s, seed %llu\n", options.prompt.c_str(),
                  arguments.picture.model.c_str(), arguments.picture.sampler.c_str(), options.steps,
                  shown(options.guidance_scale).c_str(), static_cast<unsigned long long>(options.seed));
    }
    if (p == 0 && !arguments.quiet) {
      std::printf("%s\n", to_string(forecast(model, options)).c_str());
      std::fflush(stdout);
    }
    const Tensor pictures = draw(model, options, arguments, watch);
    if (arguments.columns > 0) {
      batches.push_back(pictures);
      continue;
    }
    for (int64_t i = 0; i < arguments.picture.batch; ++i) {
      const std::string path = picture_path(arguments, static_cast<int64_t>(p) * arguments.picture.batch + i);
      const uint64_t seed = seed_of_picture(options, i);
      write_png(path, pictures.shape()[3], pictures.shape()[2], 3, to_rgb8(pictures, i),
                picture_texts(arguments, options, options.prompt, seed));
      std::printf("%s  seed %llu  %.2f s\n", path.c_str(), static_cast<unsigned long long>(seed),
                  seconds_since(begin));
    }
  }
  if (arguments.columns > 0) {
    write_sheet(arguments, options, batches, first_seed);
    std::printf("%s  seed %llu  %.2f s\n", arguments.out.c_str(), static_cast<unsigned long long>(first_seed),
                seconds_since(begin));
  }
}

}  // namespace

void add_generate_command(CLI::App& program, int&) {
  auto arguments = std::make_shared<GenerateArguments>();
  CLI::App& command = *program.add_subcommand("generate", "Draw pictures from a prompt");
  command.add_option("--prompt", arguments->prompts, "What to draw; may be given several times")
      ->required()
      ->expected(1)
      ->take_all();
  add_picture_options(command, arguments->picture);
  command
      .add_option("--save-latents", arguments->save_latents,
                  "Write the noise and the latent after each step to a file")
      ->type_name("FILE");
  command
      .add_option("--out", arguments->out,
                  "The picture; of several, cat.png becomes cat-1.png, cat-2.png, ...")
      ->type_name("FILE.png")
      ->capture_default_str();
  command.add_option("--sheet", arguments->columns, "All pictures in one file, this many in a row")
      ->type_name("COLUMNS")
      ->check(CLI::Range(1, 100));
  command.add_flag("--quiet", arguments->quiet, "Print nothing but the picture's path, seed and time");
  inside::add_inside_options(command, arguments->inside);
  add_run_options(command, arguments->run);
  command.callback([arguments] { generate(*arguments); });
}

}  // namespace cutaway
