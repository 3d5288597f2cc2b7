// Comparison: a run beside a recorded one, layer by layer; names the layers that are wrong.
// Doc: docs/compare.md
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "tensor/files/safetensors.h"
#include "tensor/observers/call_names.h"
#include "tensor/observers/distance.h"
#include "tensor/trace.h"

namespace cutaway::observers {

/// When two values count as equal.
struct Tolerance {
  bool exact = false;      // bit for bit: for two runs of the same program
  double relative = 2e-5;  // else |difference| <= relative * largest |value| of the reference
  bool holds(const Distance& distance) const;
};

/// One value beside the reference's.
struct ComparedValue {
  std::string name;   // in the trace: "step_00/trace/unet.conv_in", ":in" behind it for an input
  std::string path;   // the layer's, or the inner value's
  std::string blame;  // the layer that made this value: for an input, the one around
  bool is_input = false;
  bool equal = true;
  Shape shape = {}, expected_shape = {};
  Distance distance = {};
  std::string hint = {};  // what the error looks like, where it looks like a known mistake
};

/// What a comparison is made against: the values of a trace by name.
class Reference {
 public:
  explicit Reference(SafetensorsFile file) : file_(std::move(file)) {}
  const SafetensorsFile& file() const { return file_; }
  bool has(const std::string& name) const { return file_.find(name) != nullptr; }
  Tensor tensor(const std::string& name) const { return file_.at(name).to_tensor(); }

 private:
  SafetensorsFile file_;
};

/// The observer that compares a run while it runs.
///
/// Teacher-forced: after it has been compared, every value is replaced by the reference's, and so is every
/// layer's input. So a layer that is wrong spoils nothing behind it, and what differs is itself to blame:
///   - a layer whose result is wrong though its inputs are the reference's,
///   - for an input that is wrong, the layer around, whose own operations made it.
/// Free: nothing is replaced, and an error travels; the first value that differs is where it comes from.
class Comparison : public Observer {
 public:
  Comparison(const Reference& reference, Tolerance tolerance, bool teacher_forced);

  void enter(const std::string& path, std::span<Tensor* const> inputs) override;
  void value(const std::string& path, Tensor& value) override;
  bool wants(const std::string& path) const override;

  const std::vector<ComparedValue>& values() const { return values_; }
  /// The layers and inner values that ran, whether or not the reference has them.
  const std::set<std::string>& paths_run() const { return paths_run_; }
  /// In the order of the run. Empty when all is equal.
  std::string first_diverging() const;
  /// In the order of the run, each once.
  std::vector<std::string> wrong_layers() const;

 private:
  void compare(const std::string& name, const std::string& path, const std::string& blame, bool is_input,
               Tensor& value);
  std::string layer_around() const;
  std::string next_name(const std::string& path);

  struct Open {
    std::string path, name;
  };

  const Reference& reference_;
  Tolerance tolerance_;
  bool teacher_forced_;
  CallNames tags_;
  std::vector<Open> open_;
  std::map<std::string, int> times_;
  std::set<std::string> paths_run_;
  std::vector<ComparedValue> values_;
};

/// Two recorded runs. A layer whose inputs are equal in both but whose result is not is wrong; nothing can be
/// said about those behind it.
std::vector<ComparedValue> compare_traces(const Reference& reference, const Reference& other,
                                          Tolerance tolerance);

/// Blamed by one of these values, in their order, each once.
std::vector<std::string> blamed(const std::vector<ComparedValue>& values);

}  // namespace cutaway::observers
