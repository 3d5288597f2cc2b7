// The three transforms of Winograd's convolution, by vectors.   Doc: docs/performance.md
//
// A tile of m x m results needs (m + 2) x (m + 2) pixels; m is 2 or 4. Transformed, it has as many numbers
// again, its `positions`. Tiles that lie side by side fill the lanes of a vector.
#pragma once

#include <cstdint>

namespace cutaway::fast {

/// A row of tiles of one channel, and where its transformed pixels go.
struct WinogradInput {
  int64_t m;
  const float* plane;  // height x width pixels
  int64_t height, width;
  int64_t top, left;  // of the first tile, in the plane; negative in the padding
  int64_t tiles;      // a multiple of lanes
  int64_t lanes;      // 4, 8 or 16, not more than the instruction set has
  float* lines;       // working space: m + 3 lines
  int64_t line;       // floats in a line: at least m tiles + 4 and `width`
  float* to;          // tile 0 at position 0
  int64_t position_stride;
  // Tiles lie in panels: tile i is `column` + i wide of the first, in panel (column + i) / panel.
  int64_t column, panel, panel_stride;
  bool stream;  // past the caches, since all cores read it
};
void winograd_input(const WinogradInput& row);

/// A row of tiles of results: the sum over positions, turned back into pixels.
struct WinogradOutput {
  int64_t m;
  const float* from;  // tile 0 at position 0
  int64_t position_stride;
  int64_t tiles, lanes;
  float bias;
  float* to;            // the first pixel of the row of tiles
  int64_t rows, width;  // of pixels that exist: rows <= m, width <= m tiles
  int64_t stride;       // from one row of pixels to the next
};
void winograd_output(const WinogradOutput& row);

/// All kernels of one channel of the result: weights [in][3][3] -> to[position * position_stride + in].
/// Writes `in`, made up to whole vectors of 16; the last are zeros. `stream`: past the caches.
void winograd_weights(int64_t m, const float* weights, int64_t in, float* to, int64_t position_stride,
                      bool stream);

}  // namespace cutaway::fast
