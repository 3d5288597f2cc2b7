// tensor/eigen/: the referee: matrix products by Eigen, when ref and fast disagree.
//
// The referee: the operations that are matrix products, computed by Eigen. All others have no version here.
#pragma once

#include "tensor/ops.h"

namespace cutaway::eigen {

Tensor conv2d(const Tensor& x, const Weight& weight, const std::optional<Weight>& bias,
              const Conv2dOptions& options);
Tensor linear(const Tensor& x, const Weight& weight, const std::optional<Weight>& bias);
Tensor matmul(const Tensor& a, const Tensor& b);
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options);
Tensor attention_probs(const Tensor& q, const Tensor& k, const AttentionOptions& options);

}  // namespace cutaway::eigen
