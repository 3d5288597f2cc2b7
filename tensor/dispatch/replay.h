// Calls of operations, kept to be made again by themselves.
// Doc: docs/performance.md#one-operation-at-a-time
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "tensor/ops.h"
#include "tensor/trace.h"

namespace cutaway {

/// A call of an operation, without the numbers it was given.
struct Call {
  const char* operation = "";
  std::string layer;          // the path of the layer that made it
  std::vector<Shape> inputs;  // tensors and weights, in the order of the operation's signature
  std::string options;        // what else shaped the work, such as "stride 2"; nothing for the usual
  Shape result;
  /// Makes inputs of these shapes (numbers in [-1, 1)), and gives back what runs the operation on them. It
  /// may be run often, with whatever backend, instruction set and threads are in use then.
  std::function<std::function<Tensor()>()> prepare;
};

/// While one lives, the operations of this thread are kept. In a dry run (tensor/dispatch/dry_run.h) all
/// calls of a full-size network are there in milliseconds.
class RecordCalls {
 public:
  RecordCalls();
  ~RecordCalls();
  RecordCalls(const RecordCalls&) = delete;
  RecordCalls& operator=(const RecordCalls&) = delete;

  std::vector<Call> calls;

 private:
  RecordCalls* outer_;
};

// ---- For tensor/dispatch/run.h
namespace replay {

/// The innermost that lives on this thread, or null.
RecordCalls* recorder();

// What is kept of an argument, and what is made of that again. Anything else is kept as it is.
struct KeptTensor {
  Shape shape;
};
struct KeptWeight {
  Shape shape;
  DType dtype;
};
struct KeptAttention {
  bool causal;
  std::optional<KeptTensor> mask;
};
struct MadeAttention {
  bool causal;
  std::optional<Tensor> mask;
  operator AttentionOptions() const { return {causal, mask ? &*mask : nullptr}; }
};

template <class Argument>
const Argument& keep(const Argument& argument) {
  return argument;
}
inline KeptTensor keep(const Tensor& x) { return {x.shape()}; }
inline KeptWeight keep(const Weight& weight) { return {weight.shape, weight.dtype}; }
std::optional<KeptWeight> keep(const std::optional<Weight>& weight);
std::vector<KeptTensor> keep(const std::vector<Tensor>& parts);
inline std::vector<float> keep(std::span<const float> numbers) { return {numbers.begin(), numbers.end()}; }
KeptAttention keep(const AttentionOptions& options);

template <class Kept>
const Kept& make(const Kept& kept) {
  return kept;
}
Tensor make(const KeptTensor& x);
Weight make(const KeptWeight& weight);
std::optional<Weight> make(const std::optional<KeptWeight>& weight);
std::vector<Tensor> make(const std::vector<KeptTensor>& parts);
MadeAttention make(const KeptAttention& options);

// What a call tells of an argument. Floats change no work.
void note(Call& call, const KeptTensor& x);
void note(Call& call, const KeptWeight& weight);
void note(Call& call, const std::optional<KeptWeight>& weight);
void note(Call& call, const std::vector<KeptTensor>& parts);
void note(Call& call, const std::vector<float>& numbers);
void note(Call& call, const TokenIds& ids);
void note(Call& call, const KeptAttention& options);
void note(Call& call, const Conv2dOptions& options);
void note(Call& call, const ConvTranspose2dOptions& options);
void note(Call& call, const Padding& padding);
void note(Call& call, int64_t number);
inline void note(Call& call, int number) { note(call, int64_t{number}); }
inline void note(Call& call, bool flag) { note(call, int64_t{flag}); }
inline void note(Call&, float) {}
inline void note(Call&, const TimestepOptions&) {}

/// `run` takes the arguments, or what was made in their place.
template <class Run, class... Arguments>
void record(const char* operation, const Tensor& result, const Run& run, const Arguments&... arguments) {
  Call call{operation, Scope::current_path(), {}, "", result.shape(), {}};
  const auto kept = std::tuple(keep(arguments)...);
  std::apply([&](const auto&... each) { (note(call, each), ...); }, kept);
  call.prepare = [run, kept] {
    auto made = std::apply([](const auto&... each) { return std::tuple(make(each)...); }, kept);
    return std::function<Tensor()>([run, made = std::move(made)] { return std::apply(run, made); });
  };
  recorder()->calls.push_back(std::move(call));
}

}  // namespace replay
}  // namespace cutaway
