// Loading: every weight of a layer finds its numbers by name, all or nothing.   Doc: docs/loading.md
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nn/module.h"

namespace cutaway {

/// Where weights come from: a checkpoint file, a formula, a test.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  /// For messages: the file's path.
  virtual std::string description() const = 0;
  /// Every name there is; empty for a source that makes what it is asked for.
  virtual std::vector<std::string> names() const = 0;
  /// The weight of this name with the shape it has there, or nothing. `needed` is the shape the layer wants.
  virtual std::optional<Weight> find(const std::string& name, const Shape& needed) const = 0;
};

/// A place to be filled, with the name of what belongs there.
struct WeightSlot {
  std::string name;
  Weight* weight;
};

/// Do both shapes hold the same numbers in the same order, but for extents of 1? A linear layer [out, in] and
/// a 1x1 convolution [out, in, 1, 1] do, and some formats leave out leading extents of 1.
bool same_but_for_ones(const Shape& a, const Shape& b);

/// Fills every slot or none. A weight whose shape is the layer's but for extents of 1 gets the layer's.
/// Throws Error with one report: how many names are missing, unexpected and mis-shaped, all of them, and the
/// likely cause where one fits. Names in `ignored` may be in the source without being wanted.
void load_weights(const std::vector<WeightSlot>& slots, const WeightSource& source,
                  const std::vector<std::string>& ignored = {});

/// Gives the layer its path and loads its weights; they are named in the source as in the layer.
template <class Layer>
void load_weights(Layer& layer, const std::string& path, const WeightSource& source,
                  const std::vector<std::string>& ignored = {}) {
  set_paths(layer, path);
  std::vector<WeightSlot> slots;
  for_each_weight(layer, "", [&](const std::string& name, Weight& weight) {
    slots.push_back({name, &weight});
  });
  load_weights(slots, source, ignored);
}

}  // namespace cutaway
