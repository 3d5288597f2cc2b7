// Shape: extents, and what is refused.
#include <doctest/doctest.h>

#include <limits>
#include <vector>

#include "tensor/error.h"
#include "tensor/shape.h"

using cutaway::Error;
using cutaway::Shape;

TEST_CASE("Shape: extents, count and text") {
  const Shape shape{2, 3, 5, 7};
  CHECK(shape.rank() == 4);
  CHECK(shape.count() == 210);
  CHECK(shape[0] == 2);
  CHECK(shape[3] == 7);
  CHECK(shape[-1] == 7);
  CHECK(shape[-4] == 2);
  CHECK(to_string(shape) == "[2, 3, 5, 7]");
}

TEST_CASE("Shape: without extents it is that of a single number") {
  const Shape shape;
  CHECK(shape.rank() == 0);
  CHECK(shape.count() == 1);
  CHECK(to_string(shape) == "[]");
  CHECK_THROWS_WITH_AS(shape[0], "there is no axis 0 in a tensor of shape []", Error);
}

TEST_CASE("Shape: equality compares rank and extents") {
  CHECK(Shape{2, 3} == Shape{2, 3});
  CHECK(Shape{2, 3} != Shape{3, 2});
  CHECK(Shape{2, 3} != Shape{2, 3, 1});  // no trailing or leading 1 is understood silently
  CHECK(Shape{2, 3} != Shape{1, 2, 3});
}

TEST_CASE("Shape: with() changes one extent and the count") {
  const Shape shape{2, 3, 5};
  CHECK(shape.with(-1, 11) == Shape{2, 3, 11});
  CHECK(shape.with(0, 1) == Shape{1, 3, 5});
  CHECK(shape.with(1, 4).count() == 40);
  CHECK(shape == Shape{2, 3, 5});
  CHECK_THROWS_AS(shape.with(3, 1), Error);
  CHECK_THROWS_AS(shape.with(-4, 1), Error);
  CHECK_THROWS_AS(shape.with(0, 0), Error);
}

TEST_CASE("Shape: extents below 1 are refused") {
  CHECK_THROWS_WITH_AS(Shape({2, 0}), "every extent of a tensor must be at least 1, but one is 0", Error);
  CHECK_THROWS_WITH_AS(Shape({-3}), "every extent of a tensor must be at least 1, but one is -3", Error);
}

TEST_CASE("Shape: a fifth extent is refused") {
  CHECK_THROWS_WITH_AS(Shape({1, 1, 1, 1, 1}), "a tensor has at most 4 extents, but 5 were given", Error);
  const std::vector<int64_t> many(1000, 1);
  CHECK_THROWS_AS(Shape(std::span<const int64_t>(many)), Error);
}

TEST_CASE("Shape: a count that overflows is refused") {
  const int64_t large = int64_t{1} << 32;
  CHECK_THROWS_AS(Shape({large, large}), Error);
  CHECK_THROWS_AS(Shape({2, std::numeric_limits<int64_t>::max()}), Error);
  CHECK_THROWS_AS(Shape({large, large / 2, 2}), Error);
  CHECK(Shape({large, large / 4}).count() == int64_t{1} << 62);  // the same test passes just below
  CHECK(Shape({std::numeric_limits<int64_t>::max()}).count() == std::numeric_limits<int64_t>::max());
}

TEST_CASE("Shape: an axis that is not there is refused") {
  const Shape shape{2, 3};
  CHECK_THROWS_WITH_AS(shape[2], "there is no axis 2 in a tensor of shape [2, 3]", Error);
  CHECK_THROWS_WITH_AS(shape[-3], "there is no axis -3 in a tensor of shape [2, 3]", Error);
}
