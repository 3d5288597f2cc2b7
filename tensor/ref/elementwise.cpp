// Sums, differences and products value by value, reference version.
#include "tensor/ref/ops.h"

namespace cutaway::ref {

Tensor add(const Tensor& a, const Tensor& b) {
  Tensor result(a.shape());
  float* y = result.mutable_data();
  for (int64_t i = 0; i < a.count(); ++i) y[i] = a.data()[i] + b.data()[i];
  return result;
}

Tensor sub(const Tensor& a, const Tensor& b) {
  Tensor result(a.shape());
  float* y = result.mutable_data();
  for (int64_t i = 0; i < a.count(); ++i) y[i] = a.data()[i] - b.data()[i];
  return result;
}

Tensor mul(const Tensor& a, const Tensor& b) {
  Tensor result(a.shape());
  float* y = result.mutable_data();
  for (int64_t i = 0; i < a.count(); ++i) y[i] = a.data()[i] * b.data()[i];
  return result;
}

Tensor scale(const Tensor& x, float factor) {
  Tensor result(x.shape());
  float* y = result.mutable_data();
  for (int64_t i = 0; i < x.count(); ++i) y[i] = x.data()[i] * factor;
  return result;
}

// y[n, c, i] = x[n, c, i] + shift[n, c]
Tensor add_per_channel(const Tensor& x, const Tensor& shift) {
  const int64_t images = x.shape()[0], channels = x.shape()[1], pixels = x.shape()[2] * x.shape()[3];
  Tensor result(x.shape());
  float* y = result.mutable_data();
  for (int64_t n = 0; n < images; ++n) {
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t i = 0; i < pixels; ++i) {
        const int64_t at = (n * channels + c) * pixels + i;
        y[at] = x.data()[at] + shift.data()[n * channels + c];
      }
    }
  }
  return result;
}

// y[n, i] = x[n, i] + item[i]
Tensor add_to_each(const Tensor& x, const Tensor& item) {
  const int64_t images = x.shape()[0], values = item.count();
  Tensor result(x.shape());
  float* y = result.mutable_data();
  for (int64_t n = 0; n < images; ++n) {
    for (int64_t i = 0; i < values; ++i) y[n * values + i] = x.data()[n * values + i] + item.data()[i];
  }
  return result;
}

}  // namespace cutaway::ref
