// Embedding: a row for each id.
#include "nn/embedding.h"

#include <doctest/doctest.h>

#include "tensor/error.h"
#include "tests/check.h"

using namespace cutaway;

TEST_CASE("Embedding: the rows of the ids, in their order; an id without a row is refused") {
  Embedding table(4, 3);
  const Tensor rows = test::random_tensor({4, 3}, 1);
  table.weight = Weight::of(rows);
  const Tensor y = table(TokenIds{2, 2, {3, 0, 0, 2}});
  CHECK(y.shape() == Shape{2, 2, 3});
  const auto row = [&](int64_t id) { return slice(rows, 0, id, id + 1); };
  CHECK_CLOSE(y.reshaped({4, 3}), concat({row(3), row(0), row(0), row(2)}, 0), 0);
  CHECK_THROWS_AS(table(TokenIds{1, 1, {4}}), Error);
}
