#include "apps/options/watch_options.h"

#include "apps/options/layer_paths.h"

namespace cutaway {
namespace {

std::vector<observers::Edit> parsed(const std::vector<std::string>& texts, StableDiffusion& model) {
  std::vector<observers::Edit> edits;
  for (const std::string& text : texts) edits.push_back(observers::parse_edit(text));
  check_edits(edits, model);
  return edits;
}

}  // namespace

void add_watch_options(CLI::App& command, WatchOptions& options) {
  command.option_defaults()->group("Looking inside");
  command
      .add_option(
          "--edit", options.edits,
          "Replace what layers give: PATH=zero, =identity, =scale:0.5 or =FILE.safetensors[:tensor]; PATH "
          "may have stars, @3 or @0-9 behind it means these steps only; may be given several times")
      ->type_name("PATH=WHAT")
      ->expected(1)
      ->take_all();
  command.add_flag("--check-finite", options.check_finite,
                   "Stop at the first NaN or infinity and say in which layer it is");
}

Watch::Watch(const WatchOptions& options, StableDiffusion& model) : editor_(parsed(options.edits, model)) {
  if (!options.edits.empty()) observe_editor_.emplace(editor_);
  if (options.check_finite) observe_finite_.emplace(finite_);
}

void Watch::check_edits() const { editor_.must_have_reached_all(); }

}  // namespace cutaway
