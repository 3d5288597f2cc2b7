// Distance: how far a tensor is from what it should be, and where the most.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "tensor/tensor.h"

namespace cutaway {

/// How far two tensors are apart.
struct Distance {
  double max_abs = 0;   // the largest difference; infinite where one of the two is NaN
  double relative = 0;  // that over the largest finite value of what is expected
  double cosine = 1;    // of the angle between the two
  int64_t worst = 0;    // where the largest difference is
  bool same_bits = true;
  bool comparable = true;  // false: the shapes differ
};

/// With `equal_nan`, NaN in both at the same place is no difference.
Distance distance(const Tensor& actual, const Tensor& expected, bool equal_nan = true);
/// The same for as many numbers on either side.
Distance distance(std::span<const float> actual, std::span<const float> expected, bool equal_nan = true);

/// Where a value is: "[0, 17, 3, 5]".
std::string index_text(const Shape& shape, int64_t position);

}  // namespace cutaway
