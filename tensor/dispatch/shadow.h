// Shadow mode: every operation runs in plain loops too, beside the fast version, and the largest difference
// is kept for each operation of each layer.   Doc: docs/operations.md
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace cutaway::shadow {

/// How far the fast version of one operation of one layer was from the plain one, over all its calls.
struct Row {
  std::string operation, path;  // "conv2d" in "unet.conv_in"
  int64_t calls = 0;
  double max_abs = 0;  // the largest difference
  /// The largest, over the largest value of that call's result; infinite for a NaN on one side.
  double relative = 0;
};

/// Called for every operation while the backend is `shadow`.
void compare(const char* operation, const std::string& path, const Tensor& fast, const Tensor& ref);
/// Since the last clear(), in the order in which they first ran.
std::vector<Row> report();
void clear();

}  // namespace cutaway::shadow
