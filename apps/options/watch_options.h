// The options of commands that open a run while it runs: --edit, --check-finite.   Doc: docs/what-if.md
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/stable_diffusion.h"
#include "tensor/observers/edits.h"
#include "tensor/observers/finite_check.h"

namespace cutaway {

struct WatchOptions {
  std::vector<std::string> edits;
  bool check_finite = false;
};
void add_watch_options(CLI::App& command, WatchOptions& options);

/// Observes the runs in its lifetime as the options say. Reads the edits first, so that a mistake in one is
/// told before any work; so is a path that the model does not have. Edits come first: other observers see
/// what they leave.
class Watch {
 public:
  Watch(const WatchOptions& options, StableDiffusion& model);
  /// Throws Error when an edit has reached no layer.
  void check_edits() const;

 private:
  observers::Editor editor_;
  observers::FiniteCheck finite_;
  std::optional<Observe> observe_editor_, observe_finite_;
};

}  // namespace cutaway
