// The same numbers in another order, reference version.
#include "tensor/ref/ops.h"

namespace cutaway::ref {
namespace {

// How many numbers one step along `axis` passes over.
int64_t count_after(const Shape& shape, int axis) {
  int64_t count = 1;
  for (int later = axis + 1; later < shape.rank(); ++later) count *= shape[later];
  return count;
}

}  // namespace

// y[o, offset + k, i] = part[o, k, i], where k runs along the axis, o
// counts what is before it, i what is after it
Tensor concat(const std::vector<Tensor>& parts, int axis) {
  int64_t joined = 0;
  for (const Tensor& part : parts) joined += part.shape()[axis];
  Tensor result(parts.front().shape().with(axis, joined));
  float* y = result.mutable_data();
  const int64_t inner = count_after(result.shape(), axis), outer = result.count() / (joined * inner);
  int64_t offset = 0;
  for (const Tensor& part : parts) {
    const int64_t extent = part.shape()[axis];
    for (int64_t o = 0; o < outer; ++o) {
      for (int64_t k = 0; k < extent; ++k) {
        for (int64_t i = 0; i < inner; ++i) {
          y[(o * joined + offset + k) * inner + i] = part.data()[(o * extent + k) * inner + i];
        }
      }
    }
    offset += extent;
  }
  return result;
}

// y[o, k, i] = x[o, begin + k, i]
Tensor slice(const Tensor& x, int axis, int64_t begin, int64_t end) {
  const int64_t extent = x.shape()[axis], taken = end - begin;
  const int64_t inner = count_after(x.shape(), axis), outer = x.count() / (extent * inner);
  Tensor result(x.shape().with(axis, taken));
  float* y = result.mutable_data();
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t k = 0; k < taken; ++k) {
      for (int64_t i = 0; i < inner; ++i) {
        y[(o * taken + k) * inner + i] = x.data()[(o * extent + begin + k) * inner + i];
      }
    }
  }
  return result;
}

// tokens[n, t, c] = x[n, c, t], where t = row W + column counts the pixels
Tensor to_tokens(const Tensor& x) {
  const int64_t images = x.shape()[0], channels = x.shape()[1], pixels = x.shape()[2] * x.shape()[3];
  Tensor result({images, pixels, channels});
  float* tokens = result.mutable_data();
  for (int64_t n = 0; n < images; ++n) {
    for (int64_t t = 0; t < pixels; ++t) {
      for (int64_t c = 0; c < channels; ++c) {
        tokens[(n * pixels + t) * channels + c] = x.data()[(n * channels + c) * pixels + t];
      }
    }
  }
  return result;
}

// y[n, c, t] = tokens[n, t, c]
Tensor to_image(const Tensor& tokens, int64_t height, int64_t width) {
  const int64_t images = tokens.shape()[0], channels = tokens.shape()[2], pixels = height * width;
  Tensor result({images, channels, height, width});
  float* y = result.mutable_data();
  for (int64_t n = 0; n < images; ++n) {
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t t = 0; t < pixels; ++t) {
        y[(n * channels + c) * pixels + t] = tokens.data()[(n * pixels + t) * channels + c];
      }
    }
  }
  return result;
}

// y[n, h, t, c] = x[n, t, h d + c]: the first d channels are head 0
Tensor split_heads(const Tensor& x, int64_t heads) {
  const int64_t images = x.shape()[0], length = x.shape()[1], d = x.shape()[2] / heads;
  Tensor result({images, heads, length, d});
  float* y = result.mutable_data();
  for (int64_t n = 0; n < images; ++n) {
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t t = 0; t < length; ++t) {
        for (int64_t c = 0; c < d; ++c) {
          y[((n * heads + h) * length + t) * d + c] = x.data()[((n * length + t) * heads + h) * d + c];
        }
      }
    }
  }
  return result;
}

// y[n, t, h d + c] = x[n, h, t, c]
Tensor merge_heads(const Tensor& x) {
  const int64_t images = x.shape()[0], heads = x.shape()[1], length = x.shape()[2], d = x.shape()[3];
  Tensor result({images, length, heads * d});
  float* y = result.mutable_data();
  for (int64_t n = 0; n < images; ++n) {
    for (int64_t t = 0; t < length; ++t) {
      for (int64_t h = 0; h < heads; ++h) {
        for (int64_t c = 0; c < d; ++c) {
          y[((n * length + t) * heads + h) * d + c] = x.data()[((n * heads + h) * length + t) * d + c];
        }
      }
    }
  }
  return result;
}

}  // namespace cutaway::ref
