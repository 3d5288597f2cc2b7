// The layer, block or network that a case is about, built and ready to run.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "apps/verify/manifest.h"
#include "apps/verify/value_names.h"
#include "apps/verify/weight_table.h"
#include "nn/load.h"
#include "nn/norm.h"
#include "tensor/files/safetensors.h"

namespace cutaway::verify {

/// The inputs of one run of a file.
class Inputs {
 public:
  Inputs(const SafetensorsFile& file, const FileEntry& entry, std::string tag);

  /// The names of this run's inputs.
  std::vector<std::string> names() const;
  bool has(const std::string& name) const;
  /// With formula weights also an input that only the manifest has, with its shape: then the formula makes
  /// it. Throws Error when there is none of this name.
  Tensor tensor(const std::string& name) const;
  std::vector<int64_t> integers(const std::string& name) const;
  /// Whole numbers [N, T] as token ids.
  TokenIds tokens(const std::string& name) const;
  /// Whole numbers or not.
  std::vector<float> numbers(const std::string& name) const;
  /// Time steps, stored as whole numbers or not, one for each image.
  std::vector<float> timesteps(const std::string& name, int64_t images) const;
  /// The names of the outputs that the reference has for this run.
  std::vector<std::string> outputs() const;
  /// The shape of the output of that name; "" is the only one of its run.
  Shape output_shape(const std::string& name) const;

 private:
  std::string full(const std::string& section, const std::string& name) const;
  const TensorEntry* made_by_formula(const std::string& name) const;

  const SafetensorsFile& file_;
  const FileEntry& entry_;
  std::string tag_;
};

using Outputs = std::map<std::string, Tensor>;

/// The eps of a norm, as the layer was built.
struct NormEps {
  std::string path;
  bool layer_norm;  // or a GroupNorm
  float eps;
};

struct Fixture {
  std::vector<std::string> layers;  // the paths of all inside, in picture order; "" is the fixture itself
  std::vector<NormEps> norms;       // all inside
  std::function<Outputs(const Inputs&)> run;
  std::map<std::string, ValueName> aliases;  // where to look for names that only the reference has
};

/// What a fixture is built from.
struct LayerSpec {
  const FileEntry& entry;
  const Params& params;  // of the case
  Params config;         // the network's config.json, of the case or its base
  const WeightSource& source;
  const WeightTable& weights;  // empty for the formula
};

using Builder = Fixture (*)(const LayerSpec&);
using Builders = std::map<std::string, Builder>;

// kind -> how it is built
const Builders& block_builders();    // blocks.cpp
const Builders& compvis_builders();  // compvis.cpp
const Builders& network_builders();  // networks.cpp

bool is_layer(const std::string& kind);

/// Loads a layer and makes it a fixture: `run(layer, inputs)` gives its outputs by name.
template <class Layer, class Run>
Fixture fixture_of(Layer layer, const WeightSource& source, Run run) {
  auto shared = std::make_shared<Layer>(std::move(layer));
  load_weights(*shared, "", source);
  Fixture fixture;
  for_each_module(*shared, "", [&](const std::string& path, const auto& module) {
    using Part = std::remove_cvref_t<decltype(module)>;
    fixture.layers.push_back(path);
    if constexpr (std::is_same_v<Part, GroupNorm> || std::is_same_v<Part, LayerNorm>)
      fixture.norms.push_back({path, std::is_same_v<Part, LayerNorm>, module.eps});
  });
  fixture.run = [shared, run](const Inputs& in) -> Outputs { return run(*shared, in); };
  return fixture;
}

/// For a layer of one tensor in and one out.
template <class Layer>
Fixture one_to_one(Layer layer, const WeightSource& source, const std::string& input,
                   const std::string& output) {
  return fixture_of(std::move(layer), source, [input, output](const Layer& l, const Inputs& in) {
    return Outputs{{output, l(in.tensor(input))}};
  });
}

}  // namespace cutaway::verify
