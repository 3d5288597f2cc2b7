// What `with cutaway.trace(...)` collects.   Doc: docs/python.md#trace
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tensor/trace.h"

namespace cutaway::python {

/// Keeps every value whose path one of the patterns fits (`*` stands for any text, `?` for one character), in
/// the order they come. Tensors are shared, not copied.
class Recorder : public Observer {
 public:
  struct Moment {
    Tensor value;
    int step;  // of the sampler; -1 outside
  };
  struct Call {
    std::vector<Tensor> inputs;
    int step;
  };

  /// with_operations: also the result of each operation inside a layer, as PATH/silu, PATH/silu.2, ...
  Recorder(std::vector<std::string> patterns, bool with_operations);

  void enter(const std::string& path, std::span<Tensor* const> inputs) override;
  void value(const std::string& path, Tensor& value) override;
  void operation(const std::string& path, const char* name, std::span<const Tensor* const> inputs,
                 const Tensor& result) override;
  /// The table of an attention is large: it is made only for a pattern that ends in "probs".
  bool wants(const std::string& path) const override;

  /// All paths that have a value, in the order of the run.
  const std::vector<std::string>& paths() const { return paths_; }
  /// All values of a path, first to last; none for an unknown path.
  const std::vector<Moment>& values(const std::string& path) const;
  const std::vector<Call>& calls(const std::string& path) const;
  const std::vector<std::string>& patterns() const { return patterns_; }

 private:
  struct Operations {
    std::map<std::string, int> count;  // by name, in the call that runs now
    std::string last_key;
  };

  bool selected(const std::string& path);
  void keep(const std::string& path, const Tensor& value);
  void end_of_layer(const std::string& path, const Tensor& value);

  std::vector<std::string> patterns_;
  bool with_operations_;
  std::map<std::string, bool> selected_;  // so that each path is matched once
  std::vector<std::string> paths_;
  std::map<std::string, std::vector<Moment>> values_;
  std::map<std::string, std::vector<Call>> calls_;
  std::map<std::string, Operations> operations_;  // by the layer's path
};

}  // namespace cutaway::python
