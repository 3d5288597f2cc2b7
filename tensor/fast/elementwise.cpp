// These wait for memory, not for arithmetic: plain loops, which the compiler
// turns into vectors, and threads by pieces.
#include "tensor/fast/ops.h"
#include "tensor/fast/parallel.h"

namespace cutaway::fast {
namespace {

template <class Formula>
Tensor pairwise(const Tensor& a, const Tensor& b, const Formula& formula) {
  Tensor result(a.shape());
  float* const y = result.mutable_data();
  const float *const a_data = a.data(), *const b_data = b.data();
  in_pieces(a.count(), a.count(), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = formula(a_data[i], b_data[i]);
  });
  return result;
}

}  // namespace

Tensor add(const Tensor& a, const Tensor& b) {
  return pairwise(a, b, [](float u, float v) { return u + v; });
}
Tensor sub(const Tensor& a, const Tensor& b) {
  return pairwise(a, b, [](float u, float v) { return u - v; });
}
Tensor mul(const Tensor& a, const Tensor& b) {
  return pairwise(a, b, [](float u, float v) { return u * v; });
}

Tensor scale(const Tensor& x, float factor) {
  Tensor result(x.shape());
  float* const y = result.mutable_data();
  const float* const from = x.data();
  in_pieces(x.count(), x.count(), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = from[i] * factor;
  });
  return result;
}

Tensor add_per_channel(const Tensor& x, const Tensor& shift) {
  const int64_t pixels = x.shape()[2] * x.shape()[3];
  Tensor result(x.shape());
  float* const y = result.mutable_data();
  const float* const from = x.data();
  in_pieces(shift.count(), x.count(), [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) {
      const float added = shift.data()[plane];
      for (int64_t i = plane * pixels; i < (plane + 1) * pixels; ++i) y[i] = from[i] + added;
    }
  });
  return result;
}

Tensor add_to_each(const Tensor& x, const Tensor& item) {
  const int64_t images = x.shape()[0], values = item.count();
  Tensor result(x.shape());
  float* const y = result.mutable_data();
  const float *const from = x.data(), *const added = item.data();
  in_pieces(values, x.count(), [&](int64_t begin, int64_t end) {
    for (int64_t n = 0; n < images; ++n) {
      for (int64_t i = begin; i < end; ++i) y[n * values + i] = from[n * values + i] + added[i];
    }
  });
  return result;
}

}  // namespace cutaway::fast
