// Recording: all that happened in a run, in order, and the same at another picture size without running it.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "apps/describe/box.h"
#include "tensor/trace.h"

namespace cutaway::describe {

struct Event {
  enum class Kind { enter, value, operation };
  Kind kind;
  std::string path;            // of the layer, or of the inner value
  std::string operation;       // its name, for operations
  std::vector<Tensor> inputs;  // of a layer that is entered; empty tensors when only shapes are kept
  Tensor result;               // of a value or an operation; the same
  std::vector<Shape> shapes;   // of the inputs, or of the result alone
  double flops = 0;            // of an operation
  double seconds = 0;          // since the run began
};

struct Recording {
  std::vector<Event> events;
  std::map<std::string, Shape>
      tables;  // attention: path of the layer -> [N, heads, T, T'], never made in full
};

/// Watches one run. Tables of attention cost time and memory, so a run for `times` does without.
class Recorder : public Observer {
 public:
  enum class Keep { tensors, shapes, times };
  explicit Recorder(Keep keep);

  void enter(const std::string& path, std::span<Tensor* const> inputs) override;
  void value(const std::string& path, Tensor& value) override;
  void operation(const std::string& path, const char* name, std::span<const Tensor* const> inputs,
                 const Tensor& result) override;
  bool wants(const std::string& path) const override;

  Recording recording;

 private:
  Event& add(Event::Kind kind, const std::string& path);

  Keep keep_;
  double flops_before_;
  double began_;
};

/// Runs the part of the model at a latent (or, for the VAE, a picture) of this height and width.
using RunAt = std::function<void(int64_t height, int64_t width)>;

/// A real run of this size, its shapes and times.
Recording record(const RunAt& run, int64_t height, int64_t width, Recorder::Keep keep);

/// What record(run, size, size) would give except for times, from three small runs: base x base, then twice
/// the height, then twice the width. Each extent of each tensor and the work of each single operation is
/// c H^a W^b with whole a and b, so three runs say c, a and b; the tensors are those of the smallest run.
/// `size` must be a multiple of `base`. Throws Error when something grows in another way.
Recording record_scaled(const RunAt& run, int64_t base, int64_t size);

/// Fills in output, flops and (when `timed`) seconds of a box and all inside it.
void fill_in(Box& root, const Recording& recording, bool timed);

}  // namespace cutaway::describe
