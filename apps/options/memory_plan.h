// What is done so that a run fits into the memory it may take.   Doc: docs/memory.md
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "apps/options/memory_forecast.h"
#include "models/stable_diffusion.h"
#include "tensor/trace.h"

namespace cutaway {

struct MemoryOptions {
  std::string most;                 // --max-memory: "3GB"; "" for as much as it takes
  std::optional<int64_t> vae_tile;  // --vae-tiling, in pixels; 0: the size the model was trained at
};
void add_memory_options(CLI::App& command, MemoryOptions& options);

struct MemoryPlan {
  bool frugal = false;      // fresh memory is asked for only when none is kept
  bool let_go = false;      // the pages of a network's weights go when it has done its part
  bool in_passing = false;  // they go after every few layers
  LowMemory low_memory = {};
  Forecast forecast = {};

  /// "VAE in tiles of 256 pixels, ..."; "" without any.
  std::string measures() const;
};

/// The cheapest measures with which the run fits, whoever else draws; large models always let go. Without a
/// limit and in a debugger there is no forecast. Throws Error, which names the smallest amount of memory that
/// would do, when there are none.
MemoryPlan memory_plan(const StableDiffusion& model, const GenerateOptions& options, const Execution& how,
                       const MemoryOptions& memory);

/// Puts a plan into effect for as long as this lives.
class MemoryMeasures {
 public:
  MemoryMeasures(const StableDiffusion& model, const MemoryPlan& plan);
  ~MemoryMeasures();
  MemoryMeasures(const MemoryMeasures&) = delete;
  MemoryMeasures& operator=(const MemoryMeasures&) = delete;

  /// What else is to happen in the course of a run.
  GenerateEvents with(GenerateEvents events) const;
  /// Who lets the weights go while the run goes on; null when nobody does. Sees the run already.
  Observer* passing() const { return passing_.get(); }

 private:
  MemoryPlan plan_;
  std::unique_ptr<Observer> passing_;
  std::unique_ptr<Observe> observe_;
};

}  // namespace cutaway
