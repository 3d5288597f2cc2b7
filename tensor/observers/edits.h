// Edits: what if this box were not there? Replaces what layers give.   Doc: docs/what-if.md
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tensor/trace.h"

namespace cutaway::observers {

/// One --edit: which layers, in which steps, and what they give instead.
struct Edit {
  enum class Kind { zero, identity, scale, tensor };

  std::string text = {};     // as given, for messages
  std::string pattern = {};  // of paths
  Kind kind = Kind::zero;
  float factor = 1;                     // scale
  Tensor replacement = {};              // tensor
  int first_step = -1, last_step = -1;  // -1: in all steps, and outside of steps
};

/// Reads PATH=zero, PATH=identity, PATH=scale:0.5 or PATH=FILE.safetensors[:tensor], each with @3 or @0-9
/// behind it for some steps only. Throws Error with the grammar when it is none of these.
Edit parse_edit(const std::string& text);

/// The observer that applies edits. Where several fit a layer, they are applied in their order.
class Editor : public Observer {
 public:
  explicit Editor(std::vector<Edit> edits);

  void enter(const std::string& path, std::span<Tensor* const> inputs) override;
  /// Throws Error when a layer's result cannot be replaced so: identity where the input has another shape, a
  /// tensor of another shape.
  void value(const std::string& path, Tensor& value) override;

  /// The layers that each edit has reached so far, with how often.
  const std::vector<std::map<std::string, int>>& reached() const { return reached_; }
  /// Throws Error when an edit has reached no layer: a typing mistake would look like an edit without effect.
  void must_have_reached_all() const;

 private:
  struct Open {
    std::string path;
    Tensor input;  // the first
  };

  std::vector<Edit> edits_;
  std::vector<std::map<std::string, int>> reached_;
  std::vector<Open> open_;
};

}  // namespace cutaway::observers
