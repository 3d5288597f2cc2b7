// 3 x 3 convolution with fewer multiplications.   Doc: docs/performance.md
#pragma once

#include <cstdint>
#include <optional>

#include "tensor/ops.h"

namespace cutaway::fast {

/// The side of the tiles in which winograd() is the fastest way to this convolution: 2, 4, or 0 if the direct
/// way is. It depends on the shape of one image alone, so that a batch changes no result.
int64_t winograd_side(const Shape& x, const Shape& weight, const Conv2dOptions& options);

/// conv2d for 3 x 3 weights, stride 1, no dilation, one group; side 2 or 4.
Tensor winograd(const Tensor& x, const Weight& weight, const std::optional<Weight>& bias,
                const Padding& padding, int64_t side);

}  // namespace cutaway::fast
