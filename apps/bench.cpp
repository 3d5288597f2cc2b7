// `cutaway bench`: how long a network takes at full size, with weights from the formula.   Doc:
// docs/performance.md
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "models/clip_text.h"
#include "models/unet.h"
#include "models/vae.h"
#include "nn/weight_sources.h"
#include "samplers/guidance.h"
#include "samplers/sampler.h"
#include "tensor/backend.h"
#include "tensor/error.h"
#include "tensor/fast/peak.h"
#include "tensor/memory.h"

namespace cutaway {
namespace {

struct BenchArguments {
  std::string network = "unet";
  int64_t size = 512;
  int64_t batch = 1;
  int repeat = 5;
  int steps = 20;
  std::string as = "table";
  RunOptions run;
};

struct Timing {
  std::vector<double> seconds;
  double flop = 0;

  double median() const {
    std::vector<double> sorted = seconds;
    std::sort(sorted.begin(), sorted.end());
    const size_t n = sorted.size();
    return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
  }
  double min() const { return *std::min_element(seconds.begin(), seconds.end()); }
  double max() const { return *std::max_element(seconds.begin(), seconds.end()); }
};

// The first call warms up: it touches fresh memory and the weights' pages.
Timing timed(int repeat, const std::function<void()>& call) {
  Timing timing;
  const double before = trace::flops();
  call();
  timing.flop = trace::flops() - before;
  for (int i = 0; i < repeat; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    call();
    timing.seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return timing;
}

Timing bench_unet(const BenchArguments& arguments) {
  UNet unet;
  load_weights(unet, "unet", FormulaSource());
  const int64_t latent = arguments.size / 8;
  const Tensor sample = formula_input("in/sample", {arguments.batch, 4, latent, latent});
  const Tensor prompt = formula_input("in/encoder_hidden_states", {arguments.batch, 77, 768});
  const std::vector<float> t(static_cast<size_t>(arguments.batch), 500);
  return timed(arguments.repeat, [&] { unet(sample, t, prompt); });
}

Timing bench_vae(const BenchArguments& arguments, bool encode) {
  AutoencoderKL vae;
  load_weights(vae, "vae", FormulaSource());
  const int64_t latent = arguments.size / 8;
  const Tensor picture = formula_input("in/image", {arguments.batch, 3, arguments.size, arguments.size});
  const Tensor z = formula_input("in/latent", {arguments.batch, 4, latent, latent});
  return timed(arguments.repeat, [&] { encode ? vae.encode(picture).mean : vae.decode(z); });
}

Timing bench_clip(const BenchArguments& arguments) {
  CLIPTextModel clip;
  load_weights(clip, "text_encoder", FormulaSource());
  TokenIds ids{arguments.batch, 77, {}};
  for (int64_t i = 0; i < arguments.batch * 77; ++i) ids.ids.push_back(i * 997 % 49408);
  return timed(arguments.repeat, [&] { clip(ids); });
}

// From prompt to picture: both texts, the steps with guidance (two predictions each), the decoder.
Timing bench_generate(const BenchArguments& arguments) {
  CLIPTextModel clip;
  UNet unet;
  AutoencoderKL vae;
  load_weights(clip, "text_encoder", FormulaSource());
  load_weights(unet, "unet", FormulaSource());
  load_weights(vae, "vae", FormulaSource());
  const int64_t latent = arguments.size / 8;
  const Tensor noise = formula_input("in/sample", {arguments.batch, 4, latent, latent});
  TokenIds ids{2 * arguments.batch, 77, {}};
  for (int64_t i = 0; i < ids.batch * 77; ++i) ids.ids.push_back(i * 997 % 49408);
  return timed(arguments.repeat, [&] {
    const Tensor both = clip(ids);
    const Model predict = [&](const Tensor& x, float t) {
      const Tensor y = unet(concat({x, x}, 0), std::vector<float>(static_cast<size_t>(ids.batch), t), both);
      return guided(slice(y, 0, 0, arguments.batch), slice(y, 0, arguments.batch, ids.batch), 7.5F);
    };
    const Noise none = [](const Shape& shape) { return Tensor::filled(shape, 0); };
    const Tensor x = sample(SamplerKind::ddim, {}, {.steps = arguments.steps}, predict, noise, none);
    vae.decode(scale(x, 1 / vae.config.scaling_factor));
  });
}

Timing bench_network(const BenchArguments& arguments) {
  if (arguments.network == "generate") return bench_generate(arguments);
  if (arguments.network == "unet") return bench_unet(arguments);
  if (arguments.network == "vae-decode") return bench_vae(arguments, false);
  if (arguments.network == "vae-encode") return bench_vae(arguments, true);
  return bench_clip(arguments);
}

int64_t peak_bytes_of_process() {
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  return static_cast<int64_t>(use.ru_maxrss) * 1024;
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
                                {"backend", chosen_backend()},
                                {"median_s", timing.median()},
                                {"min_s", timing.min()},
                                {"max_s", timing.max()},
                                {"gflop", timing.flop / 1e9},
                                {"gflops", gflops},
                                {"peak_gflops", peak_gflops},
                                {"peak_bytes", peak_bytes_of_process()},
                                {"peak_tensor_bytes", memory_use().peak_bytes}};
    std::printf("%s\n", report.dump(2).c_str());
    return;
  }
  std::printf("%s at %lld, batch %lld, %d threads, %s, %s\n", arguments.network.c_str(),
              static_cast<long long>(arguments.size), static_cast<long long>(arguments.batch),
              current_threads(), to_string(current_isa()), chosen_backend().c_str());
  std::printf("median %.3f s   min %.3f   max %.3f   over %d runs\n", timing.median(), timing.min(),
              timing.max(), arguments.repeat);
  std::printf("%.0f GFLOP, %.0f GFLOP/s, %.0f %% of the %.0f that this machine has at most\n",
              timing.flop / 1e9, gflops, 100 * gflops / peak_gflops, peak_gflops);
  std::printf("peak memory %.2f GB, tensors %.2f GB at once\n",
              static_cast<double>(peak_bytes_of_process()) / 1e9,
              static_cast<double>(memory_use().peak_bytes) / 1e9);
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
  command.add_option("--as", arguments->as, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  add_run_options(command, arguments->run);
  command.callback([arguments] { bench(*arguments); });
}

}  // namespace cutaway
