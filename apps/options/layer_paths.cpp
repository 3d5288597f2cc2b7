#include "apps/options/layer_paths.h"

#include <algorithm>

#include "tensor/backend.h"
#include "tensor/error.h"
#include "tensor/files/text.h"
#include "tensor/observers/call_names.h"

namespace cutaway {
namespace {

// "; did you mean unet.mid_block?", or where to look.
std::string nearest_path(const std::string& path, const std::vector<std::string>& paths) {
  const std::string nearest = did_you_mean(path, paths);
  return nearest.empty() ? "; `cutaway trace` lists the layers' paths" : nearest;
}

// Values inside a layer that have names of their own and can be replaced. An attention's table (probs) can
// only be looked at.
std::vector<std::string> inner_values(const UNet& unet) {
  std::vector<std::string> values{"unet.time_proj"};
  size_t skips = 1;  // conv_in's
  for (const auto& down : unet.down_blocks) skips += down.resnets.size() + (down.downsampler ? 1 : 0);
  for (size_t i = 0; i < skips; ++i) values.push_back("unet.skips." + std::to_string(i));
  return values;
}

}  // namespace

void check_backend(const std::vector<std::string>& paths) {
  for (const std::string& path : backend_paths()) {
    const bool known = std::any_of(paths.begin(), paths.end(), [&](const std::string& layer) {
      return layer == path || layer.starts_with(path + ".");
    });
    if (!known)
      throw Error("--backend " + in_quotes(chosen_backend()) + ": there is no layer " + in_quotes(path) +
                  nearest_path(path, paths));
  }
}

void check_edits(const std::vector<observers::Edit>& edits, StableDiffusion& model) {
  if (edits.empty()) return;
  std::vector<std::string> paths = layer_paths(model);
  for (const std::string& value : inner_values(model.unet)) paths.push_back(value);
  for (const observers::Edit& edit : edits) {
    const bool known = std::any_of(paths.begin(), paths.end(), [&](const std::string& path) {
      return observers::path_fits(edit.pattern, path);
    });
    if (!known)
      throw Error("--edit " + in_quotes(edit.text) + ": there is no layer " + in_quotes(edit.pattern) +
                  nearest_path(edit.pattern, paths));
  }
}

}  // namespace cutaway
