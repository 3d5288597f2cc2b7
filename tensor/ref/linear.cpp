// Matrix products, reference version.
#include "tensor/ref/ops.h"

namespace cutaway::ref {

// y[r, o] = bias[o] + sum over i of x[r, i] * weight[o, i]
Tensor linear(const Tensor& x, const Weight& weight, const std::optional<Weight>& bias) {
  const int64_t out = weight.shape[0], in = weight.shape[1], rows = x.count() / in;
  const WeightValues w = weight.f32();
  const WeightValues b = bias ? bias->f32() : WeightValues(Tensor::filled({out}, 0));  // no bias: zeros
  Tensor result(x.shape().with(-1, out));
  float* y = result.mutable_data();
  for (int64_t r = 0; r < rows; ++r) {
    const float* x_row = x.data() + r * in;
    for (int64_t o = 0; o < out; ++o) {
      const float* w_row = w.data() + o * in;
      double sum = b[o];
      for (int64_t i = 0; i < in; ++i) sum += static_cast<double>(x_row[i]) * w_row[i];
      y[r * out + o] = static_cast<float>(sum);
    }
  }
  return result;
}

// y[p, i, j] = sum over l of a[p, i, l] * b[p, l, j], where p counts the pairs of matrices
Tensor matmul(const Tensor& a, const Tensor& b) {
  const int64_t m = a.shape()[-2], k = a.shape()[-1], n = b.shape()[-1], pairs = a.count() / (m * k);
  Tensor result(a.shape().with(-1, n));
  float* y = result.mutable_data();
  for (int64_t p = 0; p < pairs; ++p) {
    const float* a_matrix = a.data() + p * m * k;
    const float* b_matrix = b.data() + p * k * n;
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (int64_t l = 0; l < k; ++l) sum += static_cast<double>(a_matrix[i * k + l]) * b_matrix[l * n + j];
        y[(p * m + i) * n + j] = static_cast<float>(sum);
      }
    }
  }
  return result;
}

}  // namespace cutaway::ref
