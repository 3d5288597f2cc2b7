// Times every operation of tensor/ops.h at every shape that Stable Diffusion 1.5 uses.
// Doc: docs/performance.md#one-operation-at-a-time
//
// No shape is written down here. A dry run runs the networks without computing and keeps their calls, so
// whatever a network asks of an operation is what is timed.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "models/checkpoints/networks.h"
#include "nn/load.h"
#include "tensor/backend.h"
#include "tensor/dispatch/dry_run.h"
#include "tensor/dispatch/replay.h"
#include "tensor/error.h"

using namespace cutaway;

namespace {

// Weights that nobody reads.
class ShapesOnly : public WeightSource {
 public:
  explicit ShapesOnly(DType dtype) : dtype_(dtype) {}
  std::string description() const override { return "weights without numbers"; }
  std::vector<std::string> names() const override { return {}; }
  std::optional<Weight> find(const std::string&, const Shape& needed) const override {
    static const char nothing = 0;
    Weight weight(needed);
    weight.dtype = dtype_;
    weight.data = &nothing;
    return weight;
  }

 private:
  DType dtype_;
};

struct Options {
  int64_t size = 512, batch = 1;
  DType dtype = DType::f32;
  bool fresh_memory = false, only_one = false;
  Backend backend = Backend::fast;  // if only_one
};

std::vector<Call> calls_of_networks(const Options& options) {
  const ShapesOnly weights(options.dtype);
  UNet unet;
  AutoencoderKL vae;
  CLIPTextModel clip;
  load_weights(unet, "unet", weights);
  load_weights(vae, "vae", weights);
  load_weights(clip, "text_encoder", weights);

  const int64_t n = options.batch, latent = options.size / 8;
  DryRun dry_run;
  RecordCalls record;
  clip(TokenIds{n, 77, std::vector<int64_t>(static_cast<size_t>(n * 77), 1)});
  unet(Tensor({n, 4, latent, latent}), std::vector<float>(static_cast<size_t>(n), 500), Tensor({n, 77, 768}));
  vae.decode(Tensor({n, 4, latent, latent}));
  vae.encode(Tensor({n, 3, options.size, options.size}));
  return std::move(record.calls);
}

std::string joined(const Shape& shape) {
  std::string text;
  for (int axis = 0; axis < shape.rank(); ++axis)
    text += (axis == 0 ? "" : "x") + std::to_string(shape[axis]);
  return text;
}

// "conv2d/3x3/320-640@64x64", "linear/320-2560@4096", "attention/8x40/4096-77", "silu/1x320x64x64"
std::string name_of(const Call& call) {
  const std::string operation = call.operation;
  const Shape& x = call.inputs.at(0);
  const auto text = [](int64_t number) { return std::to_string(number); };
  std::string name = operation + "/";
  if (operation == "conv2d") {
    const Shape& weight = call.inputs.at(1);
    name += text(weight[2]) + "x" + text(weight[3]) + "/" + text(x[1]) + "-" + text(weight[0]) + "@" +
            (x[0] == 1 ? "" : text(x[0]) + "x") + text(x[2]) + "x" + text(x[3]);
  } else if (operation == "linear") {
    name += text(x[-1]) + "-" + text(call.inputs.at(1)[0]) + "@" + text(x.count() / x[-1]);
  } else if (operation == "attention") {
    name += (x[0] == 1 ? "" : text(x[0]) + "x") + text(x[1]) + "x" + text(x[3]) + "/" + text(x[2]) + "-" +
            text(call.inputs.at(1)[2]);
  } else if (operation == "concat") {
    name += joined(x) + "+" + joined(call.inputs.at(1));
  } else {
    return name + joined(x);
  }
  std::string options = call.options;
  std::erase(options, ' ');
  return options.empty() || operation == "concat" ? name : name + "/" + options;
}

// Two for each multiplication and addition of a matrix product; 0 for all that is none.
double flop_of(const Call& call) {
  const std::string operation = call.operation;
  const auto result = static_cast<double>(call.result.count());
  if (operation == "conv2d" || operation == "linear") {
    const Shape& weight = call.inputs.at(1);
    return 2 * result * static_cast<double>(weight.count() / weight[0]);
  }
  if (operation == "attention") return 4 * result * static_cast<double>(call.inputs.at(1)[2]);
  return 0;
}

// What must be read and written at least, with weights in float32.
double bytes_of(const Call& call) {
  if (call.operation == std::string("embedding")) return 8 * static_cast<double>(call.result.count());
  int64_t numbers = call.result.count();
  for (const Shape& input : call.inputs) numbers += input.count();
  return 4 * static_cast<double>(numbers);
}

// The plain loops need about a second for a GFLOP, or for 100 MB of activations.
bool ref_takes_less_than_a_second(const Call& call) { return flop_of(call) < 5e8 && bytes_of(call) < 5e7; }

// A benchmark for each version of a call, with how often the networks make it, and where first.
struct Timed {
  Call call;
  int64_t times = 0;
};

void time_call(benchmark::State& state, const Timed& timed, Backend backend, bool fresh_memory) {
  const std::string before = chosen_backend();
  choose_backend(to_string(backend));
  {
    const std::function<Tensor()> run = timed.call.prepare();
    benchmark::DoNotOptimize(run().data());  // touches fresh memory
    for (auto _ : state) {
      benchmark::DoNotOptimize(run().data());
      if (fresh_memory) release_kept_memory();
    }
  }
  choose_backend(before);
  release_kept_memory();  // one shape leaves nothing for the next
  // Printed as "GFLOP=474/s".
  const auto rate = [](double per_call) {
    return benchmark::Counter(per_call / 1e9, benchmark::Counter::kIsIterationInvariantRate);
  };
  state.counters["GFLOP"] = rate(flop_of(timed.call));  // 0 where there is none: CSV wants the same for all
  state.counters["GB"] = rate(bytes_of(timed.call));
  state.SetLabel(std::to_string(timed.times) + " x, first " + timed.call.layer);
}

void register_benchmarks(const Options& options, std::map<std::string, Timed>& timed) {
  std::vector<std::string> order;
  for (Call& call : calls_of_networks(options)) {
    const std::string name = name_of(call);
    Timed& here = timed[name];
    if (here.times++ == 0) {
      here.call = std::move(call);
      order.push_back(name);
    }
  }
  const auto add = [&](const std::string& name, const Timed& one, Backend backend) {
    benchmark::RegisterBenchmark(name.c_str(), time_call, one, backend, options.fresh_memory)
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();  // processor time would leave the other threads out
  };
  for (const std::string& name : order) {
    const Timed& one = timed[name];
    if (options.only_one) {
      add(name, one, options.backend);
    } else {
      add(name, one, Backend::fast);
      if (ref_takes_less_than_a_second(one.call)) add(name + "/ref", one, Backend::ref);
    }
  }
}

int64_t number(const std::string& what, const std::string& text) {
  char* end = nullptr;
  const int64_t value = std::strtoll(text.c_str(), &end, 10);
  if (text.empty() || *end != 0 || value < 1) {
    throw Error(what + " is '" + text + "', but must be a whole number, at least 1");
  }
  return value;
}

void choose(const std::string& option, const std::string& value, Options& options) {
  if (option == "backend") {
    options.only_one = true;
    options.backend = value == "ref" ? Backend::ref : value == "eigen" ? Backend::eigen : Backend::fast;
    if (value != to_string(options.backend)) {
      throw Error("backend is '" + value + "'; known are fast, ref and eigen");
    }
  } else if (option == "isa") {
    choose_isa(value);
  } else if (option == "conv") {
    choose_convolution(value);
  } else if (option == "threads") {
    choose_threads(static_cast<int>(std::min<int64_t>(number(option, value), 1 << 20)));
  } else if (option == "dtype") {
    options.dtype = value == "f16" ? DType::f16 : value == "bf16" ? DType::bf16 : DType::f32;
    if (value != to_string(options.dtype)) {
      throw Error("dtype is '" + value + "'; known are f32, f16 and bf16");
    }
  } else if (option == "memory") {
    options.fresh_memory = value == "fresh";
    if (value != "fresh" && value != "kept")
      throw Error("memory is '" + value + "'; known are kept and fresh");
  } else if (option == "size") {
    options.size = number(option, value);
    if (options.size % 64 != 0) throw Error("size is " + value + ", but must be a multiple of 64");
  } else if (option == "batch") {
    options.batch = number(option, value);
  } else {
    throw Error("there is no option --" + option + "; --help lists all");
  }
}

constexpr const char* help =
    R"(bench_ops: every operation at every shape of Stable Diffusion 1.5

