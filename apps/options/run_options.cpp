#include <charconv>
#include <cstdlib>

#include "apps/options/run_options.h"
#include "tensor/backend.h"
#include "tensor/error.h"

namespace cutaway {
namespace {

std::string from_environment(const char* variable) {
  const char* value = std::getenv(variable);
  return value == nullptr ? "" : value;
}

}  // namespace

void add_run_options(CLI::App& command, RunOptions& options) {
  command.option_defaults()->group("How it is computed");
  command
      .add_option(
          "--backend", options.backend,
          "Which version of the operations runs: fast, ref (plain loops), eigen (a referee) or shadow (fast, "
          "compared with ref at every operation); "
          "other ones below a layer: fast,unet.mid_block=ref")
      ->type_name("NAME");
  command.add_option("--isa", options.isa, "Instruction set of the fast kernels: generic, avx2 or avx512")
      ->type_name("NAME");
  command
      .add_option("--conv", options.convolution,
                  "How 3 x 3 convolutions are computed: fastest (Winograd's, where it pays) or direct (five "
                  "times more exact)")
      ->type_name("NAME");
  command
      .add_option(
          "--dtype", options.precision,
          "In which numbers matrices are multiplied: f32, or bf16 (faster where the processor has such a "
          "product; right to two or three digits)")
      ->type_name("NAME");
  command.add_option("--threads", options.threads, "How many threads to use; results do not depend on it")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
}

void apply(const RunOptions& options) {
  const std::string backend = options.backend.empty() ? from_environment("CUTAWAY_BACKEND") : options.backend;
  const std::string isa = options.isa.empty() ? from_environment("CUTAWAY_ISA") : options.isa;
  if (!backend.empty()) choose_backend(backend);
  if (!isa.empty()) choose_isa(isa);
  const std::string convolution =
      options.convolution.empty() ? from_environment("CUTAWAY_CONV") : options.convolution;
  if (!convolution.empty()) choose_convolution(convolution);
  const std::string precision =
      options.precision.empty() ? from_environment("CUTAWAY_DTYPE") : options.precision;
  if (!precision.empty()) choose_precision(precision);

  int threads = options.threads;
  if (const std::string text = from_environment("CUTAWAY_THREADS"); threads == 0 && !text.empty()) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), threads);
    if (error != std::errc() || end != text.data() + text.size()) {
      throw Error("CUTAWAY_THREADS is '" + text + "', but must be a whole number");
    }
    choose_threads(threads);
  } else if (threads > 0) {
    choose_threads(threads);
  }
}

}  // namespace cutaway
