// Box: what `cutaway describe` knows of one module, gathered from the module tree and a recorded run.
// Doc: docs/describe.md
#pragma once

#include <cxxabi.h>

#include <memory>
#include <optional>
#include <string>
#include <typeinfo>
#include <vector>

#include "nn/module.h"
#include "tensor/shape.h"

namespace cutaway::describe {

struct Box {
  std::string path;             // "unet.down_blocks.1"; "" for the whole of Stable Diffusion
  std::string name;             // the path below the box around it: "down_blocks.1"
  std::string type;             // the struct: "DownBlock"
  int64_t parameters = 0;       // its own and those of the boxes inside
  std::optional<Shape> output;  // nothing when the box did not run
  double flops = 0;             // of matrix products, its own and those inside
  double seconds = 0;           // 0 unless it was timed
  std::vector<Box> children;    // in picture order
};

/// "cutaway::ResBlock" as the compiler mangles it -> "ResBlock".
template <class Part>
std::string struct_name() {
  int failed = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(typeid(Part).name(), nullptr, nullptr, &failed), &std::free);
  const std::string name = failed == 0 ? text.get() : typeid(Part).name();
  return name.substr(name.rfind(':') + 1);
}

/// Boxes in preorder become a tree: a box stands in the last one before it
/// whose path is the beginning of its own.
Box nested(std::vector<Box> preorder);

/// The boxes of a layer whose paths are set.
template <class Layer>
Box box_tree(Layer& layer) {
  std::vector<Box> boxes;
  for_each_module(layer, layer.path, [&](const std::string& path, auto& part) {
    Box box;
    box.path = path;
    box.type = struct_name<std::remove_cvref_t<decltype(part)>>();
    box.parameters = parameter_count(part);
    boxes.push_back(std::move(box));
  });
  return nested(std::move(boxes));
}

/// Does `path` name something inside the box at `outer`? Everything is inside "".
bool is_inside(const std::string& path, const std::string& outer);

/// The box at `path`, or nullptr.
const Box* find_box(const Box& root, const std::string& path);
/// The same; throws Error that names the path nearest to it when there is no such box.
const Box& box_at(const Box& root, const std::string& path);

}  // namespace cutaway::describe
