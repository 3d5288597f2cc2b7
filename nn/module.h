// nn/: a box of the picture with its weights.
//
// Module: a box of the picture. Its members are the boxes inside, in picture order.   Doc: docs/modules.md
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "tensor/weight.h"

namespace cutaway {

/// Every layer is a struct with
///   - its parts as members,
///   - a function template `each(visit)` that names them: the one list that loading, counting and drawing
///   read,
///   - an operator() that computes, and changes nothing in the layer.
/// There are no virtual functions and no registry: a layer is what its struct says.
struct Module {
  std::string path;  // "unet.down_blocks.1.resnets.0", set by set_paths; names the layer in errors and traces
};

/// "unet" and "conv_in" make "unet.conv_in"; "" is no path.
inline std::string join_path(const std::string& path, const std::string& name) {
  return path.empty() ? name : path + "." + name;
}

namespace detail {

template <class Part, class Visit>
void walk(Part& part, const std::string& path, Visit&& visit);

template <class Part, class Visit>
void walk(std::optional<Part>& part, const std::string& path, Visit&& visit) {
  if (part) walk(*part, path, visit);
}

template <class Part, class Visit>
void walk(std::vector<Part>& parts, const std::string& path, Visit&& visit) {
  for (size_t i = 0; i < parts.size(); ++i) walk(parts[i], join_path(path, std::to_string(i)), visit);
}

template <class Part, class Visit>
void walk(Part& part, const std::string& path, Visit&& visit) {
  visit(path, part);
  if constexpr (!std::is_same_v<Part, Weight>) {
    part.each([&](const std::string& name, auto& inner) { walk(inner, join_path(path, name), visit); });
  }
}

}  // namespace detail

/// Calls visit(path, weight) for every weight of a layer and the layers inside it, in picture order.
template <class Layer, class Visit>
void for_each_weight(Layer& layer, const std::string& path, Visit&& visit) {
  detail::walk(layer, path, [&](const std::string& at, auto& part) {
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(part)>, Weight>) visit(at, part);
  });
}

/// Calls visit(path, layer) for a layer and the layers inside it, in picture order.
template <class Layer, class Visit>
void for_each_module(Layer& layer, const std::string& path, Visit&& visit) {
  detail::walk(layer, path, [&](const std::string& at, auto& part) {
    if constexpr (!std::is_same_v<std::remove_cvref_t<decltype(part)>, Weight>) visit(at, part);
  });
}

/// Gives every layer inside its path below `path`.
template <class Layer>
void set_paths(Layer& layer, const std::string& path) {
  for_each_module(layer, path, [](const std::string& at, Module& module) { module.path = at; });
}

/// How many numbers a layer learns. Needs no loaded weights: shapes suffice.
template <class Layer>
int64_t parameter_count(Layer& layer) {
  int64_t count = 0;
  for_each_weight(layer, "",
                  [&](const std::string&, const Weight& weight) { count += weight.shape.count(); });
  return count;
}

}  // namespace cutaway
