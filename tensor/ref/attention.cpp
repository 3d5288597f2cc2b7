// Attention, reference version: the whole table of weights is made, so that it can be looked at.
// "Attention Is All You Need" (Vaswani et al. 2017), eq. 1: Attention(Q, K, V) = softmax(Q K^T / sqrt(d)) V.
#include <cmath>
#include <limits>

#include "tensor/ref/ops.h"

namespace cutaway::ref {
namespace {

// scores[n, h, i, j] = q[n, h, i] . k[n, h, j] / sqrt(d) + mask[n, h, i, j];
// -infinity where j may not be seen
Tensor attention_scores(const Tensor& q, const Tensor& k, const AttentionOptions& options) {
  const int64_t images = q.shape()[0], heads = q.shape()[1], queries = q.shape()[2], d = q.shape()[3];
  const int64_t keys = k.shape()[2];
  const double scale = 1 / std::sqrt(static_cast<double>(d));
  Tensor result({images, heads, queries, keys});
  float* scores = result.mutable_data();

  for (int64_t n = 0; n < images; ++n) {
    for (int64_t h = 0; h < heads; ++h) {
      const float* mask = nullptr;  // [queries, keys], of this image and head or of all
      if (options.mask != nullptr) {
        const Shape& ms = options.mask->shape();
        const int64_t mask_n = ms[0] == 1 ? 0 : n, mask_h = ms[1] == 1 ? 0 : h;
        mask = options.mask->data() + (mask_n * ms[1] + mask_h) * queries * keys;
      }
      for (int64_t i = 0; i < queries; ++i) {
        const float* q_row = q.data() + ((n * heads + h) * queries + i) * d;
        for (int64_t j = 0; j < keys; ++j) {
          const float* k_row = k.data() + ((n * heads + h) * keys + j) * d;
          double dot = 0;
          for (int64_t c = 0; c < d; ++c) dot += static_cast<double>(q_row[c]) * k_row[c];
          double score = dot * scale;
          if (mask != nullptr) score += mask[i * keys + j];
          if (options.causal && j > i) score = -std::numeric_limits<double>::infinity();
          scores[((n * heads + h) * queries + i) * keys + j] = static_cast<float>(score);
        }
      }
    }
  }
  return result;
}

}  // namespace

Tensor attention_probs(const Tensor& q, const Tensor& k, const AttentionOptions& options) {
  const Tensor scores = attention_scores(q, k, options);  // [N, heads, Tq, Tk]
  return ref::softmax(scores, 3);                         // over the keys: each query's weights sum to 1
}

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options) {
  const Tensor probs = ref::attention_probs(q, k, options);
  return ref::matmul(probs, v);  // [N, heads, Tq, d]: for each query the mean of the values, by these weights
}

}  // namespace cutaway::ref
