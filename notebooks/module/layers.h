// Every layer of a model, to be called by its path.   Doc: docs/python.md#layers
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "models/stable_diffusion.h"
#include "notebooks/module/arrays.h"

namespace cutaway::python {

struct Layer {
  std::string path;
  std::string kind;    // the name of its struct: "ResBlock"
  std::string inputs;  // "x, temb"
  py::dict settings;   // what weights do not tell: eps, groups, heads, stride, padding
  std::function<py::object(const Layer& self, const py::args&)> call;
};

/// A loaded model with its layers and weights by path.
struct Model {
  StableDiffusion parts;
  std::vector<Layer> layers;  // in picture order
  std::vector<std::pair<std::string, const Weight*>> weights;

  explicit Model(const std::string& folder);
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  /// Throws Error when there is no such layer, and names the nearest.
  const Layer& layer(const std::string& path) const;

 private:
  std::unordered_map<std::string, size_t> by_path_;
};

}  // namespace cutaway::python
