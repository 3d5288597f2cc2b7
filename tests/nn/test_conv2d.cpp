// Conv2d: sizes, and what a 1x1 convolution is.
#include <doctest/doctest.h>

#include "nn/conv2d.h"
#include "nn/formula_weights.h"
#include "nn/linear.h"
#include "tests/check.h"

using namespace cutaway;

namespace {

template <class Layer>
Layer with_weights(Layer layer) {
  load_weights(layer, "", FormulaSource());
  return layer;
}

}  // namespace

TEST_CASE("a 3x3 convolution keeps the size, and a stride of two halves it") {
  const Tensor x = test::random_tensor({2, 3, 6, 8}, 1);
  CHECK(with_weights(conv3x3(3, 5))(x).shape() == Shape{2, 5, 6, 8});
  CHECK(with_weights(Conv2d(3, 5, 3, {.stride = 2, .padding = Padding::all(1)}))(x).shape() ==
        Shape{2, 5, 3, 4});
  CHECK(Conv2d(4, 6, 3, {.groups = 2}).weight.shape == Shape{6, 2, 3, 3});
}

TEST_CASE("a 1x1 convolution is a linear layer for every pixel") {
  const Tensor x = test::random_tensor({2, 4, 3, 5}, 1);
  const Conv2d conv = with_weights(conv1x1(4, 6));
  const Linear linear = with_weights(Linear(4, 6));
  const Tensor expected = to_image(linear(to_tokens(x)), 3, 5);
  CHECK_CLOSE(conv(x), expected, 1e-6F);
  Conv2d without_bias = conv;
  without_bias.bias.reset();
  CHECK_DIFFERS(without_bias(x), expected, 1e-3F);
}
