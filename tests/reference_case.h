// A file of reference tensors, and a layer loaded from it.
#pragma once

#include <string>

#include "nn/formula_weights.h"
#include "tensor/files/safetensors.h"

namespace cutaway::test {

class ReferenceCase {
 public:
  explicit ReferenceCase(const std::string& name)
      : file_(SafetensorsFile::open(std::string(CUTAWAY_SOURCE_DIR "/tests/reference/") + name)) {}

  Tensor tensor(const std::string& name) const { return file_.at(name).to_tensor(); }

  /// Loads the weights below `prefix`; names with a '/' are no weights.
  template <class Layer>
  Layer loaded(Layer layer, const std::string& prefix = "") const {
    load_weights(layer, "", WeightsOnly(file_, prefix));
    return layer;
  }

 private:
  class WeightsOnly : public SafetensorsSource {
   public:
    using SafetensorsSource::SafetensorsSource;
    std::vector<std::string> names() const override {
      std::vector<std::string> weights;
      for (const std::string& name : SafetensorsSource::names()) {
        if (name.find('/') == std::string::npos) weights.push_back(name);
      }
      return weights;
    }
  };

  SafetensorsFile file_;
};

}  // namespace cutaway::test
