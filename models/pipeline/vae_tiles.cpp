#include "models/pipeline/vae_tiles.h"

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "tensor/error.h"
#include "tensor/memory.h"

namespace cutaway {
namespace {

// Sizes in pixels of what goes in, and of what comes out.
struct Tiling {
  int64_t tile;    // in: each way
  int64_t step;    // in: from one tile to the next
  int64_t kept;    // out: of each tile but the last, from its beginning
  int64_t fading;  // out: overlap of two tiles
};

Tiling tiling(int64_t tile_in, int64_t tile_out) {
  const int64_t fading = tile_out / 4;
  return {tile_in, tile_in * 3 / 4, tile_out - fading, fading};
}

void must_be_tile(const AutoencoderKL& vae, int64_t tile) {
  const int64_t unit = 4 * vae.config.scale();  // a quarter of it is the overlap: whole latent pixels
  if (tile >= unit && tile % unit == 0) return;
  throw Error("the VAE's tiles are " + std::to_string(tile) + " pixels, but must be a multiple of " +
              std::to_string(unit));
}

// The first `extent` rows or columns, no more than there are.
Tensor beginning(const Tensor& x, int axis, int64_t extent) {
  return extent >= x.shape()[axis] ? x : slice(x, axis, 0, extent);
}

Tensor in_tiles(const Tensor& x, const Tiling& t, const std::function<Tensor(const Tensor&)>& run) {
  std::vector<Tensor> above, rows;
  for (int64_t top = 0; top < x.shape()[2]; top += t.step) {
    const Tensor band = slice(x, 2, top, std::min(top + t.tile, x.shape()[2]));
    std::vector<Tensor> row, pieces;
    for (int64_t left = 0; left < x.shape()[3]; left += t.step) {
      Tensor tile = run(slice(band, 3, left, std::min(left + t.tile, x.shape()[3])));
      if (!above.empty()) tile = faded(above[row.size()], tile, 2, t.fading);
      if (!row.empty()) tile = faded(row.back(), tile, 3, t.fading);
      row.push_back(tile);
      pieces.push_back(beginning(beginning(tile, 2, t.kept), 3, t.kept));
    }
    rows.push_back(concat(pieces, 3));
    above = std::move(row);
  }
  return concat(rows, 2);
}

}  // namespace

Tensor faded(const Tensor& before, const Tensor& tile, int axis, int64_t extent) {
  const Shape &shape = tile.shape(), &other = before.shape();
  extent = std::min({extent, shape[axis], other[axis]});
  Tensor result(shape);
  if (in_dry_run()) return result;
  float* y = result.mutable_data();
  std::copy_n(tile.data(), tile.count(), y);
  const int64_t height = axis == 2 ? extent : std::min(shape[2], other[2]);
  const int64_t width = axis == 3 ? extent : std::min(shape[3], other[3]);
  const int64_t from_row = axis == 2 ? other[2] - extent : 0, from_column = axis == 3 ? other[3] - extent : 0;
  for (int64_t plane = 0; plane < shape[0] * shape[1]; ++plane) {
    for (int64_t i = 0; i < height; ++i) {
      for (int64_t j = 0; j < width; ++j) {
        const float share = static_cast<float>(axis == 2 ? i : j) / static_cast<float>(extent);
        const float from = before.data()[(plane * other[2] + from_row + i) * other[3] + from_column + j];
        float& to = y[(plane * shape[2] + i) * shape[3] + j];
        to = (1 - share) * from + share * to;
      }
    }
  }
  return result;
}

Tensor decode_in_tiles(const AutoencoderKL& vae, const Tensor& latent, int64_t tile) {
  must_be_tile(vae, tile);
  const int64_t in = tile / vae.config.scale();
  if (latent.shape()[2] <= in && latent.shape()[3] <= in) return vae.decode(latent);
  return in_tiles(latent, tiling(in, tile), [&](const Tensor& z) { return vae.decode(z); });
}

Tensor moments_in_tiles(const AutoencoderKL& vae, const Tensor& picture, int64_t tile) {
  must_be_tile(vae, tile);
  if (picture.shape()[2] <= tile && picture.shape()[3] <= tile) return vae.moments(picture);
  return in_tiles(picture, tiling(tile, tile / vae.config.scale()),
                  [&](const Tensor& x) { return vae.moments(x); });
}

}  // namespace cutaway
