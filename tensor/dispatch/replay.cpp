#include "tensor/dispatch/replay.h"

#include <cstring>
#include <utility>

#include "tensor/error.h"

namespace cutaway {
namespace {

thread_local RecordCalls* innermost = nullptr;

// Numbers without a pattern that a kernel could profit from, or suffer from: none is subnormal.
class Numbers {
 public:
  float next() {
    state_ = state_ * 1664525U + 1013904223U;
    return static_cast<float>(state_ >> 8) * 0x1p-23F - 1;
  }

 private:
  uint32_t state_ = 4711;
};

void add_option(Call& call, const std::string& text) {
  call.options += (call.options.empty() ? "" : ", ") + text;
}

}  // namespace

RecordCalls::RecordCalls() : outer_(std::exchange(innermost, this)) {}
RecordCalls::~RecordCalls() { innermost = outer_; }

namespace replay {

RecordCalls* recorder() { return innermost; }

std::optional<KeptWeight> keep(const std::optional<Weight>& weight) {
  return weight ? std::optional(keep(*weight)) : std::nullopt;
}

std::vector<KeptTensor> keep(const std::vector<Tensor>& parts) {
  std::vector<KeptTensor> kept;
  for (const Tensor& part : parts) kept.push_back(keep(part));
  return kept;
}

KeptAttention keep(const AttentionOptions& options) {
  return {options.causal, options.mask != nullptr ? std::optional(keep(*options.mask)) : std::nullopt};
}

Tensor make(const KeptTensor& x) {
  Tensor made(x.shape);
  Numbers numbers;
  float* const to = made.mutable_data();
  for (int64_t i = 0; i < made.count(); ++i) to[i] = numbers.next();
  return made;
}

Weight make(const KeptWeight& weight) {
  const Tensor values = make(KeptTensor{weight.shape});
  if (weight.dtype == DType::f32) return Weight::of(values);
  if (weight.dtype == DType::q8_0) throw Error("calls with weights in q8_0 cannot be made again");
  Weight made(weight.shape);
  const auto bytes = std::make_shared<std::vector<uint16_t>>(static_cast<size_t>(values.count()));
  for (size_t i = 0; i < bytes->size(); ++i) {
    (*bytes)[i] = weight.dtype == DType::f16 ? f32_to_f16(values.data()[i]) : f32_to_bf16(values.data()[i]);
  }
  made.dtype = weight.dtype;
  made.data = bytes->data();
  made.owner = bytes;
  return made;
}

std::optional<Weight> make(const std::optional<KeptWeight>& weight) {
  return weight ? std::optional(make(*weight)) : std::nullopt;
}

std::vector<Tensor> make(const std::vector<KeptTensor>& parts) {
  std::vector<Tensor> made;
  for (const KeptTensor& part : parts) made.push_back(make(part));
  return made;
}

MadeAttention make(const KeptAttention& options) {
  return {options.causal, options.mask ? std::optional(make(*options.mask)) : std::nullopt};
}

void note(Call& call, const KeptTensor& x) { call.inputs.push_back(x.shape); }
void note(Call& call, const KeptWeight& weight) { call.inputs.push_back(weight.shape); }
void note(Call& call, const std::optional<KeptWeight>& weight) {
  if (weight) note(call, *weight);
}
void note(Call& call, const std::vector<KeptTensor>& parts) {
  for (const KeptTensor& part : parts) note(call, part);
}
void note(Call& call, const std::vector<float>& numbers) {
  call.inputs.push_back({static_cast<int64_t>(numbers.size())});
}
void note(Call& call, const TokenIds& ids) { call.inputs.push_back({ids.batch, ids.length}); }
void note(Call& call, const KeptAttention& options) {
  if (options.causal) add_option(call, "causal");
  if (options.mask) call.inputs.push_back(options.mask->shape);
}
void note(Call& call, const Conv2dOptions& options) {
  if (options.stride != 1) add_option(call, "stride " + std::to_string(options.stride));
  if (options.dilation != 1) add_option(call, "dilation " + std::to_string(options.dilation));
  if (options.groups != 1) add_option(call, "groups " + std::to_string(options.groups));
}
void note(Call& call, const ConvTranspose2dOptions& options) {
  add_option(call, "stride " + std::to_string(options.stride));
}
void note(Call&, const Padding&) {}  // the result's shape tells
void note(Call& call, int64_t number) { add_option(call, std::to_string(number)); }

}  // namespace replay
}  // namespace cutaway
