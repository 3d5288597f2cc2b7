// tensor/ref/: the operations to read: plain loops, the definition itself.
//
// The reference version of every operation: plain loops, the definition itself. Meant to be stepped through,
// never tuned. Sums are kept in double, so that what is left is the rounding of the result. Shapes have been
// checked by tensor/ops.cpp before these are called; `axis` arguments are from 0.
#pragma once

#include "tensor/ops.h"

namespace cutaway::ref {

Tensor conv2d(const Tensor& x, const Weight& weight, const std::optional<Weight>& bias,
              const Conv2dOptions& options);
Tensor conv_transpose2d(const Tensor& x, const Weight& weight, const std::optional<Weight>& bias,
                        const ConvTranspose2dOptions& options);
Tensor linear(const Tensor& x, const Weight& weight, const std::optional<Weight>& bias);
Tensor matmul(const Tensor& a, const Tensor& b);
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options);
Tensor attention_probs(const Tensor& q, const Tensor& k, const AttentionOptions& options);
Tensor group_norm(const Tensor& x, const Weight& weight, const Weight& bias, int64_t groups, float eps);
Tensor layer_norm(const Tensor& x, const Weight& weight, const Weight& bias, float eps);
Tensor batch_norm(const Tensor& x, const Weight& weight, const Weight& bias, const Weight& running_mean,
                  const Weight& running_var, float eps);
Tensor softmax(const Tensor& x, int axis);
Tensor silu(const Tensor& x);
Tensor gelu(const Tensor& x);
Tensor gelu_tanh(const Tensor& x);
Tensor quick_gelu(const Tensor& x);
Tensor relu(const Tensor& x);
Tensor leaky_relu(const Tensor& x, float negative_slope);
Tensor sigmoid(const Tensor& x);
Tensor tanh(const Tensor& x);
Tensor softplus(const Tensor& x);
Tensor exp(const Tensor& x);
Tensor clamp(const Tensor& x, float low, float high);
Tensor geglu(const Tensor& x);
Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
Tensor scale(const Tensor& x, float factor);
Tensor add_per_channel(const Tensor& x, const Tensor& shift);
Tensor add_to_each(const Tensor& x, const Tensor& item);
Tensor upsample_nearest(const Tensor& x, int64_t height, int64_t width);
Tensor upsample_bilinear(const Tensor& x, int64_t height, int64_t width, bool align_corners);
Tensor max_pool(const Tensor& x, int64_t size);
Tensor avg_pool(const Tensor& x, int64_t size);
Tensor pixel_unshuffle(const Tensor& x, int64_t factor);
Tensor pad(const Tensor& x, const Padding& padding);
Tensor concat(const std::vector<Tensor>& parts, int axis);
Tensor slice(const Tensor& x, int axis, int64_t begin, int64_t end);
Tensor to_tokens(const Tensor& x);
Tensor to_image(const Tensor& tokens, int64_t height, int64_t width);
Tensor split_heads(const Tensor& x, int64_t heads);
Tensor merge_heads(const Tensor& x);
Tensor embedding(const TokenIds& ids, const Weight& weight);
Tensor timestep_embedding(std::span<const float> t, int64_t dim, const TimestepOptions& options);

}  // namespace cutaway::ref
