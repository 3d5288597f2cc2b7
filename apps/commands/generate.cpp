// `cutaway generate`: a prompt becomes a picture.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <set>

#include "apps/commands/commands.h"
#include "apps/mpi/ranks.h"
#include "apps/mpi/split.h"
#include "apps/options/layer_paths.h"
#include "apps/options/memory_plan.h"
#include "apps/options/picture_options.h"
#include "apps/options/progress.h"
#include "apps/options/run_options.h"
#include "apps/options/watch_options.h"
#include "apps/pictures/fingerprint.h"
#include "apps/pictures/images.h"
#include "apps/pictures/jobs.h"
#include "apps/pictures/picture_record.h"
#include "apps/pictures/preview.h"
#include "apps/pictures/sheet.h"
#include "models/stable_diffusion.h"
#include "tensor/backend.h"
#include "tensor/error.h"
#include "tensor/files/png.h"
#include "tensor/files/safetensors.h"

namespace cutaway {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

struct GenerateArguments {
  PictureOptions picture;
  std::vector<std::string> prompts;
  std::string save_latents;
  std::string out = "cutaway.png";
  int64_t columns = 0;  // of a sheet with all pictures; 0: a file for each
  bool quiet = false;
  std::string from;            // a picture to draw again
  int64_t place_in_batch = 0;  // which picture of the batch is that one, from 1; 0: all are wanted
  pictures::JobOptions jobs;
  std::string split;  // "guidance" or "rows"; "" where it was not given
  pictures::ImageOptions images;
  pictures::PreviewOptions preview;
  MemoryOptions memory;
  WatchOptions watched;
  RunOptions run;
  int64_t pictures = 1;  // of all jobs together, whoever draws them
};

// cat.png -> cat.preview.png
std::string preview_path(const std::string& picture) {
  const fs::path path(picture);
  return (path.parent_path() / (path.stem().string() + ".preview" + path.extension().string())).string();
}

// Where picture i goes: cat.png, or cat-1.png, cat-2.png, ... for several.
std::string picture_path(const GenerateArguments& arguments, int64_t i) {
  if (arguments.columns > 0 || arguments.place_in_batch > 0) return arguments.out;
  return numbered_path(arguments.out, static_cast<size_t>(i), static_cast<size_t>(arguments.pictures));
}

// Once, however many pictures it is true of.
void warn(const std::string& text) {
  static std::set<std::string> told;
  if (told.insert(text).second) std::fprintf(stderr, "cutaway: warning: %s\n", text.c_str());
}

// What a picture says of the run beyond the command line. The prompt and
// seed of each are added where it is written.
pictures::Known known_of(const GenerateOptions& options, const Execution& how,
                         const pictures::GivenImages& images, StableDiffusion& model) {
  pictures::Known known{{"width", std::to_string(options.width)},
                        {"height", std::to_string(options.height)},
                        {"model hash", pictures::fingerprint(model)},
                        {"init-image hash", images.image_hash()},
                        {"mask hash", images.mask_hash()},
                        {"backend", chosen_backend()},
                        {"convolution", to_string(current_convolution())},
                        {"dtype", to_string(current_precision())},
                        {"instruction set", to_string(current_isa())},
                        {"bands of rows", mpi::bands_text(how)},
                        {"Software", std::string("cutaway ") + CUTAWAY_VERSION}};
  if (options.image && !options.strength)
    known["strength"] = options.mask ? "1" : shown(static_cast<float>(default_strength));
  if (options.guidance_rescale == 0) known["cfg rescale"] = "";  // as without it: no text
  for (const auto& [keyword, text] : to_texts(options))
    known[keyword] = text;  // apps/options/compat_options.h
  if (options.start) known["latents hash"] = pictures::fingerprint(*options.start);
  return known;
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

// What cannot be meant.
void check_jobs(const GenerateArguments& arguments) {
  const pictures::JobOptions& jobs = arguments.jobs;
  if (arguments.prompts.empty())
    throw Error("give what to draw as --prompt, or a picture to draw again as --from");
  if (arguments.picture.batch < 1)
    throw Error("the batch is " + std::to_string(arguments.picture.batch) + ", but must be at least 1");
  if (!jobs.seeds.empty() && arguments.picture.seed) throw Error("give one of --seed and --seeds, not both");
  if (!jobs.seeds.empty() && arguments.picture.batch > 1)
    throw Error("--seeds draws one picture at a time: leave out --batch");
  const bool shared = !jobs.shard.empty(), sheet = arguments.columns > 0;
  if (sheet && (shared || jobs.resume || !jobs.seeds.empty())) {
    throw Error(std::string("--sheet puts all pictures into one file, but ") +
                (shared        ? "--shard draws only some of them"
                 : jobs.resume ? "--resume asks for each picture whether it is there"
                               : "--seeds draws each into a file of its own") +
                ": leave out one of the two");
  }
  if ((shared || jobs.resume) && jobs.seeds.empty() && !arguments.picture.seed) {
    throw Error(std::string(shared ? "--shard" : "--resume") +
                " needs --seed or --seeds: a seed drawn at random would be another one in every run");
  }
}

// The jobs that are this program's part, in their order.
std::vector<pictures::Job> own_jobs(GenerateArguments& arguments, uint64_t first_seed) {
  const pictures::Shard shard = pictures::to_shard(arguments.jobs.shard);
  std::vector<pictures::Job> jobs =
      pictures::all_jobs(arguments.prompts.size(), arguments.jobs.seeds, first_seed, arguments.picture.batch);
  if (!arguments.save_latents.empty() && jobs.size() > 1)
    throw Error("--save-latents takes the latents of one prompt; give one --prompt and one seed");
  arguments.pictures = arguments.picture.batch * static_cast<int64_t>(jobs.size());
  std::erase_if(jobs,
                [&](const pictures::Job& job) { return !shard.has(job.first / arguments.picture.batch); });
  return jobs;
}

void check_outputs(const GenerateArguments& arguments, const std::vector<pictures::Job>& jobs) {
  for (const pictures::Job& job : jobs) {
    for (int64_t i = 0; i < arguments.picture.batch; ++i)
      must_be_writable(picture_path(arguments, job.first + i));
  }
  if (!arguments.save_latents.empty()) must_be_writable(arguments.save_latents);
}

// One line for each step, as it is done, and below them a bar for those of all jobs together.
class Progress {
 public:
  Progress(bool quiet, size_t jobs)
      : quiet_(quiet), bar_("steps", quiet || !mpi::speaks()), jobs_(static_cast<int>(jobs)) {}
  void begin() { since_ = Clock::now(); }
  void skip_job() { --jobs_; }
  void step(const Step& step) {
    if (quiet_) return;
    bar_.clear();
    std::printf("step %2d of %d   t %6.1f   %.3f s\n", step.index + 1, step.count,
                static_cast<double>(step.t), seconds_since(since_));
    std::fflush(stdout);
    begin();
    bar_.show(drawn_ * step.count + step.index + 1, jobs_ * step.count);
  }
  void decoded() {
    bar_.clear();
    ++drawn_;
    if (!quiet_) std::printf("decoded   %27.3f s\n", seconds_since(since_));
  }

 private:
  bool quiet_;
  ProgressBar bar_;
  int jobs_, drawn_ = 0;
  Clock::time_point since_ = Clock::now();
};

// What is to be seen so far of the pictures from `first` on.
void write_preview(const GenerateArguments& arguments, int64_t first, const Tensor& pictures) {
  must_be_finite(pictures);
  for (int64_t i = 0; i < pictures.shape()[0]; ++i) {
    if (arguments.place_in_batch > 0 && i + 1 != arguments.place_in_batch) continue;
    write_png(preview_path(picture_path(arguments, first + i)), pictures.shape()[3], pictures.shape()[2], 3,
              to_rgb8(pictures, i));
    if (arguments.columns > 0) return;  // of a sheet, one picture at a time
  }
}

Tensor draw(const StableDiffusion& model, const GenerateOptions& options, const Execution& how,
            const GenerateArguments& arguments, const Watch& watch, const pictures::Preview& preview,
            int64_t first, const MemoryMeasures& measures, Progress& progress) {
  LatentLog log;
  const GenerateEvents events{
      .warning = warn,
      .start =
          [&](const Tensor& noise) {
            log.start = noise;
            progress.begin();
          },
      .step =
          [&](const Step& step) {
            log.after_step.push_back(step.latent);
            progress.step(step);
            if (preview.wants(step) && mpi::speaks()) write_preview(arguments, first, preview.picture(step));
          },
      .decode = [&] { progress.begin(); },
  };
  const GenerateResult result = model.generate(options, how, measures.with(events));
  if (!mpi::speaks()) return {};
  progress.decoded();
  watch.check_edits();
  must_be_finite(result.picture);
  if (!arguments.save_latents.empty()) {
    log.save(arguments.save_latents, {{"prompt", options.prompt}, {"seed", std::to_string(options.seed)}});
  }
  return result.picture;
}

void announce(const MemoryPlan& plan) {
  if (plan.forecast.bytes > 0) std::printf("%s\n", to_string(plan.forecast).c_str());
  if (const std::string done = plan.measures(); !done.empty())
    std::printf("to save memory: %s\n", done.c_str());
}

void announce(const GenerateArguments& arguments, const GenerateOptions& options) {
  std::printf("\"%s\" with %s, %s, %d steps, cfg %s, seed %llu\n", options.prompt.c_str(),
              arguments.picture.model.c_str(), arguments.picture.sampler.c_str(), options.steps,
              shown(options.guidance_scale).c_str(), static_cast<unsigned long long>(options.seed));
  std::fflush(stdout);
}

void say_written(const std::string& path, uint64_t seed, Clock::time_point begin) {
  std::printf("%s  seed %llu  %.2f s\n", path.c_str(), static_cast<unsigned long long>(seed),
              seconds_since(begin));
  std::fflush(stdout);
}

// What picture i of a job says of itself.
std::vector<PngText> texts_of_picture(const GenerateOptions& options, int64_t i, const CLI::App& command,
                                      pictures::Known known) {
  known["prompt"] = options.prompt;
  known["seed"] = std::to_string(seed_of_picture(options, i));
  if (options.batch > 1) {
    known["place in batch"] = std::to_string(i + 1);
    known["seed of batch"] = std::to_string(options.seed);
  }
  return pictures::to_texts(command, known);
}

// The pictures of one job that are wanted: calls visit(i, path, texts) for each.
template <class Visit>
void each_picture(const GenerateArguments& arguments, const pictures::Job& job,
                  const GenerateOptions& options, const CLI::App& command, const pictures::Known& known,
                  const Visit& visit) {
  for (int64_t i = 0; i < options.batch; ++i) {
    if (arguments.place_in_batch > 0 && i + 1 != arguments.place_in_batch) continue;
    visit(i, picture_path(arguments, job.first + i), texts_of_picture(options, i, command, known));
  }
}

void must_not_replace(const std::string& from, const std::string& out) {
  std::error_code ignored;
  if (fs::equivalent(from, out, ignored))
    throw Error("the new picture would take the place of " + from +
                ", which it is drawn from: name another by --out");
}

// What ranks must have in common to draw the same pictures: all that these will say of themselves.
std::string all_lines(const GenerateArguments& arguments, uint64_t first_seed, const CLI::App& command,
                      pictures::Known known) {
  known["seed"] = std::to_string(first_seed);
  std::string lines;
  for (const PngText& text : pictures::to_texts(command, known))
    lines += text.keyword + " " + text.text + "\n";
  for (const std::string& prompt : arguments.prompts) lines += "prompt " + prompt + "\n";
  return lines + "seeds " + arguments.jobs.seeds + "\n";
}

// Has an earlier run drawn all pictures of this job? Says so.
bool is_done(const GenerateArguments& arguments, const pictures::Job& job, const GenerateOptions& options,
             const CLI::App& command, const pictures::Known& known) {
  if (!arguments.jobs.resume) return false;
  bool done = true;
  each_picture(arguments, job, options, command, known,
               [&](int64_t, const std::string& path, const auto& texts) {
                 done = done && pictures::is_finished(path, options.width, options.height, texts);
               });
  if (mpi::of_first(done ? "done" : "") != "done") return false;
  each_picture(arguments, job, options, command, known, [&](int64_t i, const std::string& path, const auto&) {
    std::printf("%s  seed %llu  is there already\n", path.c_str(),
                static_cast<unsigned long long>(seed_of_picture(options, i)));
  });
  return true;
}

void generate(GenerateArguments& arguments, CLI::App& command) {
  const mpi::Split split = mpi::join(arguments.jobs.shard, arguments.split);
  if (!arguments.jobs.prompts_file.empty())
    pictures::add_prompts_of_file(arguments.jobs.prompts_file, command);
  std::optional<pictures::EarlierRun> earlier;
  if (!arguments.from.empty()) {
    must_not_replace(arguments.from, arguments.out);
    earlier.emplace(arguments.from, command);
    arguments.place_in_batch = earlier->place_in_batch();
  }
  check_jobs(arguments);
  apply(arguments.run);
  const auto begin = Clock::now();
  GenerateOptions options = to_generate_options(arguments.picture);
  Execution how;
  mpi::share(options, how, split);
  const uint64_t first_seed = options.seed;
  const std::vector<pictures::Job> jobs = own_jobs(arguments, first_seed);
  if (mpi::speaks()) check_outputs(arguments, jobs);
  const pictures::GivenImages images(arguments.images);
  StableDiffusion model = load_model(arguments.picture);
  check_backend(layer_paths(model));
  if (!arguments.quiet) std::printf("loaded    %27.3f s\n", seconds_since(begin));
  images.add_to(options, model, warn);
  options = model.checked(options, how);
  pictures::Known known = known_of(options, how, images, model);
  if (earlier) earlier->check(known, warn);
  mpi::must_agree(all_lines(arguments, first_seed, command, known));
  options.prompt = arguments.prompts.front();
  const MemoryPlan plan = memory_plan(model, options, how, arguments.memory);
  how.low_memory = plan.low_memory;
  mpi::must_agree_on(plan.low_memory, split);
  const int64_t tile = plan.low_memory.vae_tile;
  known["vae tiling"] = tile > 0 ? std::to_string(tile) : "";  // "" leaves no text
  if (!arguments.quiet) announce(plan);
  const MemoryMeasures measures(model, plan);
  const Watch watch(arguments.watched, model);
  const pictures::Preview preview(arguments.preview, model);

  Progress progress(arguments.quiet, jobs.size());
  std::vector<Tensor> batches;
  for (const pictures::Job& job : jobs) {
    options.prompt = arguments.prompts[job.prompt];
    options.seed = job.seed;
    if (is_done(arguments, job, options, command, known)) {
      progress.skip_job();
      continue;
    }
    if (!arguments.quiet) announce(arguments, options);
    const Tensor pictures =
        draw(model, options, how, arguments, watch, preview, job.first, measures, progress);
    if (!mpi::speaks()) continue;
    if (arguments.columns > 0) {
      batches.push_back(pictures);
      continue;
    }
    each_picture(arguments, job, options, command, known,
                 [&](int64_t i, const std::string& path, const std::vector<PngText>& texts) {
                   write_png(path, pictures.shape()[3], pictures.shape()[2], 3, to_rgb8(pictures, i), texts);
                   say_written(path, seed_of_picture(options, i), begin);
                 });
  }
  if (arguments.columns > 0 && mpi::speaks()) {
    known["seed"] = std::to_string(first_seed);
    pictures::write_sheet(arguments.out, batches, arguments.columns, pictures::to_texts(command, known));
    say_written(arguments.out, first_seed, begin);
  }
}

}  // namespace

void add_generate_command(CLI::App& program, int&) {
  auto arguments = std::make_shared<GenerateArguments>();
  CLI::App& command = *program.add_subcommand("generate", "Draw pictures from a prompt");
  command.option_defaults()->group("Which picture");
  command.add_option("--prompt", arguments->prompts, "What to draw; may be given several times")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false);  // else "[a cat]" would be a list of one, without its brackets
  command
      .add_option("--from", arguments->from,
                  "Draw this picture again from what its text chunks say; options given here count instead")
      ->type_name("FILE.png");
  add_picture_options(command, arguments->picture);
  pictures::add_job_options(command, arguments->jobs);
  mpi::add_split_option(command, arguments->split);
  pictures::add_image_options(command, arguments->images);
  pictures::add_preview_options(command, arguments->preview);
  command.option_defaults()->group("Where to");
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
      ->group("More pictures")
      ->check(CLI::Range(1, 100));
  command.add_flag("--quiet", arguments->quiet, "Print nothing but the picture's path, seed and time");
  add_memory_options(command, arguments->memory);
  add_watch_options(command, arguments->watched);
  add_run_options(command, arguments->run);
  command.callback([arguments, &command] { generate(*arguments, command); });
}

}  // namespace cutaway
