// The trick: exp by vectors of 4, 8 or 16 numbers, without a call, a branch or a table (vector_math.h). Each
// function is written once and compiled for every instruction set; threads take pieces of the tensor.
#include "tensor/fast/ops.h"
#include "tensor/fast/parallel.h"
#include "tensor/fast/simd.h"
#include "tensor/fast/vector_math.h"

namespace cutaway::fast {
namespace {

// y[i] = function(x[i]). The last numbers are done by a whole vector, too, so
// that a result never depends on its place.
template <int width, class Function>
CUTAWAY_INLINE void on_each(const float* x, float* y, int64_t count, const Function& function) {
  using S = Simd<width>;
  typename S::Vec v;
  int64_t i = 0;
  for (; i + width <= count; i += width) {
    S::load(v, x + i);
    function(v);
    S::store(v, y + i);
  }
  if (i < count) {
    S::load_some(v, x + i, count - i, 0);
    function(v);
    S::store_some(v, y + i, count - i);
  }
}

// Two numbers that some activations need, and none the others.
struct Parameters {
  float first = 0, second = 0;
};
using Kernel = void (*)(const float* x, float* y, int64_t count, const Parameters& parameters);

// An activation: its formula on a vector `x`, as three kernels and one that picks.
#define CUTAWAY_ACTIVATION(name, ...)                                                               \
  template <int width>                                                                              \
  CUTAWAY_INLINE void name##_body(const float* from, float* to, int64_t count,                      \
                                  [[maybe_unused]] const Parameters& parameters) {                  \
    using M [[maybe_unused]] = Math<width>;                                                         \
    using Vec = typename M::Vec;                                                                    \
    on_each<width>(                                                                                 \
        from, to, count, [&](Vec & x) __attribute__((always_inline)) { __VA_ARGS__; });             \
  }                                                                                                 \
  CUTAWAY_LADDER(name, (const float* from, float* to, int64_t count, const Parameters& parameters), \
                 (from, to, count, parameters))

CUTAWAY_ACTIVATION(silu_values, Vec s = x; M::sigmoid(s); x *= s)
CUTAWAY_ACTIVATION(gelu_values, M::gelu(x))
CUTAWAY_ACTIVATION(sigmoid_values, M::sigmoid(x))
CUTAWAY_ACTIVATION(tanh_values, M::tanh(x))
CUTAWAY_ACTIVATION(softplus_values, M::softplus(x))
CUTAWAY_ACTIVATION(exp_values, M::exp(x))
CUTAWAY_ACTIVATION(relu_values, x = x < 0.0F ? Vec{} : x)
CUTAWAY_ACTIVATION(leaky_relu_values, x = x < 0.0F ? x * parameters.first : x)
CUTAWAY_ACTIVATION(clamp_values, M::clamp(x, parameters.first, parameters.second))

// x (1 + tanh(u)) / 2 = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
CUTAWAY_ACTIVATION(gelu_tanh_values, Vec s = x * (x * x * 0.0713548163F + 1.59576912F); M::sigmoid(s); x *= s)

// 1.702 = 1.701171875 (eleven bits) + 0.000828125, so that 1.702 x keeps what its rounding would take.
CUTAWAY_ACTIVATION(quick_gelu_values, Vec upper, lower; M::split(x, upper, lower);
                   Vec s = upper * 1.701171875F; M::sigmoid(s, lower * 1.702F + upper * 0.000828125F); x *= s)

Tensor apply(Kernel kernel, const Tensor& x, const Parameters& parameters = {}) {
  Tensor result(x.shape());
  float* const y = result.mutable_data();
  in_pieces((x.count() + 15) / 16, x.count(), [&](int64_t begin, int64_t end) {
    const int64_t first = 16 * begin;
    kernel(x.data() + first, y + first, std::min(16 * end, x.count()) - first, parameters);
  });
  return result;
}

template <int width>
CUTAWAY_INLINE void geglu_row_body(const float* x, float* y, int64_t d) {
  using S = Simd<width>;
  typename S::Vec value, gate;
  int64_t i = 0;
  for (; i + width <= d; i += width) {
    S::load(value, x + i);
    S::load(gate, x + d + i);
    Math<width>::gelu(gate);
    S::store(value * gate, y + i);
  }
  if (i < d) {
    S::load_some(value, x + i, d - i, 0);
    S::load_some(gate, x + d + i, d - i, 0);
    Math<width>::gelu(gate);
    S::store_some(value * gate, y + i, d - i);
  }
}
CUTAWAY_LADDER(geglu_row, (const float* x, float* y, int64_t d), (x, y, d))

}  // namespace

Tensor silu(const Tensor& x) { return apply(silu_values, x); }
Tensor gelu(const Tensor& x) { return apply(gelu_values, x); }
Tensor gelu_tanh(const Tensor& x) { return apply(gelu_tanh_values, x); }
Tensor quick_gelu(const Tensor& x) { return apply(quick_gelu_values, x); }
Tensor relu(const Tensor& x) { return apply(relu_values, x); }
Tensor leaky_relu(const Tensor& x, float negative_slope) {
  return apply(leaky_relu_values, x, {negative_slope});
}
Tensor sigmoid(const Tensor& x) { return apply(sigmoid_values, x); }
Tensor tanh(const Tensor& x) { return apply(tanh_values, x); }
Tensor softplus(const Tensor& x) { return apply(softplus_values, x); }
Tensor exp(const Tensor& x) { return apply(exp_values, x); }
Tensor clamp(const Tensor& x, float low, float high) { return apply(clamp_values, x, {low, high}); }

Tensor geglu(const Tensor& x) {
  const int64_t d = x.shape()[-1] / 2, rows = x.count() / (2 * d);
  Tensor result(x.shape().with(-1, d));
  float* const y = result.mutable_data();
  in_pieces(rows, x.count(), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) geglu_row(x.data() + r * 2 * d, y + r * d, d);
  });
  return result;
}

}  // namespace cutaway::fast
