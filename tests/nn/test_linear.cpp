// Linear: y = x W^T + b.
#include <doctest/doctest.h>

#include "nn/linear.h"
#include "tests/check.h"

using namespace cutaway;

TEST_CASE("Linear: each row of the weight makes one number") {
  Linear layer(2, 3);
  layer.weight = Weight::of(Tensor({3, 2}, std::vector<float>{1, 2, 3, 4, 5, 6}));
  layer.bias = Weight::of(Tensor({3}, std::vector<float>{10, 20, 30}));
  const Tensor x({1, 1, 2}, std::vector<float>{1, -1});
  CHECK_CLOSE(layer(x), Tensor({1, 1, 3}, std::vector<float>{9, 19, 29}), 0);
  CHECK_FALSE(Linear(2, 3, false).bias);
}
