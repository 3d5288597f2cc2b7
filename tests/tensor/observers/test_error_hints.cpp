// Error hints: each known mistake, made on purpose, is recognised; and a
// mistake without a pattern gets no hint.
#include <doctest/doctest.h>

#include "tensor/observers/error_hints.h"
#include "tensor/ops.h"
#include "tensor/weight.h"
#include "tests/check.h"

namespace cutaway::observers {
namespace {

using test::random_tensor;

bool says(const Tensor& actual, const Tensor& expected, const std::string& part) {
  const std::string hint = error_hint(actual, expected);
  CAPTURE(hint);
  const bool found = hint.find(part) != std::string::npos;
  CHECK_MESSAGE(found, "'" << hint << "' should say '" << part << "'");
  return found;
}

Weight weight_of(const Tensor& values) { return Weight::of(values); }

// The last two axes exchanged, the numbers in their order: [.., H, W] read as [.., W, H].
Tensor turned_over(const Tensor& image) {
  Tensor turned(image.shape());
  const int64_t side = image.shape()[2];
  for (int64_t i = 0; i < image.count(); ++i) {
    const int64_t at = i % (side * side);
    turned.mutable_data()[i] = image.data()[i - at + at % side * side + at / side];
  }
  return turned;
}

TEST_CASE("hints: what each mistake looks like") {
  const Tensor image = random_tensor({2, 8, 6, 6}, 1), tokens = random_tensor({2, 9, 16}, 2);

  const std::vector<Tensor> halves = {slice(tokens, 2, 8, 16), slice(tokens, 2, 0, 8)};
  says(concat(halves, 2), tokens, "halves of the channels");
  says(scale(image, 2), image, "2 times as large");
  says(Tensor::filled({2, 8, 6, 6}, 0), image, "zero");
  says(turned_over(image), image, "exchanged");
}

TEST_CASE("hints: convolutions") {
  const Tensor x = random_tensor({1, 4, 9, 9}, 3);
  const Weight weight = weight_of(random_tensor({8, 4, 3, 3}, 4)), bias = weight_of(random_tensor({8}, 5));
  const Tensor right = conv2d(x, weight, bias, {.padding = Padding::all(1)});
  says(conv2d(x, weight, std::nullopt, {.padding = Padding::all(1)}), right, "bias");
  says(conv2d(x, weight, bias, {.padding = {.left = 2, .right = 0, .top = 2, .bottom = 0}}), right,
       "one pixel");
}

TEST_CASE("hints: norms and rounding") {
  const Tensor x = scale(random_tensor({1, 16, 8, 8}, 6), 1e-2F);
  const Weight weight = weight_of(random_tensor({16}, 7)), bias = weight_of(random_tensor({16}, 8));
  says(group_norm(x, weight, bias, 4, 1e-5F), group_norm(x, weight, bias, 4, 1e-6F), "eps");

  const Tensor exact = random_tensor({4, 64}, 9);
  std::vector<float> rounded;
  for (const float value : exact.values()) rounded.push_back(f16_to_f32(f32_to_f16(value)));
  says(Tensor(exact.shape(), rounded), exact, "half precision");
}

TEST_CASE("hints: none where nothing is known") {
  const Tensor a = random_tensor({2, 8, 6, 6}, 10), b = random_tensor({2, 8, 6, 6}, 11);
  CHECK(error_hint(a, b).empty());
  // An error that is small everywhere is not one of the border, just because little is left inside.
  CHECK(error_hint(add(a, scale(b, 1e-5F)), a).empty());
  CHECK(error_hint(random_tensor({2, 3}, 1), random_tensor({3, 2}, 1)).find("shapes differ") !=
        std::string::npos);
}

}  // namespace
}  // namespace cutaway::observers
