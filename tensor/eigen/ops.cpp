// The referee: matrix products by Eigen, one thread, so that its results depend on nothing of ours.
#ifndef EIGEN_DONT_PARALLELIZE
#define EIGEN_DONT_PARALLELIZE
#endif
#include "tensor/eigen/ops.h"

#include <Eigen/Core>
#include <cmath>
#include <limits>

namespace cutaway::eigen {
namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using MatrixMap = Eigen::Map<Matrix>;
using ConstMatrixMap = Eigen::Map<const Matrix>;
using ConstVectorMap = Eigen::Map<const Eigen::VectorXf>;

// How a convolution's window lies on one image.
struct Window {
  int64_t channels, height, width, kh, kw, out_height, out_width;
};

// columns[(i, ky, kx), (oy, ox)] = the value of channel i under tap (ky, kx) for pixel (oy, ox) of the result
Matrix image_to_columns(const float* image, const Window& w, const Conv2dOptions& options) {
  Matrix columns = Matrix::Zero(w.channels * w.kh * w.kw, w.out_height * w.out_width);
  for (int64_t row = 0; row < columns.rows(); ++row) {
    const int64_t i = row / (w.kh * w.kw), ky = row / w.kw % w.kh, kx = row % w.kw;
    for (int64_t column = 0; column < columns.cols(); ++column) {
      const int64_t oy = column / w.out_width, ox = column % w.out_width;
      const int64_t iy = oy * options.stride + ky * options.dilation - options.padding.top;
      const int64_t ix = ox * options.stride + kx * options.dilation - options.padding.left;
      if (iy < 0 || iy >= w.height || ix < 0 || ix >= w.width) continue;
      columns(row, column) = image[(i * w.height + iy) * w.width + ix];
    }
  }
  return columns;
}

// q k^T / sqrt(d) + mask of one head of one image, then the softmax of each row.
Matrix probs_of_head(const ConstMatrixMap& q, const ConstMatrixMap& k, const float* mask, bool causal) {
  Matrix scores = q * k.transpose() / std::sqrt(static_cast<float>(q.cols()));
  if (mask != nullptr) scores += ConstMatrixMap(mask, scores.rows(), scores.cols());
  if (causal) {
    scores.triangularView<Eigen::StrictlyUpper>().setConstant(-std::numeric_limits<float>::infinity());
  }
  scores.colwise() -= scores.rowwise().maxCoeff().eval();
  scores = scores.array().exp();
  scores.array().colwise() /= scores.rowwise().sum().array().eval();
  return scores;
}

const float* mask_of_head(const Tensor* mask, int64_t n, int64_t h) {
  if (mask == nullptr) return nullptr;
  const Shape& shape = mask->shape();
  const int64_t mask_n = shape[0] == 1 ? 0 : n, mask_h = shape[1] == 1 ? 0 : h;
  return mask->data() + (mask_n * shape[1] + mask_h) * shape[2] * shape[3];
}

}  // namespace

Tensor conv2d(const Tensor& x, const Weight& weight, const std::optional<Weight>& bias,
              const Conv2dOptions& options) {
  const int64_t images = x.shape()[0], in = x.shape()[1], height = x.shape()[2], width = x.shape()[3];
  const int64_t out = weight.shape[0], kh = weight.shape[2], kw = weight.shape[3];
  const int64_t in_per_group = weight.shape[1], out_per_group = out / options.groups;
  const Padding& p = options.padding;
  const int64_t out_height =
      (height + p.top + p.bottom - options.dilation * (kh - 1) - 1) / options.stride + 1;
  const int64_t out_width = (width + p.left + p.right - options.dilation * (kw - 1) - 1) / options.stride + 1;
  const Window window{in_per_group, height, width, kh, kw, out_height, out_width};
  const int64_t taps = in_per_group * kh * kw, pixels = out_height * out_width;

  const WeightValues w = weight.f32();
  const WeightValues b = bias ? bias->f32() : WeightValues(Tensor::filled({out}, 0));
  Tensor result({images, out, out_height, out_width});
  for (int64_t n = 0; n < images; ++n) {
    for (int64_t g = 0; g < options.groups; ++g) {
      const float* image = x.data() + (n * in + g * in_per_group) * height * width;
      const Matrix columns = image_to_columns(image, window, options);
      const ConstMatrixMap kernels(w.data() + g * out_per_group * taps, out_per_group, taps);
      MatrixMap y(result.mutable_data() + (n * out + g * out_per_group) * pixels, out_per_group, pixels);
      y.noalias() = kernels * columns;
      y.colwise() += ConstVectorMap(b.data() + g * out_per_group, out_per_group);
    }
  }
  return result;
}

Tensor linear(const Tensor& x, const Weight& weight, const std::optional<Weight>& bias) {
  const int64_t out = weight.shape[0], in = weight.shape[1], rows = x.count() / in;
  const WeightValues w = weight.f32();
  const WeightValues b = bias ? bias->f32() : WeightValues(Tensor::filled({out}, 0));
  Tensor result(x.shape().with(-1, out));
  MatrixMap y(result.mutable_data(), rows, out);
  y.noalias() = ConstMatrixMap(x.data(), rows, in) * ConstMatrixMap(w.data(), out, in).transpose();
  y.rowwise() += ConstVectorMap(b.data(), out).transpose();
  return result;
}

Tensor matmul(const Tensor& a, const Tensor& b) {
  const int64_t m = a.shape()[-2], k = a.shape()[-1], n = b.shape()[-1], pairs = a.count() / (m * k);
  Tensor result(a.shape().with(-1, n));
  for (int64_t p = 0; p < pairs; ++p) {
    MatrixMap y(result.mutable_data() + p * m * n, m, n);
    y.noalias() = ConstMatrixMap(a.data() + p * m * k, m, k) * ConstMatrixMap(b.data() + p * k * n, k, n);
  }
  return result;
}

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options) {
  const int64_t heads = q.shape()[1], queries = q.shape()[2], keys = k.shape()[2], d = q.shape()[3];
  Tensor result(q.shape());
  for (int64_t head = 0; head < q.shape()[0] * heads; ++head) {  // every head of every image
    const ConstMatrixMap q_head(q.data() + head * queries * d, queries, d);
    const ConstMatrixMap k_head(k.data() + head * keys * d, keys, d);
    const ConstMatrixMap v_head(v.data() + head * keys * d, keys, d);
    const float* mask = mask_of_head(options.mask, head / heads, head % heads);
    MatrixMap y(result.mutable_data() + head * queries * d, queries, d);
    y.noalias() = probs_of_head(q_head, k_head, mask, options.causal) * v_head;
  }
  return result;
}

Tensor attention_probs(const Tensor& q, const Tensor& k, const AttentionOptions& options) {
  const int64_t heads = q.shape()[1], queries = q.shape()[2], keys = k.shape()[2], d = q.shape()[3];
  Tensor result(q.shape().with(3, keys));
  for (int64_t head = 0; head < q.shape()[0] * heads; ++head) {
    const ConstMatrixMap q_head(q.data() + head * queries * d, queries, d);
    const ConstMatrixMap k_head(k.data() + head * keys * d, keys, d);
    const float* mask = mask_of_head(options.mask, head / heads, head % heads);
    MatrixMap probs(result.mutable_data() + head * queries * keys, queries, keys);
    probs = probs_of_head(q_head, k_head, mask, options.causal);
  }
  return result;
}

}  // namespace cutaway::eigen
