// Matrix products of bfloat16 numbers.
#pragma once

#include <cstdint>

#include "tensor/fast/gemm.h"

namespace cutaway::fast {

// The product takes terms in pairs, so a pair lies where one float would: a row of k floats
// becomes k / 2 pairs, and a panel of k rows becomes k / 2 rows of pairs,
// [k / 2][width][2]. All sizes of a Tile are then in pairs.

/// c = a b in pairs; sums in float32. For processors that have_bf16_product().
void gemm_tile_bf16(const Tile& tile);

/// from[r][i] -> pairs[r][i / 2], for r < rows, i < count; an odd last term gets a 0 beside it. Both may be
/// the same memory.
void rows_to_pairs(const float* from, int64_t from_stride, int64_t rows, int64_t count, float* pairs,
                   int64_t stride);
/// panel[i][j], i < count, j < width -> pairs[i / 2][j].
void panel_to_pairs(const float* panel, int64_t count, int64_t width, float* pairs);

/// The nearest bfloat16 to each, as a float.
void round_to_bf16(float* values, int64_t count);

}  // namespace cutaway::fast