  --backend=fast|ref|eigen    this one at all shapes; without it, fast at all and ref where it is quick
  --isa=generic|avx2|avx512   instruction set of the fast kernels       (or CUTAWAY_ISA)
  --conv=fastest|direct       how 3 x 3 convolutions are computed       (or CUTAWAY_CONV)
  --threads=N                                                           (or CUTAWAY_THREADS)
  --dtype=f32|f16|bf16        of the weights
  --memory=kept|fresh         fresh: every call gets its memory from the operating system
  --size=512 --batch=1        of the picture: it decides the shapes

and those of Google Benchmark, such as --benchmark_filter=conv2d/3x3 and --benchmark_list_tests:

)";

void choose_all(int argc, char** argv, Options& options) {
  for (const char* option : {"backend", "isa", "conv", "threads"}) {
    std::string variable = std::string("CUTAWAY_") + option;
    for (char& letter : variable) letter = static_cast<char>(std::toupper(letter));
    if (const char* const value = std::getenv(variable.c_str()); value != nullptr) {
      choose(option, value, options);
    }
  }
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const size_t equals = argument.find('=');
    if (!argument.starts_with("--") || equals == std::string::npos) {
      throw Error("'" + argument + "' is no option: those are --name=value; --help lists all");
    }
    choose(argument.substr(2, equals - 2), argument.substr(equals + 1), options);
  }
}

// As the program does: threads that wait spin for a moment only (docs/performance.md).
void spin_briefly(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  setenv("GOMP_SPINCOUNT", "1000", 0);
  execv("/proc/self/exe", argv);  // comes back only when it fails
}

}  // namespace

int main(int argc, char** argv) try {
  spin_briefly(argv);
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) == "--help") std::fputs(help, stderr);
  }
  Options options;
  std::map<std::string, Timed> timed;
  benchmark::Initialize(&argc, argv);  // takes its own options out
  choose_all(argc, argv, options);
  register_benchmarks(options, timed);
  benchmark::AddCustomContext("instruction set", to_string(current_isa()));
  benchmark::AddCustomContext("threads", std::to_string(current_threads()));
  benchmark::AddCustomContext("weights", to_string(options.dtype));
  benchmark::RunSpecifiedBenchmarks();
  return 0;
} catch (const Error& error) {
  std::fprintf(stderr, "bench_ops: %s\n", error.what());
  return 1;
}
