// The trick: what lies side by side in both orders is moved as one run, and where rows become columns,
// squares small enough for the cache are turned over one after another, so that no line of memory is fetched
// more than once.
#include <algorithm>
#include <cstring>

#include "tensor/fast/gemm.h"
#include "tensor/fast/ops.h"
#include "tensor/fast/parallel.h"

namespace cutaway::fast {
namespace {

int64_t count_after(const Shape& shape, int axis) {
  int64_t count = 1;
  for (int later = axis + 1; later < shape.rank(); ++later) count *= shape[later];
  return count;
}

void copy_run(const float* from, int64_t count, float* to) {
  std::memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
}

// `matrices` times [rows, columns] -> [columns, rows]
void transpose_all(const float* from, int64_t matrices, int64_t rows, int64_t columns, float* to) {
  constexpr int64_t side = 64;  // 64 x 64 floats are 16 KiB
  const int64_t down = (rows + side - 1) / side, across = (columns + side - 1) / side;
  in_pieces(matrices * down * across, matrices * rows * columns, [&](int64_t begin, int64_t end) {
    for (int64_t square = begin; square < end; ++square) {
      const int64_t matrix = square / (down * across) * rows * columns;
      const int64_t row = square / across % down * side, column = square % across * side;
      transpose(from + matrix + row * columns + column, columns, std::min(side, rows - row),
                std::min(side, columns - column), to + matrix + column * rows + row, rows);
    }
  });
}

}  // namespace

Tensor concat(const std::vector<Tensor>& parts, int axis) {
  int64_t joined = 0;
  for (const Tensor& part : parts) joined += part.shape()[axis];
  Tensor result(parts.front().shape().with(axis, joined));
  float* const y = result.mutable_data();
  const int64_t inner = count_after(result.shape(), axis), outer = result.count() / (joined * inner);
  int64_t offset = 0;
  for (const Tensor& part : parts) {
    const int64_t run = part.shape()[axis] * inner;  // lies side by side in the part and in the result
    if (outer == 1) {
      in_pieces(run, run, [&](int64_t begin, int64_t end) {
        copy_run(part.data() + begin, end - begin, y + offset + begin);
      });
    } else {
      in_pieces(outer, part.count(), [&](int64_t begin, int64_t end) {
        for (int64_t o = begin; o < end; ++o)
          copy_run(part.data() + o * run, run, y + o * joined * inner + offset);
      });
    }
    offset += run;
  }
  return result;
}

Tensor slice(const Tensor& x, int axis, int64_t begin, int64_t end) {
  const int64_t extent = x.shape()[axis], inner = count_after(x.shape(), axis);
  const int64_t outer = x.count() / (extent * inner), run = (end - begin) * inner;
  Tensor result(x.shape().with(axis, end - begin));
  float* const y = result.mutable_data();
  in_pieces(outer, result.count(), [&](int64_t first, int64_t last) {
    for (int64_t o = first; o < last; ++o)
      copy_run(x.data() + (o * extent + begin) * inner, run, y + o * run);
  });
  return result;
}

Tensor to_tokens(const Tensor& x) {
  const int64_t images = x.shape()[0], channels = x.shape()[1], pixels = x.shape()[2] * x.shape()[3];
  Tensor result({images, pixels, channels});
  transpose_all(x.data(), images, channels, pixels, result.mutable_data());
  return result;
}

Tensor to_image(const Tensor& tokens, int64_t height, int64_t width) {
  const int64_t images = tokens.shape()[0], channels = tokens.shape()[2];
  Tensor result({images, channels, height, width});
  transpose_all(tokens.data(), images, height * width, channels, result.mutable_data());
  return result;
}

Tensor split_heads(const Tensor& x, int64_t heads) {
  const int64_t images = x.shape()[0], length = x.shape()[1], d = x.shape()[2] / heads;
  Tensor result({images, heads, length, d});
  float* const y = result.mutable_data();
  in_pieces(images * heads * length, x.count(), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t n = i / (heads * length), h = i / length % heads, t = i % length;
      copy_run(x.data() + ((n * length + t) * heads + h) * d, d, y + i * d);
    }
  });
  return result;
}

Tensor merge_heads(const Tensor& x) {
  const int64_t images = x.shape()[0], heads = x.shape()[1], length = x.shape()[2], d = x.shape()[3];
  Tensor result({images, length, heads * d});
  float* const y = result.mutable_data();
  in_pieces(images * length * heads, x.count(), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t n = i / (heads * length), t = i / heads % length, h = i % heads;
      copy_run(x.data() + ((n * heads + h) * length + t) * d, d, y + i * d);
    }
  });
  return result;
}

}  // namespace cutaway::fast
