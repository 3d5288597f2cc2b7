// Whole numbers of something.
#pragma once

#include <cstdint>

namespace cutaway::fast {

/// How many of size b hold a.
constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
/// The next multiple of b.
constexpr int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

}  // namespace cutaway::fast
