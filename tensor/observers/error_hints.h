// Hints: what an error looks like.
#pragma once

#include <string>

#include "tensor/tensor.h"

namespace cutaway::observers {

/// What known mistake makes this value out of the expected one: halves swapped, an axis turned over, rounding
/// to half precision, a bias left out, an eps, padding by one. "" when it looks like none of them. The two
/// have to be of the same shape for most.
std::string error_hint(const Tensor& actual, const Tensor& expected);

}  // namespace cutaway::observers
