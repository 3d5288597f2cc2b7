// A file of reference tensors, and a layer loaded from it.
#pragma once

#include <string>

#include "nn/load.h"
#include "tensor/files/safetensors.h"

namespace cutaway::test {

/// The weights of a safetensors file below a prefix, left where they are in the mapped file.
class SafetensorsSource : public WeightSource {
 public:
  SafetensorsSource(SafetensorsFile file, std::string prefix)
      : file_(std::move(file)), prefix_(std::move(prefix)) {}

  std::string description() const override { return file_.path(); }
  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    for (const StoredTensor& stored : file_.tensors()) {
      if (!stored.name.starts_with(prefix_)) continue;
      const std::string name = stored.name.substr(prefix_.size());
      if (name.find('/') == std::string::npos) names.push_back(name);
    }
    return names;
  }
  std::optional<Weight> find(const std::string& name, const Shape&) const override {
    const StoredTensor* stored = file_.find(prefix_ + name);
    if (stored == nullptr) return std::nullopt;
    return file_.weight(*stored);
  }

 private:
  SafetensorsFile file_;
  std::string prefix_;
};

class ReferenceCase {
 public:
  explicit ReferenceCase(const std::string& name)
      : file_(SafetensorsFile::open(std::string(CUTAWAY_SOURCE_DIR "/tests/reference/") + name)) {}

  Tensor tensor(const std::string& name) const { return file_.at(name).to_tensor(); }

  /// Loads the weights below `prefix`; names with a '/' are no weights.
  template <class Layer>
  Layer loaded(Layer layer, const std::string& prefix = "") const {
    load_weights(layer, "", SafetensorsSource(file_, prefix));
    return layer;
  }

 private:
  SafetensorsFile file_;
};

}  // namespace cutaway::test
