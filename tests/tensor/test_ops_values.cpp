// Activations and elementwise operations by hand, and the twins that look alike.
#include <limits>
#include <numbers>

#include "tensor/ref/ops.h"
#include "tests/tensor/test_ops.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

// -8, -7.75, ..., 8
Tensor grid() {
  Tensor x(Shape{65});
  for (int64_t i = 0; i < 65; ++i) x.mutable_data()[i] = static_cast<float>(i - 32) / 4;
  return x;
}

template <class F>
void check_equation(const Tensor& y, const F& equation) {
  const Tensor x = grid();
  for (int64_t i = 0; i < x.count(); ++i) {
    CAPTURE(x.data()[i]);
    CHECK(y.data()[i] == doctest::Approx(equation(static_cast<double>(x.data()[i]))).epsilon(1e-6));
  }
}

double sigmoid_of(double v) { return 1 / (1 + std::exp(-v)); }

// The share of a normal distribution below v, by adding up its density: Phi without the error function.
double normal_below(double v) {
  const double step = 1e-3;
  double sum = 0;
  for (double t = -12; t < v - step / 2; t += step)
    sum += std::exp(-(t + step / 2) * (t + step / 2) / 2) * step;
  return sum / std::sqrt(2 * std::numbers::pi);
}

}  // namespace

TEST_CASE("ref activations: their equations") {
  const Tensor x = grid();
  check_equation(ref::silu(x), [](double v) { return v * sigmoid_of(v); });
  check_equation(ref::quick_gelu(x), [](double v) { return v * sigmoid_of(1.702 * v); });
  check_equation(ref::sigmoid(x), sigmoid_of);
  check_equation(ref::tanh(x), [](double v) { return 1 - 2 / (std::exp(2 * v) + 1); });
  check_equation(ref::exp(x), [](double v) { return std::pow(std::numbers::e, v); });
  check_equation(ref::softplus(x), [](double v) { return std::log(1 + std::exp(v)); });
  check_equation(ref::relu(x), [](double v) { return v > 0 ? v : 0; });
  check_equation(ref::leaky_relu(x, 0.2F), [](double v) { return v > 0 ? v : 0.2 * v; });
  check_equation(ref::clamp(x, -1, 2.5F), [](double v) { return v < -1 ? -1 : v > 2.5 ? 2.5 : v; });
}

TEST_CASE("ref activations: known points") {
  const Tensor x = tensor_of(Shape{3}, {-1, 0, 1});
  CHECK_CLOSE(ref::silu(x), tensor_of(Shape{3}, {-0.26894142F, 0, 0.73105858F}), 1e-7);
  CHECK_CLOSE(ref::gelu(x), tensor_of(Shape{3}, {-0.15865525F, 0, 0.84134475F}), 1e-7);  // 1 sigma: 84.13 %
  CHECK_CLOSE(ref::gelu_tanh(x), tensor_of(Shape{3}, {-0.15880801F, 0, 0.84119199F}), 1e-7);
  CHECK_CLOSE(ref::softplus(x), tensor_of(Shape{3}, {0.3132616875F, 0.6931471806F, 1.3132616875F}), 1e-7);
}

TEST_CASE("ref gelu: x times the share of a normal distribution below x") {
  for (const float v : {-3.0F, -1.0F, -0.5F, 0.25F, 1.0F, 2.0F}) {
    const double y = ref::gelu(tensor_of(Shape{1}, {v})).data()[0];
    CHECK(std::fabs(y - v * normal_below(v)) < 1e-5);
  }
}

TEST_CASE("activations: the gelus and silu are near each other, but not the same") {
  const Tensor x = grid(), exact = ref::gelu(x);
  const auto differ = [&](const Tensor& twin, double at_least, double at_most) {
    const double worst = difference(twin, exact).max_abs;
    CHECK(worst > at_least);
    CHECK(worst < at_most);
  };
  differ(ref::gelu_tanh(x), 1e-4, 1e-3);  // the tolerance of a test must be below these
  differ(ref::quick_gelu(x), 1e-2, 3e-2);
  differ(ref::silu(x), 1e-1, 3e-1);
}

