// One row of a softmax, shared by softmax and attention_probs.
#pragma once

#include <cstdint>

namespace cutaway::fast {

/// y = softmax(x) for `count` numbers side by side; x and y may be the same.
void softmax_row(const float* x, float* y, int64_t count);

}  // namespace cutaway::fast
