// Threads share the results among them, never the terms of one sum. A team
// is called only when the work pays for it.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

#include "tensor/memory.h"

namespace cutaway::fast {

/// Waking threads that sleep takes some 30 microseconds, in which one core handles about this many numbers.
constexpr int64_t numbers_worth_a_team = 1 << 17;

/// Runs work(begin, end) over pieces of [0, count), on all threads if `numbers`, the numbers touched in all,
/// are many. Nothing is done in a dry run.
template <class Work>
void in_pieces(int64_t count, int64_t numbers, const Work& work) {
  if (in_dry_run()) return;
  if (numbers < numbers_worth_a_team || count < 2 || omp_get_max_threads() == 1) {
    work(int64_t{0}, count);
    return;
  }
  const int64_t pieces = std::min<int64_t>(count, 4 * omp_get_max_threads());
#pragma omp parallel for schedule(dynamic)
  for (int64_t p = 0; p < pieces; ++p) work(count * p / pieces, count * (p + 1) / pieces);
}

}  // namespace cutaway::fast
