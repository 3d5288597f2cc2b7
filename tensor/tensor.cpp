#include "tensor/tensor.h"

#include <algorithm>

#include "tensor/error.h"
#include "tensor/memory.h"

namespace cutaway {

Tensor::Tensor(const Shape& shape) : shape_(shape), block_(allocate_floats(shape.count())) {
  data_ = block_.get();
}

Tensor::Tensor(const Shape& shape, std::span<const float> values) : Tensor(shape) {
  if (static_cast<int64_t>(values.size()) != shape.count()) {
    throw Error("a tensor of shape " + to_string(shape) + " needs " + std::to_string(shape.count()) +
                " values, but " + std::to_string(values.size()) + " were given");
  }
  std::copy(values.begin(), values.end(), data_);
}

Tensor Tensor::filled(const Shape& shape, float value) {
  Tensor y(shape);
  std::fill_n(y.data_, y.count(), value);
  return y;
}

float* Tensor::mutable_data() {
  if (block_.use_count() > 1) {
    throw Error("a tensor of shape " + to_string(shape_) +
                " is shared and cannot be written to: only the function that made a tensor may fill it");
  }
  return data_;
}

Tensor Tensor::reshaped(const Shape& shape) const {
  if (shape.count() != count()) {
    throw Error("a tensor of shape " + to_string(shape_) + " cannot be seen as " + to_string(shape) +
                ": the numbers of values differ");
  }
  Tensor y = *this;
  y.shape_ = shape;
  return y;
}

}  // namespace cutaway
