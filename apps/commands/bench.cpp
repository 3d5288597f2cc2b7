// `cutaway bench`: how long a network takes at full size, with weights from the formula.
// Doc: docs/performance.md
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/commands/commands.h"
#include "apps/options/layer_paths.h"
#include "apps/options/memory_forecast.h"
#include "apps/options/progress.h"
#include "apps/options/run_options.h"
#include "models/checkpoints/networks.h"
#include "models/pipeline/denoiser.h"
#include "nn/formula_weights.h"
#include "samplers/sampler.h"
#include "tensor/backend.h"
#include "tensor/dispatch/dry_run.h"
#include "tensor/error.h"
#include "tensor/fast/peak_flops.h"
#include "tensor/memory.h"
#include "tensor/trace.h"

namespace cutaway {
namespace {

struct BenchArguments {
  std::string network = "unet";
  int64_t size = 512;
  int64_t batch = 1;
  int repeat = 5;
  int steps = 20;
  std::string model;  // weights of generate; "" for the formula's
  std::string as = "table";
  RunOptions run;
};

struct Timing {
  std::vector<double> seconds;
  int64_t page_faults = 0;  // in all timed calls; memory that is used again has none
  double cpu_seconds = 0;   // of all threads, the mean of a call: what other programs do changes it little
  double flop = 0;
  int64_t announced_bytes = 0;  // the peak, as a dry run before the first call tells it
  double first_layer = 0;       // seconds from the beginning of the first call until a layer is done

