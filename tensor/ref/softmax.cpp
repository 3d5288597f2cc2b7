// Softmax, reference version.
#include <algorithm>
#include <cmath>

#include "tensor/ref/ops.h"

namespace cutaway::ref {

// y[o, k, i] = exp(x[o, k, i] - max) / sum over k of exp(x[o, k, i] - max), where k runs
// along the axis, o counts what is before it and i what is after it. Taking the largest away
// changes nothing but keeps exp from overflow.
Tensor softmax(const Tensor& x, int axis) {
  const int64_t extent = x.shape()[axis];
  int64_t inner = 1;
  for (int later = axis + 1; later < x.shape().rank(); ++later) inner *= x.shape()[later];
  const int64_t outer = x.count() / (extent * inner);
  Tensor result(x.shape());
  float* y = result.mutable_data();
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t i = 0; i < inner; ++i) {
      const float* from = x.data() + o * extent * inner + i;
      float* to = y + o * extent * inner + i;
      double largest = from[0];
      for (int64_t k = 1; k < extent; ++k) largest = std::max<double>(largest, from[k * inner]);
      double sum = 0;
      for (int64_t k = 0; k < extent; ++k) sum += std::exp(from[k * inner] - largest);
      for (int64_t k = 0; k < extent; ++k)
        to[k * inner] = static_cast<float>(std::exp(from[k * inner] - largest) / sum);
    }
  }
  return result;
}

}  // namespace cutaway::ref
