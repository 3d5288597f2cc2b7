// Products in bfloat16: the same as products in float32 of the numbers rounded beforehand, on every machine.
#include "tensor/backend.h"

#include <limits>

#include "tensor/error.h"
#include "tensor/fast/bf16.h"
#include "tensor/fast/ops.h"
#include "tensor/ref/ops.h"
#include "tests/tensor/test_ops.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

struct InBf16 {
  InBf16() { choose_precision("bf16"); }
  InBf16(const InBf16&) = delete;
  InBf16& operator=(const InBf16&) = delete;
  ~InBf16() { choose_precision("f32"); }
};

Tensor rounded(const Tensor& x) {
  Tensor y(x.shape());
  for (int64_t i = 0; i < x.count(); ++i) y.mutable_data()[i] = bf16_to_f32(f32_to_bf16(x.data()[i]));
  return y;
}

}  // namespace

TEST_CASE("bf16: each number becomes the nearest") {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> values = {0,         -0.0F,    1,        1.00390625F, 1.01171875F, -3.14159F,
                                     1e-40F,    3.39e38F, infinity, -infinity,   65504,       1.0039063F,
                                     0.333333F, 7,        1e30F,    -1e-30F,     2.5F};
  on_every_machine(
      [&] {
        Tensor y({static_cast<int64_t>(values.size())}, values);
        fast::round_to_bf16(y.mutable_data(), y.count());
        return y;
      },
      [&](const Tensor& y) {
        for (size_t i = 0; i < values.size(); ++i) {
          CAPTURE(values[i]);
          CHECK(y.data()[i] == bf16_to_f32(f32_to_bf16(values[i])));
        }
      });
  float nan = std::numeric_limits<float>::signaling_NaN();
  fast::round_to_bf16(&nan, 1);
  CHECK(std::isnan(nan));
}

TEST_CASE("bf16: linear layers and convolutions multiply rounded numbers") {
  const InBf16 in_bf16;
  struct Sizes {
    int64_t rows, in, out;
  };
  for (const Sizes& s :
       {Sizes{9, 1, 1}, Sizes{33, 17, 50}, Sizes{100, 301, 95}, Sizes{400, 31, 70}, Sizes{64, 768, 48}}) {
    CAPTURE(s.in);
    const Tensor x = random_tensor({1, s.rows, s.in}, 1), w = random_tensor({s.out, s.in}, 2);
    const Weight bias = Weight::of(random_tensor({s.out}, 3));
    check_versions(ref::linear(rounded(x), Weight::of(rounded(w)), bias), within::products(s.in),
                   [&] { return fast::linear(x, Weight::of(w), bias); });
  }
  const Tensor x = random_tensor({2, 35, 9, 11}, 4);
  for (const int64_t side : {1, 3}) {
    const Tensor w = random_tensor({21, 35, side, side}, 5);
    const Conv2dOptions options{.stride = 2, .padding = Padding::all(side / 2)};
    check_versions(ref::conv2d(rounded(x), Weight::of(rounded(w)), {}, options),
                   within::products(35 * side * side),
                   [&] { return fast::conv2d(x, Weight::of(w), {}, options); });
  }
}

TEST_CASE("bf16: attention is right to a hundredth, and in f32 where the processor has no bf16 product") {
  const Tensor q = random_tensor({1, 2, 70, 41}, 1), k = random_tensor({1, 2, 205, 41}, 2),
               v = random_tensor({1, 2, 205, 41}, 3);
  const Tensor exact = ref::attention(q, k, v, {});
  const Tensor in_f32 = fast::attention(q, k, v, {});
  const InBf16 in_bf16;
  check_versions(exact, 0.01, [&] { return fast::attention(q, k, v, {}); });
  if (has_bf16_product())
    CHECK_DIFFERS(fast::attention(q, k, v, {}), in_f32, 1e-5);
  else
    CHECK_CLOSE(fast::attention(q, k, v, {}), in_f32, 0);
  check_versions(ref::attention_probs(q, k, {}), 0.03, [&] { return fast::attention_probs(q, k, {}); });
}

TEST_CASE("bf16: names") {
  CHECK_THROWS_AS(choose_precision("f16"), Error);
  CHECK(current_precision() == Precision::f32);
  CHECK(to_string(Precision::bf16) == std::string("bf16"));
}
