// The layers that --edit and --backend may name: those of the model at hand, told before it runs.
#pragma once

#include <string>
#include <vector>

#include "models/stable_diffusion.h"
#include "nn/module.h"
#include "tensor/observers/edits.h"

namespace cutaway {

/// The paths of a network's layers, in the order of the picture. `path` is the network's own.
template <class Network>
std::vector<std::string> layer_paths(Network& network, const std::string& path) {
  std::vector<std::string> paths;
  for_each_module(network, path, [&](const std::string& at, const Module&) { paths.push_back(at); });
  return paths;
}

/// Of all networks of a model, in their order.
template <class Model>
std::vector<std::string> layer_paths(Model& model) {
  std::vector<std::string> paths;
  model.each([&](const std::string& name, auto& network) {
    const std::vector<std::string> of_network = layer_paths(network, name);
    paths.insert(paths.end(), of_network.begin(), of_network.end());
  });
  return paths;
}

/// What the backend in use was chosen for must be there. Throws Error, which names the nearest path, when it
/// is chosen below a path with no layer at or below it.
void check_backend(const std::vector<std::string>& paths);

/// Throws Error, which names the nearest path, when an edit can reach no layer and no inner value.
void check_edits(const std::vector<observers::Edit>& edits, StableDiffusion& model);

}  // namespace cutaway
