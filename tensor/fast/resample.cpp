// The trick: which pixels a pixel of the result comes from is worked out once for all rows and all columns,
// not for each pixel of each plane; rows that repeat are copied. Threads take planes (one channel of one
// image each) or rows.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "tensor/fast/ops.h"
#include "tensor/fast/parallel.h"

namespace cutaway::fast {
namespace {

int64_t planes_of(const Tensor& x) { return x.shape()[0] * x.shape()[1]; }

// Where a pixel of the result lies between two pixels of the source, along one axis.
struct Between {
  int64_t before, after;
  double share_after;
};

std::vector<Between> places_between(int64_t extent, int64_t new_extent, bool align_corners) {
  std::vector<Between> places(static_cast<size_t>(new_extent));
  const double step = align_corners && new_extent > 1
                          ? static_cast<double>(extent - 1) / static_cast<double>(new_extent - 1)
                          : static_cast<double>(extent) / static_cast<double>(new_extent);
  for (int64_t i = 0; i < new_extent; ++i) {
    double position = std::max(0.0, (static_cast<double>(i) + 0.5) * step - 0.5);
    if (align_corners) position = new_extent > 1 ? static_cast<double>(i) * step : 0;
    const int64_t before = std::min(static_cast<int64_t>(position), extent - 1);
    places[static_cast<size_t>(i)] = {before, std::min(before + 1, extent - 1),
                                      position - static_cast<double>(before)};
  }
  return places;
}

}  // namespace

Tensor upsample_nearest(const Tensor& x, int64_t height, int64_t width) {
  const int64_t in_height = x.shape()[2], in_width = x.shape()[3];
  std::vector<int64_t> column(static_cast<size_t>(width));
  for (int64_t ox = 0; ox < width; ++ox) column[static_cast<size_t>(ox)] = ox * in_width / width;
  Tensor result({x.shape()[0], x.shape()[1], height, width});
  float* const y = result.mutable_data();
  in_pieces(planes_of(x), result.count(), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin * height; row < end * height; ++row) {
      const int64_t plane = row / height, oy = row % height, iy = oy * in_height / height;
      const float* const from = x.data() + (plane * in_height + iy) * in_width;
      float* const to = y + row * width;
      if (oy > 0 && (oy - 1) * in_height / height == iy) {
        std::memcpy(to, to - width, static_cast<size_t>(width) * sizeof(float));
      } else if (width == 2 * in_width) {
        for (int64_t ix = 0; ix < in_width; ++ix) to[2 * ix] = to[2 * ix + 1] = from[ix];
      } else {
        for (int64_t ox = 0; ox < width; ++ox) to[ox] = from[column[static_cast<size_t>(ox)]];
      }
    }
  });
  return result;
}

Tensor upsample_bilinear(const Tensor& x, int64_t height, int64_t width, bool align_corners) {
  const int64_t in_height = x.shape()[2], in_width = x.shape()[3];
  const std::vector<Between> rows = places_between(in_height, height, align_corners);
  const std::vector<Between> columns = places_between(in_width, width, align_corners);
  Tensor result({x.shape()[0], x.shape()[1], height, width});
  float* const y = result.mutable_data();
  in_pieces(planes_of(x) * height, 8 * result.count(), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const Between& v = rows[static_cast<size_t>(row % height)];
      const float* const plane = x.data() + row / height * in_height * in_width;
      const float *const above = plane + v.before * in_width, *const below = plane + v.after * in_width;
      for (int64_t ox = 0; ox < width; ++ox) {
        const Between& h = columns[static_cast<size_t>(ox)];
        const double upper = above[h.before] * (1 - h.share_after) + above[h.after] * h.share_after;
        const double lower = below[h.before] * (1 - h.share_after) + below[h.after] * h.share_after;
        y[row * width + ox] = static_cast<float>(upper * (1 - v.share_after) + lower * v.share_after);
      }
    }
  });
  return result;
}

namespace {

// Every row of the result from the `size` rows of x under it: work(first row, distance of rows, result row).
template <class Work>
Tensor pooled(const Tensor& x, int64_t size, const Work& work) {
  const int64_t in_height = x.shape()[2], in_width = x.shape()[3];
  const int64_t height = in_height / size, width = in_width / size;
  Tensor result({x.shape()[0], x.shape()[1], height, width});
  float* const y = result.mutable_data();
  in_pieces(planes_of(x) * height, x.count(), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* const from = x.data() + (row / height * in_height + row % height * size) * in_width;
      work(from, in_width, y + row * width, width);
    }
  });
  return result;
}

}  // namespace

Tensor max_pool(const Tensor& x, int64_t size) {
  return pooled(x, size, [size](const float* from, int64_t in_width, float* to, int64_t width) {
    for (int64_t ox = 0; ox < width; ++ox) {
      float largest = from[ox * size];
      for (int64_t ky = 0; ky < size; ++ky) {
        for (int64_t kx = 0; kx < size; ++kx) {
          const float v = from[ky * in_width + ox * size + kx];
          largest = v > largest || std::isnan(v) ? v : largest;  // a NaN wins, so that it can be found
        }
      }
      to[ox] = largest;
    }
  });
}

Tensor avg_pool(const Tensor& x, int64_t size) {
  return pooled(x, size, [size](const float* from, int64_t in_width, float* to, int64_t width) {
    for (int64_t ox = 0; ox < width; ++ox) {
      double sum = 0;
      for (int64_t ky = 0; ky < size; ++ky) {
        for (int64_t kx = 0; kx < size; ++kx) sum += from[ky * in_width + ox * size + kx];
      }
      to[ox] = static_cast<float>(sum / static_cast<double>(size * size));
    }
  });
}

Tensor pixel_unshuffle(const Tensor& x, int64_t factor) {
  const int64_t in_height = x.shape()[2], in_width = x.shape()[3];
  const int64_t height = in_height / factor, width = in_width / factor;
  Tensor result({x.shape()[0], x.shape()[1] * factor * factor, height, width});
  float* const y = result.mutable_data();
  in_pieces(planes_of(result), x.count(), [&](int64_t begin, int64_t end) {
    for (int64_t out_plane = begin; out_plane < end; ++out_plane) {
      const int64_t plane = out_plane / (factor * factor);
      const int64_t by = out_plane / factor % factor, bx = out_plane % factor;
      for (int64_t oy = 0; oy < height; ++oy) {
        const float* const from = x.data() + (plane * in_height + oy * factor + by) * in_width + bx;
        for (int64_t ox = 0; ox < width; ++ox) y[(out_plane * height + oy) * width + ox] = from[ox * factor];
      }
    }
  });
  return result;
}

Tensor pad(const Tensor& x, const Padding& padding) {
  const int64_t in_height = x.shape()[2], in_width = x.shape()[3];
  const int64_t height = in_height + padding.top + padding.bottom;
  const int64_t width = in_width + padding.left + padding.right;
  Tensor result({x.shape()[0], x.shape()[1], height, width});
  float* const y = result.mutable_data();
  in_pieces(planes_of(x) * height, result.count(), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t iy = row % height - padding.top;
      float* const to = y + row * width;
      if (iy < 0 || iy >= in_height) {
        std::fill_n(to, width, 0.0F);
        continue;
      }
      std::fill_n(to, padding.left, 0.0F);
      std::copy_n(x.data() + (row / height * in_height + iy) * in_width, in_width, to + padding.left);
      std::fill_n(to + padding.left + in_width, padding.right, 0.0F);
    }
  });
  return result;
}

}  // namespace cutaway::fast
