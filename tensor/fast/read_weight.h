// Numbers of a weight, from the file's dtype to float32, many at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "tensor/weight.h"

namespace cutaway::fast {

/// to[i] = value number begin + i. What Weight::read does, by vectors.
void read_weight(const Weight& weight, int64_t begin, int64_t count, float* to);

/// All values of a bias; empty without one.
std::vector<float> read_bias(const std::optional<Weight>& bias);

/// The numbers themselves, where they lie in memory as float32; else null.
const float* floats_of(const Weight& weight);

}  // namespace cutaway::fast
