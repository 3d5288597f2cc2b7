// The weights of a case: from its own file, its base's, or the formula.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "nn/load.h"
#include "tensor/files/safetensors.h"

namespace cutaway::verify {

/// Weights by name. Also tells the sizes of a layer: everything that a case does not say in words is in the
/// shapes and names of its weights.
class WeightTable : public WeightSource {
 public:
  explicit WeightTable(std::string description) : description_(std::move(description)) {}

  /// Takes every weight of a file: names without a slash. Weights that are there already are replaced. Whole
  /// numbers (position_ids, counters of training) are no weights.
  void add_file(const SafetensorsFile& file);
  /// Takes one weight; it may have a shape only.
  void add(const std::string& name, Weight weight);
  /// The same weights under other names, for a layer that has another vocabulary: each part of a name that
  /// equals the first of a pair becomes the second, "in_layers.0" and "norm1". The longest pair wins.
  WeightTable renamed(const std::vector<std::pair<std::string, std::string>>& pairs) const;
  /// Weights whose whole name one of the patterns matches, times a factor, in float32.
  WeightTable scaled(const std::vector<std::string>& patterns, float factor) const;

  bool has(const std::string& name) const { return weights_.contains(name); }
  /// Is there a weight below this path?
  bool has_below(const std::string& path) const;
  /// How many of path.0, path.1, ... have weights.
  int64_t count_below(const std::string& path) const;
  /// Throws Error when there is no weight of this name.
  const Shape& shape(const std::string& name) const;
  std::map<std::string, Weight>& weights() { return weights_; }

  std::string description() const override { return description_; }
  std::vector<std::string> names() const override;
  std::optional<Weight> find(const std::string& name, const Shape& needed) const override;

 private:
  std::string description_;
  std::map<std::string, Weight> weights_;
};

}  // namespace cutaway::verify
