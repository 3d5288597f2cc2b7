// GroupNorm and LayerNorm: mean 0, variance 1, then scale and shift.
#include <doctest/doctest.h>

#include "nn/norm.h"
#include "tests/check.h"

using namespace cutaway;

namespace {

Weight all(int64_t count, float value) { return Weight::of(Tensor::filled({count}, value)); }

double mean_square(std::span<const float> values) {
  double sum = 0;
  for (const float value : values) sum += double{value} * value;
  return sum / static_cast<double>(values.size());
}

}  // namespace

TEST_CASE("GroupNorm: every group has mean 0 and variance 1, then the scale and shift of each channel") {
  GroupNorm norm(2, 4, 1e-5F);
  norm.weight = all(4, 1);
  norm.bias = all(4, 0);
  const Tensor x = add(scale(test::random_tensor({1, 4, 3, 5}, 1), 7), Tensor::filled({1, 4, 3, 5}, 3));
  const Tensor y = norm(x);
  for (const int64_t group : {0, 2}) {
    const Tensor part = slice(y, 1, group, group + 2);
    CHECK(mean_square(part.values()) == doctest::Approx(1).epsilon(1e-4));
  }
  GroupNorm one_group = norm;
  one_group.groups = 1;
  CHECK_DIFFERS(one_group(x), y, 1e-3F);
  norm.weight = all(4, 2);
  norm.bias = all(4, 5);
  CHECK_CLOSE(norm(x), add(scale(y, 2), Tensor::filled(y.shape(), 5)), 1e-5F);
}

TEST_CASE("LayerNorm: every token for itself, with eps 1e-5") {
  LayerNorm norm(8);
  CHECK(norm.eps == 1e-5F);
  norm.weight = all(8, 1);
  norm.bias = all(8, 0);
  const Tensor x = test::random_tensor({1, 3, 8}, 1);
  const Tensor y = norm(x);
  for (const int64_t token : {0, 1, 2})
    CHECK(mean_square(slice(y, 1, token, token + 1).values()) == doctest::Approx(1).epsilon(1e-3));
  CHECK_CLOSE(slice(norm(concat({slice(x, 1, 0, 1), scale(slice(x, 1, 1, 3), -4)}, 1)), 1, 0, 1),
              slice(y, 1, 0, 1), 0);
}
