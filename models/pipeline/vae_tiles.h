// The VAE in overlapping tiles: large pictures in little memory.   Doc: docs/memory.md
#pragma once

#include "models/vae.h"

namespace cutaway {

// As AutoencoderKL.tiled_decode and tiled_encode of diffusers do: tiles of `tile` pixels of the picture each
// way begin every 3/4 of a tile, and where two of them overlap, one fades linearly into the other. Each tile
// has statistics of its own in every GroupNorm, so the result is near that of the whole picture, not equal.
// A picture that fits into one tile is not cut.

/// latent: [N, 4, h, w]   ->   [N, 3, 8 h, 8 w]. Throws Error unless a tile is at least 4 latent pixels.
Tensor decode_in_tiles(const AutoencoderKL& vae, const Tensor& latent, int64_t tile);
/// picture: [N, 3, H, W]   ->   the moments, [N, 8, H / 8, W / 8]
Tensor moments_in_tiles(const AutoencoderKL& vae, const Tensor& picture, int64_t tile);

/// `tile`, whose first `extent` rows (axis 2) or columns (axis 3) fade in from the last ones of `before`,
/// which lies above or left of it: row y becomes (1 - y / extent) before + (y / extent) tile.
Tensor faded(const Tensor& before, const Tensor& tile, int axis, int64_t extent);

}  // namespace cutaway
