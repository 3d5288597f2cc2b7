#include "tensor/observers/finite_check.h"

#include <cmath>

#include "tensor/error.h"
#include "tensor/observers/distance.h"
#include "tensor/observers/summary.h"

namespace cutaway::observers {
namespace {

int64_t first_bad(const Tensor& tensor) {
  int64_t at = 0;
  for (const float value : tensor.values()) {
    if (!std::isfinite(value)) return at;
    ++at;
  }
  return -1;
}

}  // namespace

void FiniteCheck::enter(const std::string& path, std::span<Tensor* const> inputs) {
  Open layer{path, {}};
  for (const Tensor* input : inputs) layer.inputs.push_back(*input);
  // What a layer is given was made between two layers: by the operations of the layer around it.
  for (const Tensor& input : layer.inputs) {
    if (const int64_t at = first_bad(input); at >= 0) stop(path, "an input of", input, at);
  }
  open_.push_back(std::move(layer));
}

void FiniteCheck::value(const std::string& path, Tensor& value) {
  if (const int64_t at = first_bad(value); at >= 0) stop(path, "the result of", value, at);
  if (!open_.empty() && open_.back().path == path) open_.pop_back();
}

void FiniteCheck::stop(const std::string& path, const char* what, const Tensor& tensor, int64_t at) const {
  const float value = tensor.data()[at];
  std::string text =
      std::string("there is ") + (std::isnan(value) ? "a NaN" : "an infinity") + " in " + what + " " + path;
  if (trace::step() >= 0) text += " at step " + std::to_string(trace::step());
  text += ", at index " + index_text(tensor.shape(), at) + " of " + to_string(tensor.shape()) + " (" +
          to_string(summarise(tensor)) + ")";
  if (!open_.empty() && open_.back().path == path) {
    size_t number = 0;
    for (const Tensor& input : open_.back().inputs) {
      ++number;
      if (input.empty()) continue;
      text += "; input " + std::to_string(number) + " " + to_string(input.shape()) + " has " +
              to_string(summarise(input));
    }
    text += ". The inputs are finite, so look at the weights of this layer and at its code";
  }
  throw Error(text);
}

}  // namespace cutaway::observers