  double median() const {
    std::vector<double> sorted = seconds;
    std::sort(sorted.begin(), sorted.end());
    const size_t n = sorted.size();
    return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
  }
  double min() const { return *std::min_element(seconds.begin(), seconds.end()); }
  double max() const { return *std::max_element(seconds.begin(), seconds.end()); }
};

int64_t page_faults() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt + usage.ru_majflt;
}

// Notes when a layer is done for the first time.
struct FirstLayer : Observer {
  std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
  double seconds = 0;
  void value(const std::string&, Tensor&) override {
    if (seconds == 0) seconds = seconds_since(begin);
  }
};

// The first call warms up: it touches fresh memory and the weights' pages.
Timing timed(int repeat, const std::function<void()>& call) {
  Timing timing;
  DryRun dry_run;
  call();
  call();
  timing.announced_bytes = dry_run.finish().peak_bytes + resident_bytes();
  const double before = trace::flops();
  ProgressBar bar("calls");
  FirstLayer first;
  {
    const Observe observe(first);
    call();
  }
  timing.first_layer = first.seconds;
  timing.flop = trace::flops() - before;
  timing.seconds.reserve(static_cast<size_t>(repeat));
  const int64_t faults_before = page_faults();
  const std::clock_t cpu_begin = std::clock();
  for (int i = 0; i < repeat; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    call();
    timing.seconds.push_back(seconds_since(begin));
    bar.show(i + 2, repeat + 1);
  }
  timing.cpu_seconds = static_cast<double>(std::clock() - cpu_begin) / CLOCKS_PER_SEC / repeat;
  timing.page_faults = page_faults() - faults_before;
  return timing;
}

Timing bench_unet(const BenchArguments& arguments) {
  UNet unet;
  check_backend(layer_paths(unet, "unet"));
  load_weights(unet, "unet", FormulaSource());
  const int64_t latent = arguments.size / 8;
  const Tensor sample = formula_input("in/sample", {arguments.batch, 4, latent, latent});
  const Tensor prompt = formula_input("in/encoder_hidden_states", {arguments.batch, 77, 768});
  const std::vector<float> t(static_cast<size_t>(arguments.batch), 500);
  return timed(arguments.repeat, [&] { unet(sample, t, prompt); });
}

Timing bench_vae(const BenchArguments& arguments, bool encode) {
  AutoencoderKL vae;
  check_backend(layer_paths(vae, "vae"));
  load_weights(vae, "vae", FormulaSource());
  const int64_t latent = arguments.size / 8;
  const Tensor picture = formula_input("in/image", {arguments.batch, 3, arguments.size, arguments.size});
  const Tensor z = formula_input("in/latent", {arguments.batch, 4, latent, latent});
  return timed(arguments.repeat, [&] { encode ? vae.encode(picture).mean : vae.decode(z); });
}

Timing bench_clip(const BenchArguments& arguments) {
  CLIPTextModel clip;
  check_backend(layer_paths(clip, "text_encoder"));
  load_weights(clip, "text_encoder", FormulaSource());
  TokenIds ids{arguments.batch, 77, {}};
  for (int64_t i = 0; i < arguments.batch * 77; ++i) ids.ids.push_back(i * 997 % 49408);
  return timed(arguments.repeat, [&] { clip(ids); });
}

// From prompt to picture: both texts, the steps with guidance (two predictions each), the decoder.
Timing bench_generate(const BenchArguments& arguments) {
  const auto begin = std::chrono::steady_clock::now();
  Networks networks = arguments.model.empty() ? formula_networks() : load_networks(arguments.model);
  check_backend(layer_paths(networks));
  const double loading = seconds_since(begin);
  const CLIPTextModel& clip = networks.text_encoder;
  const UNet& unet = networks.unet;
  const AutoencoderKL& vae = networks.vae;
  const int64_t latent = arguments.size / 8;
  const Tensor noise = formula_input("in/sample", {arguments.batch, 4, latent, latent});
  TokenIds ids{2 * arguments.batch, 77, {}};
  for (int64_t i = 0; i < ids.batch * 77; ++i) ids.ids.push_back(i * 997 % 49408);
  Timing timing = timed(arguments.repeat, [&] {
    const Tensor both = clip(ids);
    const Denoiser denoiser{.unet = unet,
                            .prompt = slice(both, 0, arguments.batch, ids.batch),
                            .negative = slice(both, 0, 0, arguments.batch)};
    const Sampler& ddim = sampler_named("ddim");
    const Tensor x = sample(ddim, {.plan = plan(ddim, {}, arguments.steps), .model = denoiser}, noise);
    vae.decode(scale(x, 1 / vae.config.scaling_factor));
  });
  timing.first_layer += loading;
  return timing;
}

Timing bench_network(const BenchArguments& arguments) {
  if (arguments.network == "generate") return bench_generate(arguments);
  if (arguments.network == "unet") return bench_unet(arguments);
  if (arguments.network == "vae-decode") return bench_vae(arguments, false);
  if (arguments.network == "vae-encode") return bench_vae(arguments, true);
  return bench_clip(arguments);
}

void bench(const BenchArguments& arguments) {
  apply(arguments.run);
  if (arguments.size % 64 != 0) {
    throw Error("the size is " + std::to_string(arguments.size) + " pixels, but must be a multiple of 64");
  }
  const Timing timing = bench_network(arguments);
  const double gflops = timing.flop / timing.median() / 1e9;
  const double peak_gflops = fast::measured_peak_flops() / 1e9;
  if (arguments.as == "json") {
    const nlohmann::json report{{"network", arguments.network},
                                {"size", arguments.size},
                                {"batch", arguments.batch},
                                {"repeat", arguments.repeat},
                                {"threads", current_threads()},
                                {"isa", to_string(current_isa())},
                                {"dtype", to_string(current_precision())},
                                {"backend", chosen_backend()},
                                {"median_s", timing.median()},
                                {"min_s", timing.min()},
                                {"max_s", timing.max()},
                                {"cpu_s", timing.cpu_seconds},
                                {"page_faults", timing.page_faults},
                                {"gflop", timing.flop / 1e9},
                                {"gflops", gflops},
                                {"peak_gflops", peak_gflops},
                                {"first_layer_s", timing.first_layer},
                                {"announced_bytes", timing.announced_bytes},
                                {"peak_bytes", peak_resident_bytes()},
                                {"peak_tensor_bytes", memory_use().peak_bytes}};
    std::printf("%s\n", report.dump(2).c_str());
    return;
  }
  std::printf("%s at %lld, batch %lld, %d threads, %s, %s, %s\n", arguments.network.c_str(),
              static_cast<long long>(arguments.size), static_cast<long long>(arguments.batch),
              current_threads(), to_string(current_isa()), to_string(current_precision()),
              chosen_backend().c_str());
  std::printf("median %.3f s   min %.3f   max %.3f   over %d runs\n", timing.median(), timing.min(),
              timing.max(), arguments.repeat);
  std::printf("%.0f GFLOP, %.0f GFLOP/s, %.0f %% of the %.0f that this machine has at most\n",
              timing.flop / 1e9, gflops, 100 * gflops / peak_gflops, peak_gflops);
  std::printf(
      "peak memory %s (announced %s), tensors %s at once; %lld page faults; first layer after %.3f s\n",
      bytes_text(peak_resident_bytes()).c_str(), bytes_text(timing.announced_bytes).c_str(),
      bytes_text(memory_use().peak_bytes).c_str(), static_cast<long long>(timing.page_faults),
      timing.first_layer);
}

}  // namespace

void add_bench_command(CLI::App& program, int&) {
  auto arguments = std::make_shared<BenchArguments>();
  CLI::App& command = *program.add_subcommand("bench", "Time a network of Stable Diffusion 1.5 at full size");
  command
      .add_option("network", arguments->network,
                  "unet, vae-decode, vae-encode, clip or generate: from prompt to picture")
      ->check(CLI::IsMember({"unet", "vae-decode", "vae-encode", "clip", "generate"}))
      ->capture_default_str();
  command.add_option("--size", arguments->size, "Width and height of the picture in pixels")
      ->check(CLI::Range(64, 2048))
      ->capture_default_str();
  command.add_option("--batch", arguments->batch, "Pictures at once")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  command.add_option("--repeat", arguments->repeat, "Timed calls after one to warm up")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command.add_option("--steps", arguments->steps, "Steps of generate")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command
      .add_option("--model", arguments->model,
                  "generate: the weights of this folder or file, in place of the formula's")
      ->type_name("PATH");
  command.add_option("--as", arguments->as, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  add_run_options(command, arguments->run);
  command.callback([arguments] { bench(*arguments); });
}

}  // namespace cutaway
