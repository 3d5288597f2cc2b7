// Images of another size, reference version: upsampling, pooling, padding, blocks of pixels as channels.
// A plane is one channel of one image; all of these treat every plane alike.
#include <algorithm>
#include <cmath>

#include "tensor/ref/ops.h"

namespace cutaway::ref {
namespace {

// Where a pixel of the result lies between two pixels of the source, along one axis.
struct Between {
  int64_t before, after;
  double share_after;  // 0: at `before`, 1: at `after`
};

// Pixel centres are at 0.5, 1.5, ... With align_corners the first and the last centres fall on each other,
// else the borders of the images do; outside the outermost centres the outermost pixel goes on.
Between between(int64_t i, int64_t extent, int64_t new_extent, bool align_corners) {
  double position = 0;
  if (align_corners) {
    if (new_extent > 1) {
      position =
          static_cast<double>(i) * static_cast<double>(extent - 1) / static_cast<double>(new_extent - 1);
    }
  } else {
    const double step = static_cast<double>(extent) / static_cast<double>(new_extent);
    position = std::max(0.0, (static_cast<double>(i) + 0.5) * step - 0.5);
  }
  const int64_t before = std::min(static_cast<int64_t>(position), extent - 1);
  return {before, std::min(before + 1, extent - 1), position - static_cast<double>(before)};
}

}  // namespace

// y[oy, ox] = x[floor(oy H / height), floor(ox W / width)]
Tensor upsample_nearest(const Tensor& x, int64_t height, int64_t width) {
  const int64_t in_height = x.shape()[2], in_width = x.shape()[3],
                planes = x.count() / (in_height * in_width);
  Tensor result({x.shape()[0], x.shape()[1], height, width});
  float* y = result.mutable_data();
  for (int64_t plane = 0; plane < planes; ++plane) {
    for (int64_t oy = 0; oy < height; ++oy) {
      for (int64_t ox = 0; ox < width; ++ox) {
        const int64_t iy = oy * in_height / height, ix = ox * in_width / width;
        y[(plane * height + oy) * width + ox] = x.data()[(plane * in_height + iy) * in_width + ix];
      }
    }
  }
  return result;
}

Tensor upsample_bilinear(const Tensor& x, int64_t height, int64_t width, bool align_corners) {
  const int64_t in_height = x.shape()[2], in_width = x.shape()[3],
                planes = x.count() / (in_height * in_width);
  Tensor result({x.shape()[0], x.shape()[1], height, width});
  float* y = result.mutable_data();
  for (int64_t plane = 0; plane < planes; ++plane) {
    const float* in = x.data() + plane * in_height * in_width;
    for (int64_t oy = 0; oy < height; ++oy) {
      const Between v = between(oy, in_height, height, align_corners);
      for (int64_t ox = 0; ox < width; ++ox) {
        const Between h = between(ox, in_width, width, align_corners);
        const double above = in[v.before * in_width + h.before] * (1 - h.share_after) +
                             in[v.before * in_width + h.after] * h.share_after;
        const double below = in[v.after * in_width + h.before] * (1 - h.share_after) +
                             in[v.after * in_width + h.after] * h.share_after;
        y[(plane * height + oy) * width + ox] =
            static_cast<float>(above * (1 - v.share_after) + below * v.share_after);
      }
    }
  }
  return result;
}

// y[oy, ox] = max over ky, kx of x[oy size + ky, ox size + kx]
Tensor max_pool(const Tensor& x, int64_t size) {
  const int64_t in_height = x.shape()[2], in_width = x.shape()[3],
                planes = x.count() / (in_height * in_width);
  const int64_t height = in_height / size, width = in_width / size;  // a rest below `size` is left out
  Tensor result({x.shape()[0], x.shape()[1], height, width});
  float* y = result.mutable_data();
  for (int64_t plane = 0; plane < planes; ++plane) {
    const float* in = x.data() + plane * in_height * in_width;
    for (int64_t oy = 0; oy < height; ++oy) {
      for (int64_t ox = 0; ox < width; ++ox) {
        float largest = in[oy * size * in_width + ox * size];
        for (int64_t ky = 0; ky < size; ++ky) {
          for (int64_t kx = 0; kx < size; ++kx) {
            const float v = in[(oy * size + ky) * in_width + ox * size + kx];
            if (v > largest || std::isnan(v)) largest = v;  // a NaN wins, so that it can be found
          }
        }
        y[(plane * height + oy) * width + ox] = largest;
      }
    }
  }
  return result;
}

// y[oy, ox] = mean over ky, kx of x[oy size + ky, ox size + kx]
Tensor avg_pool(const Tensor& x, int64_t size) {
  const int64_t in_height = x.shape()[2], in_width = x.shape()[3],
                planes = x.count() / (in_height * in_width);
  const int64_t height = in_height / size, width = in_width / size;
  Tensor result({x.shape()[0], x.shape()[1], height, width});
  float* y = result.mutable_data();
  for (int64_t plane = 0; plane < planes; ++plane) {
    const float* in = x.data() + plane * in_height * in_width;
    for (int64_t oy = 0; oy < height; ++oy) {
      for (int64_t ox = 0; ox < width; ++ox) {
        double sum = 0;
        for (int64_t ky = 0; ky < size; ++ky) {
          for (int64_t kx = 0; kx < size; ++kx) sum += in[(oy * size + ky) * in_width + ox * size + kx];
        }
        y[(plane * height + oy) * width + ox] = static_cast<float>(sum / static_cast<double>(size * size));
      }
    }
  }
  return result;
}

// y[plane f f + by f + bx, oy, ox] = x[plane, oy f + by, ox f + bx]
Tensor pixel_unshuffle(const Tensor& x, int64_t factor) {
  const int64_t in_height = x.shape()[2], in_width = x.shape()[3],
                planes = x.count() / (in_height * in_width);
  const int64_t height = in_height / factor, width = in_width / factor;
  Tensor result({x.shape()[0], x.shape()[1] * factor * factor, height, width});
  float* y = result.mutable_data();
  for (int64_t plane = 0; plane < planes; ++plane) {
    for (int64_t by = 0; by < factor; ++by) {
      for (int64_t bx = 0; bx < factor; ++bx) {
        const int64_t out_plane = (plane * factor + by) * factor + bx;
        for (int64_t oy = 0; oy < height; ++oy) {
          for (int64_t ox = 0; ox < width; ++ox) {
            const int64_t iy = oy * factor + by, ix = ox * factor + bx;
            y[(out_plane * height + oy) * width + ox] = x.data()[(plane * in_height + iy) * in_width + ix];
          }
        }
      }
    }
  }
  return result;
}

// y[oy, ox] = x[oy - top, ox - left] inside the picture, else 0
Tensor pad(const Tensor& x, const Padding& padding) {
  const int64_t in_height = x.shape()[2], in_width = x.shape()[3],
                planes = x.count() / (in_height * in_width);
  const int64_t height = in_height + padding.top + padding.bottom;
  const int64_t width = in_width + padding.left + padding.right;
  Tensor result = Tensor::filled({x.shape()[0], x.shape()[1], height, width}, 0);
  float* y = result.mutable_data();
  for (int64_t plane = 0; plane < planes; ++plane) {
    for (int64_t iy = 0; iy < in_height; ++iy) {
      for (int64_t ix = 0; ix < in_width; ++ix) {
        const int64_t oy = iy + padding.top, ox = ix + padding.left;
        y[(plane * height + oy) * width + ox] = x.data()[(plane * in_height + iy) * in_width + ix];
      }
    }
  }
  return result;
}

}  // namespace cutaway::ref
