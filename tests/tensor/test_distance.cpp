// How far two tensors are apart.
#include "tensor/distance.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

using namespace cutaway;

TEST_CASE("distance: the largest difference, where it is, over the largest value, and the angle") {
  const Tensor expected({2, 2}, std::vector<float>{3, 0, 4, 0}),
      actual({2, 2}, std::vector<float>{3, 0, 4, 2});
  const Distance d = distance(actual, expected);
  CHECK(d.max_abs == 2);
  CHECK(d.relative == 0.5);
  CHECK(d.worst == 3);
  CHECK(index_text(expected.shape(), d.worst) == "[1, 1]");
  CHECK(d.cosine == doctest::Approx(25 / (5 * std::sqrt(29.0))));
  CHECK_FALSE(d.same_bits);
  CHECK(distance(expected, expected).same_bits);
  CHECK(distance(expected, expected).cosine == doctest::Approx(1));
}

TEST_CASE("distance: NaN, infinities, zeros of either sign, other shapes") {
  const float nan = NAN, infinite = INFINITY;
  const auto apart = [](float a, float b, bool equal_nan = true) {
    return distance(Tensor({1}, std::vector<float>{a}), Tensor({1}, std::vector<float>{b}), equal_nan);
  };
  CHECK(apart(nan, nan).max_abs == 0);
  CHECK(apart(nan, nan, false).max_abs == INFINITY);
  CHECK(apart(nan, 1).max_abs == INFINITY);
  CHECK(apart(1, nan).relative == INFINITY);
  CHECK(apart(infinite, infinite).max_abs == 0);
  CHECK(apart(infinite, -infinite).max_abs == INFINITY);
  CHECK(apart(1, 0).relative == INFINITY);
  CHECK(apart(0, -0.0F).max_abs == 0);
  CHECK_FALSE(apart(0, -0.0F).same_bits);
  CHECK_FALSE(distance(Tensor(Shape{2, 3}), Tensor(Shape{3, 2})).comparable);
}
