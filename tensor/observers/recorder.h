// Recorder: an observer that keeps what the layers of a run take and give.   Doc: docs/compare.md
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tensor/files/safetensors.h"
#include "tensor/observers/call_names.h"
#include "tensor/observers/summary.h"
#include "tensor/trace.h"

namespace cutaway::observers {

/// Which layers of a run.
struct Selection {
  std::vector<std::string> layers = {"*"};  // patterns of paths
  std::vector<std::string> calls = {"*"};   // patterns of calls: "prompt", "step_0[0-3]", "decode"

  bool has(const std::string& tag, const std::string& path) const;
  /// Is a value that costs extra to make asked for by name? "*" alone does not ask for it.
  bool asks_for(const std::string& path) const;
};

/// What one layer did in one call.
struct LayerRecord {
  std::string tag;   // see CallNames
  std::string path;  // the layer's, or an inner value's
  bool is_layer = true;
  Shape shape;           // of the result
  Summary summary = {};  // of the result
  double seconds = 0;    // with the layers inside, without the time that recording took
  double flop = 0;       // of its matrix products
  int64_t bytes = 0;     // inputs, weights and result
};

/// Names in a trace: "<tag>/trace/<path>" for a result or an inner value, "<tag>/trace/<path>:in" for the
/// first argument of a layer, ":in1" for the second and so on; "#1" behind the path when a layer runs a
/// second time in the same call.
std::string value_name(const std::string& tag, const std::string& path, int occurrence);
std::string input_name(const std::string& value_name, size_t input);

class Recorder : public Observer {
 public:
  struct Options {
    Selection selection;
    bool tensors = true;  // keep the numbers, not only their summary
    bool inputs = true;   // and those of the inputs
  };
  /// `weight_bytes`: of each layer by path, with the layers inside; may be empty.
  Recorder(Options options, std::map<std::string, int64_t> weight_bytes);

  void enter(const std::string& path, std::span<Tensor* const> inputs) override;
  void value(const std::string& path, Tensor& value) override;
  bool wants(const std::string& path) const override;

  /// In the order in which they were finished.
  const std::vector<LayerRecord>& records() const { return records_; }
  const std::vector<NamedTensor>& tensors() const { return tensors_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Open {  // a layer that has begun
    std::string path, name;
    Clock::time_point begin = {};
    double recording = 0, flop = 0;  // spent until then
    int64_t bytes = 0;
  };

  std::string next_name(const std::string& path);

  Options options_;
  std::map<std::string, int64_t> weight_bytes_;
  CallNames tags_;
  std::vector<Open> open_;
  std::map<std::string, int> times_;  // how often each name was given
  std::vector<LayerRecord> records_;
  std::vector<NamedTensor> tensors_;
  double recording_ = 0;  // seconds spent in this class
};

}  // namespace cutaway::observers