TEST_CASE("ref activations: far out they do not overflow") {
  const Tensor x = tensor_of(Shape{4}, {-1e4F, -100, 100, 1e4F});
  CHECK_CLOSE(ref::silu(x), tensor_of(Shape{4}, {0, 0, 100, 1e4F}), 1e-30);
  CHECK_CLOSE(ref::quick_gelu(x), tensor_of(Shape{4}, {0, 0, 100, 1e4F}), 1e-30);
  CHECK_CLOSE(ref::gelu(x), tensor_of(Shape{4}, {0, 0, 100, 1e4F}), 1e-30);
  CHECK_CLOSE(ref::gelu_tanh(x), tensor_of(Shape{4}, {0, 0, 100, 1e4F}), 1e-30);
  CHECK_CLOSE(ref::sigmoid(x), tensor_of(Shape{4}, {0, 0, 1, 1}), 1e-30);
  CHECK_CLOSE(ref::tanh(x), tensor_of(Shape{4}, {-1, -1, 1, 1}), 0);
  CHECK_CLOSE(ref::softplus(x), tensor_of(Shape{4}, {0, 0, 100, 1e4F}), 1e-30);
  CHECK_CLOSE(ref::exp(x), tensor_of(Shape{4}, {0, 0, infinity, infinity}), 1e-30);
}

TEST_CASE("ref geglu: the first half is the value, the second half the gate") {
  const Tensor x = tensor_of({1, 4}, {3, -2, 1, 0.5F});
  const Tensor y = ref::geglu(x);
  CHECK_CLOSE(y, tensor_of({1, 2}, {3 * 0.84134475F, -2 * 0.34573123F}), 1e-6);
  const Tensor value = tensor_of({1, 2}, {3, -2}), gate = tensor_of({1, 2}, {1, 0.5F});
  CHECK_CLOSE(y, ref::mul(value, ref::gelu(gate)), 1e-6);
  check_twin(ref::mul(ref::gelu(value), gate), y, 1e-5);  // halves exchanged
  check_twin(ref::mul(value, ref::gelu_tanh(gate)), y, 1e-6);
  check_twin(ref::mul(value, ref::silu(gate)), y, 1e-5);
}

TEST_CASE("ref geglu: half and half of the last axis, row by row") {
  const Tensor x = random_tensor({2, 3, 8}, 1);
  const Tensor expected = ref::mul(ref::slice(x, 2, 0, 4), ref::gelu(ref::slice(x, 2, 4, 8)));
  CHECK_CLOSE(ref::geglu(x), expected, 1e-6);
}

TEST_CASE("ref elementwise operations: by hand") {
  const Tensor a = tensor_of({2, 2}, {1, 2, 3, 4}), b = tensor_of({2, 2}, {10, 20, 30, -40});
  CHECK_CLOSE(ref::add(a, b), tensor_of({2, 2}, {11, 22, 33, -36}), 0);
  CHECK_CLOSE(ref::sub(a, b), tensor_of({2, 2}, {-9, -18, -27, 44}), 0);
  CHECK_CLOSE(ref::mul(a, b), tensor_of({2, 2}, {10, 40, 90, -160}), 0);
  CHECK_CLOSE(ref::scale(a, -0.5F), tensor_of({2, 2}, {-0.5F, -1, -1.5F, -2}), 0);
}

TEST_CASE("ref add_per_channel: one number for every pixel of a channel of an image") {
  const Tensor shift = tensor_of({2, 2}, {1, 2, 10, 20});
  const Tensor y = ref::add_per_channel(counting({2, 2, 1, 3}), shift);
  CHECK_CLOSE(y, tensor_of({2, 2, 1, 3}, {1, 2, 3, 5, 6, 7, 16, 17, 18, 29, 30, 31}), 0);
}

TEST_CASE("ref add_to_each: the same for each item of the batch") {
  const Tensor y = ref::add_to_each(counting({2, 2, 2}), tensor_of({1, 2, 2}, {10, 20, 30, 40}));
  CHECK_CLOSE(y, tensor_of({2, 2, 2}, {10, 21, 32, 43, 14, 25, 36, 47}), 0);
}

TEST_CASE("operations leave their inputs as they are") {
  const Tensor x = grid();
  Tensor copy(x.shape(), x.values());
  silu(x);
  scale(x, 3);
  add(x, x);
  clamp(x, 0, 0);
  CHECK_CLOSE(x, copy, 0);
}

TEST_CASE("operations run the version that was chosen") {
  const std::string before = chosen_backend();
  const Tensor x = random_tensor({2, 70}, 1);
  const Weight weight = Weight::of(random_tensor({9, 70}, 2));
  choose_backend("ref");
  CHECK_CLOSE(linear(x, weight, std::nullopt), ref::linear(x, weight, std::nullopt), 0);
  choose_backend("eigen");
  const Tensor by_eigen = linear(x, weight, std::nullopt);
  CHECK_CLOSE(silu(x), ref::silu(x), 0);  // no matrix product: the definition
  choose_backend(before);
  CHECK(difference(by_eigen, ref::linear(x, weight, std::nullopt)).max_abs > 0);  // float32 sums, not double
  CHECK(difference(by_eigen, ref::linear(x, weight, std::nullopt)).max_abs < 1e-4);
}
