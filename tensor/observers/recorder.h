// tensor/observers/: who watches a run: the recorder, edits, the comparison, the stop at a NaN.
//
// Recorder: the observer that keeps what happens in a run. `trace`, `verify`, `describe` and the Python
// module all read its events.   Doc: docs/trace.md#the-recorder
#pragma once

#include <chrono>
#include <map>
#include <optional>
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

  /// Is a value that costs extra to make asked for by name? "*" alone does not ask for it.
  bool asks_for(const std::string& path) const;
};

/// What is kept of a tensor.
struct Kept {
  std::optional<Shape> shape = {};  // nothing for an empty tensor, such as a ResBlock's without a time step
  Tensor tensor = {};               // empty when only shapes are kept
};

/// One thing that happened in a run.
struct Event {
  enum class Kind { enter, value, operation };

  Kind kind;
  std::string path;               // of the layer or the inner value; of the layer that an operation ran in
  std::string operation = {};     // its name: "silu"
  std::string call = {};          // the part of the run: see CallNames
  int occurrence = 0;             // of the layer or the inner value in this call, from 0
  int step = -1;                  // the sampler's; -1 outside of all steps
  std::vector<Kept> inputs = {};  // of a layer or an operation
  Kept result = {};               // of a layer or an operation, or the inner value
  std::optional<Summary> summary = {};  // of that
  std::optional<size_t> entered = {};   // for a layer's result: the event in which the layer began
  double seconds = 0;                   // of the run until now, without the time that recording took
  double flops = 0;                     // of the run until now, see trace::flops
};

/// Keeps what happens in the runs of its lifetime, as events in their order.
class Recorder : public Observer {
 public:
  struct Options {
    Selection selection = {};                  // of layers and inner values
    std::vector<std::string> operations = {};  // and of operations, as patterns of "PATH/silu"
    bool tensors = true;                       // keep the numbers, not only shapes
    bool inputs = true;                        // and those of the layers' inputs
    bool summaries = false;
  };
  explicit Recorder(Options options);

  void enter(const std::string& path, std::span<Tensor* const> inputs) override;
  void value(const std::string& path, Tensor& value) override;
  void operation(const std::string& path, const char* name, std::span<const Tensor* const> inputs,
                 const Tensor& result) override;
  bool wants(const std::string& path) const override;

  const std::vector<Event>& events() const { return events_; }

 private:
  using Clock = std::chrono::steady_clock;

  bool selected(const std::vector<std::string>& patterns, const std::string& path);
  Event& add(Event::Kind kind, const std::string& path);
  void pause();
  void resume();

  Options options_;
  CallNames names_;
  std::map<std::string, bool> selected_;                            // so that each path is matched once
  std::map<std::pair<std::string, std::string>, int> occurrences_;  // of a path in a call, so far
  std::vector<size_t> open_;                                        // the events of layers that have begun
  std::vector<Event> events_;
  Clock::time_point resumed_ = Clock::now();
  double seconds_ = 0, flops_before_ = trace::flops();
};

/// Names in a trace: "<call>/trace/<path>" for a result or an inner value, "<call>/trace/<path>:in" for the
/// first argument of a layer, ":in1" for the second and so on; "#1" behind the path when a layer runs a
/// second time in the same call.
std::string value_name(const std::string& call, const std::string& path, int occurrence);
std::string input_name(const std::string& value_name, size_t input);

/// The tensors of layers and inner values, by these names, in the order of the run.
std::vector<NamedTensor> named_tensors(const std::vector<Event>& events);

}  // namespace cutaway::observers
