// Numbers of a weight, from the file's dtype to float32, many at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "tensor/weight.h"

namespace cutaway::fast {

/// to[i] = value number begin + i. What Weight::read does, by vectors.
void read_weight(const Weight& weight, int64_t begin, int64_t count, float* to);

/// Asks for values [begin, begin + count) ahead of time: rows of a weight lie far apart, so the processor does not guess
/// what comes next. Values beyond the last are ignored.
void prefetch_weight(const Weight& weight, int64_t begin, int64_t count);

/// All values of a bias; empty without one.
std::vector<float> read_bias(const std::optional<Weight>& bias);

}  // namespace cutaway::fast
