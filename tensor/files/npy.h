// .npy: NumPy's file format for one array, to look at tensors from notebooks.
// The format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#pragma once

#include <string>

#include "tensor/tensor.h"

namespace cutaway {

/// Writes the tensor as version 1.0, little-endian float32 in C order, all or nothing; numpy.load reads it.
/// Throws Error when the tensor holds no numbers or the file cannot be written.
void write_npy(const std::string& path, const Tensor& tensor);

}  // namespace cutaway
