// tensor/: Tensor, Shape and Weight, the memory below them, the list of operations, which version runs, and
// the path by which a layer is seen.
//
// Tensor: contiguous float32 numbers with a shape.   Doc: docs/tensor.md
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "tensor/shape.h"

namespace cutaway {

/// Contiguous, row-major, float32. Always: no strides, no lazy evaluation, so
/// when a line has run, its numbers exist.
///
/// A tensor is a value. Copies share one block of memory, and since operations return new tensors and never
/// write to their inputs, the sharing cannot be seen: `skips.push_back(h)` costs nothing.
class Tensor {
 public:
  Tensor() = default;
  /// Uninitialised numbers. Throws Error when the memory is not to be had.
  explicit Tensor(const Shape& shape);
  /// Throws Error when the number of values is not the shape's count.
  Tensor(const Shape& shape, std::span<const float> values);
  static Tensor filled(const Shape& shape, float value);

  const Shape& shape() const { return shape_; }
  int64_t count() const { return data_ ? shape_.count() : 0; }
  bool empty() const { return data_ == nullptr; }
  const float* data() const { return data_; }
  std::span<const float> values() const { return {data_, static_cast<size_t>(count())}; }

  /// For the function that has just made this tensor. Throws Error when another Tensor shares the block.
  float* mutable_data();

  /// The same numbers under another shape of the same count; shares the block.
  Tensor reshaped(const Shape& shape) const;

 private:
  Shape shape_;
  float* data_ = nullptr;  // kept plain beside its owner, so that `print h.data_[0]@8` works in any debugger
  std::shared_ptr<float> block_;
};

/// Token ids: [batch, length] integers, row-major.
struct TokenIds {
  int64_t batch = 0;
  int64_t length = 0;
  std::vector<int64_t> ids;  // batch * length of them
};

}  // namespace cutaway
