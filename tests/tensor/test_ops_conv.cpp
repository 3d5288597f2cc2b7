// Convolutions and matrix products by hand, and against the equation written another way.
#include "tensor/ref/ops.h"
#include "tests/tensor/test_ops.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

const std::optional<Weight> no_bias;

float at(const Tensor& x, int64_t n, int64_t c, int64_t y, int64_t column) {
  const Shape& s = x.shape();
  return x.data()[((n * s[1] + c) * s[2] + y) * s[3] + column];
}

}  // namespace

TEST_CASE("ref conv2d: one window by hand") {
  const Tensor x = tensor_of({1, 1, 3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  const Weight weight = weight_of({1, 1, 2, 2}, {1, 10, 100, 1000});
  const Tensor y = ref::conv2d(x, weight, weight_of({1}, {0.5F}), {});
  // 1 x 1 + 2 x 10 + 4 x 100 + 5 x 1000 + 0.5, and so on: the kernel is not turned round
  CHECK_CLOSE(y, tensor_of({1, 1, 2, 2}, {5421.5F, 6532.5F, 8754.5F, 9865.5F}), 0);
  const Tensor turned =
      ref::conv2d(x, weight_of({1, 1, 2, 2}, {1000, 100, 10, 1}), weight_of({1}, {0.5F}), {});
  check_twin(turned, y, 1e-6);
}

TEST_CASE("ref conv2d: zeros around the picture") {
  const Tensor x = tensor_of({1, 1, 2, 2}, {1, 2, 3, 4});
  const Weight ones = Weight::of(Tensor::filled({1, 1, 3, 3}, 1));
  CHECK_CLOSE(ref::conv2d(x, ones, no_bias, {.padding = Padding::all(1)}), Tensor::filled({1, 1, 2, 2}, 10),
              0);
  const Tensor left_only =
      ref::conv2d(x, weight_of({1, 1, 1, 2}, {1, 10}), no_bias, {.padding = {.left = 1}});
  CHECK_CLOSE(left_only, tensor_of({1, 1, 2, 2}, {10, 21, 30, 43}), 0);
  const Tensor right_only =
      ref::conv2d(x, weight_of({1, 1, 1, 2}, {1, 10}), no_bias, {.padding = {.right = 1}});
  CHECK_CLOSE(right_only, tensor_of({1, 1, 2, 2}, {21, 2, 43, 4}), 0);
  const Tensor top_only = ref::conv2d(x, weight_of({1, 1, 2, 1}, {1, 10}), no_bias, {.padding = {.top = 1}});
  CHECK_CLOSE(top_only, tensor_of({1, 1, 2, 2}, {10, 20, 31, 42}), 0);
  const Tensor bottom_only =
      ref::conv2d(x, weight_of({1, 1, 2, 1}, {1, 10}), no_bias, {.padding = {.bottom = 1}});
  CHECK_CLOSE(bottom_only, tensor_of({1, 1, 2, 2}, {31, 42, 3, 4}), 0);
}

TEST_CASE("ref conv2d: halving as the VAE does it pads right and bottom only") {
  const Tensor x = random_tensor({2, 3, 8, 6}, 1);
  const Weight weight = Weight::of(random_tensor({4, 3, 3, 3}, 2));
  const Tensor y = ref::conv2d(x, weight, no_bias, {.stride = 2, .padding = {.right = 1, .bottom = 1}});
  CHECK(y.shape() == Shape{2, 4, 4, 3});
  CHECK_CLOSE(ref::conv2d(ref::pad(x, {.right = 1, .bottom = 1}), weight, no_bias, {.stride = 2}), y, 1e-6);
  // Twins of the same shape: one pixel on every side, as the UNet does it; left and top.
  check_twin(ref::conv2d(x, weight, no_bias, {.stride = 2, .padding = Padding::all(1)}), y, 1e-5);
  check_twin(ref::conv2d(x, weight, no_bias, {.stride = 2, .padding = {.left = 1, .top = 1}}), y, 1e-5);
}

TEST_CASE("ref conv2d: stride and dilation choose every second pixel") {
  const Tensor x = counting({1, 1, 5, 5});
  const Tensor strided = ref::conv2d(x, weight_of({1, 1, 1, 1}, {1}), no_bias, {.stride = 2});
  CHECK_CLOSE(strided, tensor_of({1, 1, 3, 3}, {0, 2, 4, 10, 12, 14, 20, 22, 24}), 0);
  const Weight corners = weight_of({1, 1, 2, 2}, {1, 0, 0, 1000});
  const Tensor dilated = ref::conv2d(x, corners, no_bias, {.dilation = 3});
  CHECK_CLOSE(dilated, tensor_of({1, 1, 2, 2}, {18000, 19001, 23005, 24006}), 0);
}

TEST_CASE("ref conv2d: sizes follow the formula of torch.nn.Conv2d") {
  for (const int64_t stride : {1, 2, 3}) {
    for (const int64_t dilation : {1, 2}) {
      for (const int64_t bottom : {0, 1}) {
        const Conv2dOptions options{stride, {.top = 1, .bottom = bottom}, dilation, 1};
        const Tensor y = ref::conv2d(Tensor::filled({1, 1, 9, 9}, 1),
                                     Weight::of(Tensor::filled({1, 1, 3, 3}, 1)), no_bias, options);
        CHECK(y.shape()[2] == (9 + 1 + bottom - dilation * 2 - 1) / stride + 1);
        CHECK(y.shape()[3] == (9 - dilation * 2 - 1) / stride + 1);
      }
    }
  }
}

TEST_CASE("ref conv2d: groups are separate convolutions side by side") {
  const Tensor x = random_tensor({2, 6, 5, 4}, 1);
  const Tensor kernels = random_tensor({8, 3, 3, 3}, 2), biases = random_tensor({8}, 3);
  const Conv2dOptions one{.padding = Padding::all(1)};
  Conv2dOptions two = one;
  two.groups = 2;
  const Tensor y = ref::conv2d(x, Weight::of(kernels), Weight::of(biases), two);
  const auto half = [&](int64_t g) {
    return ref::conv2d(ref::slice(x, 1, 3 * g, 3 * g + 3),
                       Weight::of(ref::slice(kernels, 0, 4 * g, 4 * g + 4)),
                       Weight::of(ref::slice(biases, 0, 4 * g, 4 * g + 4)), one);
  };
  CHECK_CLOSE(y, ref::concat({half(0), half(1)}, 1), 0);
  check_twin(ref::concat({half(1), half(0)}, 1), y, 1e-5);
}

TEST_CASE("ref conv2d: the equation as written, with everything at once") {
  const Tensor x = random_tensor({2, 4, 7, 6}, 1), kernels = random_tensor({6, 2, 3, 2}, 2);
  const Tensor biases = random_tensor({6}, 3);
  const Conv2dOptions options{
      .stride = 2, .padding = {.left = 2, .right = 1, .top = 0, .bottom = 3}, .dilation = 2, .groups = 2};
  const Tensor y = ref::conv2d(x, Weight::of(kernels), Weight::of(biases), options);
  REQUIRE(y.shape() == Shape{2, 6, 3, 4});
  const Tensor padded = ref::pad(x, options.padding);
  for (int64_t n = 0; n < 2; ++n) {
    for (int64_t o = 0; o < 6; ++o) {
      for (int64_t oy = 0; oy < 3; ++oy) {
        for (int64_t ox = 0; ox < 4; ++ox) {
          double sum = biases.data()[o];
          for (int64_t tap = 0; tap < 2 * 3 * 2; ++tap) {
            const int64_t i = tap / 6, ky = tap / 2 % 3, kx = tap % 2;
            sum += static_cast<double>(at(kernels, o, i, ky, kx)) *
                   at(padded, n, o / 3 * 2 + i, oy * 2 + ky * 2, ox * 2 + kx * 2);
          }
          CHECK(at(y, n, o, oy, ox) == doctest::Approx(sum).epsilon(1e-6));
        }
      }
    }
  }
}

TEST_CASE("ref conv_transpose2d: every pixel stamps its kernel") {
  const Tensor x = tensor_of({1, 1, 1, 2}, {1, 10});
  const Weight weight = weight_of({1, 1, 2, 2}, {1, 2, 3, 4});
  const Tensor apart = ref::conv_transpose2d(x, weight, weight_of({1}, {100}), {.stride = 2});
  CHECK_CLOSE(apart, tensor_of({1, 1, 2, 4}, {101, 102, 110, 120, 103, 104, 130, 140}), 0);
  const Tensor overlapping = ref::conv_transpose2d(x, weight, no_bias, {.stride = 1});
  CHECK_CLOSE(overlapping, tensor_of({1, 1, 2, 3}, {1, 12, 20, 3, 34, 40}), 0);
}

TEST_CASE("ref conv_transpose2d: padding takes pixels from every side of the result") {
  const Tensor x = random_tensor({2, 3, 4, 5}, 1);
  const Weight weight = Weight::of(random_tensor({3, 2, 4, 4}, 2));
  const Tensor whole = ref::conv_transpose2d(x, weight, no_bias, {.stride = 2});
  const Tensor cut = ref::conv_transpose2d(x, weight, no_bias, {.stride = 2, .padding = 1});
  CHECK_CLOSE(cut, ref::slice(ref::slice(whole, 2, 1, 9), 3, 1, 11), 0);
}

TEST_CASE("ref conv_transpose2d: is the transpose of conv2d") {
  // <conv(u), v> = <u, conv_transpose(v)> for the same kernel, read as
  // [out, in] by one and [in, out] by the other
  const Weight weight = Weight::of(random_tensor({4, 3, 3, 3}, 1));
  const Tensor u = random_tensor({1, 3, 7, 9}, 2), v = random_tensor({1, 4, 4, 5}, 3);
  const Tensor forward = ref::conv2d(u, weight, no_bias, {.stride = 2, .padding = Padding::all(1)});
  const Tensor back = ref::conv_transpose2d(v, weight, no_bias, {.stride = 2, .padding = 1});
  REQUIRE(forward.shape() == v.shape());
  REQUIRE(back.shape() == u.shape());
  double left = 0, right = 0;
  for (int64_t i = 0; i < v.count(); ++i) left += static_cast<double>(forward.data()[i]) * v.data()[i];
  for (int64_t i = 0; i < u.count(); ++i) right += static_cast<double>(u.data()[i]) * back.data()[i];
  CHECK(left == doctest::Approx(right).epsilon(1e-6));
}

TEST_CASE("ref conv_transpose2d: the weight is [in, out], not [out, in]") {
  const Tensor x = random_tensor({1, 2, 3, 3}, 1), kernels = random_tensor({2, 2, 2, 2}, 2);
  const Tensor other =
      ref::split_heads(kernels.reshaped({1, 2, 8}), 2).reshaped({2, 2, 2, 2});  // first axes swapped
  check_twin(ref::conv_transpose2d(x, Weight::of(other), no_bias, {.stride = 2}),
             ref::conv_transpose2d(x, Weight::of(kernels), no_bias, {.stride = 2}), 1e-5);
}

TEST_CASE("ref linear: y = x W^T + b by hand") {
  const Tensor x = tensor_of({2, 3}, {1, 2, 3, 4, 5, 6});
  const Weight weight = weight_of({2, 3}, {1, 10, 100, -1, 0, 1});
  CHECK_CLOSE(ref::linear(x, weight, weight_of({2}, {0.5F, 0})), tensor_of({2, 2}, {321.5F, 2, 654.5F, 2}),
              0);
  CHECK_CLOSE(ref::linear(x, weight, no_bias), tensor_of({2, 2}, {321, 2, 654, 2}), 0);
}

TEST_CASE("ref linear: only the last axis changes") {
  const Weight weight = Weight::of(random_tensor({5, 4}, 1));
  const Tensor x = random_tensor({2, 3, 6, 4}, 2);
  const Tensor y = ref::linear(x, weight, no_bias);
  CHECK(y.shape() == Shape{2, 3, 6, 5});
  CHECK_CLOSE(ref::linear(x.reshaped({36, 4}), weight, no_bias).reshaped({2, 3, 6, 5}), y, 0);
  CHECK(ref::linear(x.reshaped({144}).reshaped({36, 4}), weight, no_bias).count() == 180);
}

TEST_CASE("ref linear: x W is a twin when W is square") {
  const Tensor x = random_tensor({3, 4}, 1), square = random_tensor({4, 4}, 2);
  check_twin(ref::matmul(x, square), ref::linear(x, Weight::of(square), no_bias), 1e-5);
}

TEST_CASE("ref matmul: by hand, and each pair of matrices by itself") {
  const Tensor a = tensor_of({2, 3}, {1, 2, 3, 4, 5, 6}), b = tensor_of({3, 2}, {1, 0, 0, 1, 10, 100});
  CHECK_CLOSE(ref::matmul(a, b), tensor_of({2, 2}, {31, 302, 64, 605}), 0);
  const Tensor pairs = ref::matmul(random_tensor({2, 3, 4, 5}, 1), random_tensor({2, 3, 5, 6}, 2));
  CHECK(pairs.shape() == Shape{2, 3, 4, 6});
  const Tensor last = ref::matmul(ref::slice(random_tensor({6, 4, 5}, 1), 0, 5, 6).reshaped({4, 5}),
                                  ref::slice(random_tensor({6, 5, 6}, 2), 0, 5, 6).reshaped({5, 6}));
  CHECK_CLOSE(ref::slice(pairs.reshaped({6, 4, 6}), 0, 5, 6).reshaped({4, 6}), last, 0);
}

TEST_CASE("ref sums are kept in double") {
  // 1e8 + 1 - 1e8 = 1, where a float32 sum would lose the 1.
  const Weight row = weight_of({1, 3}, {1e8F, 1, -1e8F});
  const Tensor ones = Tensor::filled({1, 3}, 1);
  CHECK(ref::linear(ones, row, no_bias).data()[0] == 1);
  CHECK(ref::conv2d(ones.reshaped({1, 3, 1, 1}), weight_of({1, 3, 1, 1}, {1e8F, 1, -1e8F}), no_bias, {})
            .data()[0] == 1);
  CHECK(ref::matmul(ones, tensor_of({3, 1}, {1e8F, 1, -1e8F})).data()[0] == 1);
}
