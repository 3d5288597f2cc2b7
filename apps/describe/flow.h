// Flow: the arrows inside a box. They are not written down anywhere: an arrow leads to what takes a tensor
// from what made it.
#pragma once

#include <string>
#include <vector>

#include "apps/describe/architecture.h"

namespace cutaway::describe {

/// What a value is about. Time and prompt stay what they are until they meet the image.
enum class Role { image, time, prompt, skip };

/// What the picture calls a CrossAttention.
constexpr const char *self_attention = "Self-attention", *cross_attention = "Cross-attention";

struct Node {
  enum class Kind { input, box, operation, skip, output };
  Kind kind = Kind::operation;
  Role role = Role::image;
  std::string note;            // self_attention or cross_attention, seen from where its inputs come
  std::string label;           // "time step", the box's name, or the operation's
  const Box* box = nullptr;    // for boxes
  std::optional<Shape> shape;  // of its result
  std::optional<Shape> table;  // of an attention
  bool reshapes = false;       // the result has another shape than everything it was made from
  double flops = 0;
  std::vector<int> from;  // the nodes whose results it takes
  std::string to;         // the box elsewhere that takes its result as a skip connection
  std::string skip;       // that connection's path
};

/// The nodes in the order they ran, with inputs before the first that takes them and the output behind them.
/// Empty when nothing ran inside.
std::vector<Node> flow_of(const Architecture& architecture, const Box& box);

/// "d2" for anything in unet.down_blocks.1, "m" and "u1" likewise: the names of the picture. "" elsewhere.
std::string level_name(const std::string& path);

}  // namespace cutaway::describe
