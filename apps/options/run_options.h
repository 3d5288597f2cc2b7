// The options of commands that run a network: which operations, in which numbers, by how many threads.
// Doc: docs/commands.md#how-it-is-computed
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace cutaway {

/// --backend, --isa, --conv, --dtype and --threads, for every command that runs a network.
struct RunOptions {
  std::string backend;
  std::string isa;
  std::string convolution;
  std::string precision;
  int threads = 0;
};
void add_run_options(CLI::App& command, RunOptions& options);
/// Puts them into effect; what is not given comes from CUTAWAY_BACKEND, CUTAWAY_ISA, CUTAWAY_CONV,
/// CUTAWAY_DTYPE and CUTAWAY_THREADS, or stays at the best this machine has.
void apply(const RunOptions& options);

}  // namespace cutaway
