// FeedForward with GEGLU against the original, and its wrong twins.
#include <doctest/doctest.h>

#include "nn/feed_forward.h"
#include "nn/transformer.h"
#include "tests/check.h"
#include "tests/reference_case.h"

using namespace cutaway;
using test::ReferenceCase;

TEST_CASE("FeedForward: gelu with the error function, on the second half") {
  const ReferenceCase reference("blocks/basic_transformer_block.safetensors");
  const BasicTransformerBlock block = reference.loaded(BasicTransformerBlock(32, 16, 8));
  const Tensor x = reference.tensor("trace/norm3"), expected = reference.tensor("trace/ff");
  const float atol = 2e-5F;
  CHECK_CLOSE(block.ff(x), expected, atol);

  const Tensor both = block.ff.geglu.proj(x);  // [1, T, 2 inner]
  const Tensor value = slice(both, 2, 0, 128), gate = slice(both, 2, 128, 256);
  CHECK_CLOSE(block.ff.out(mul(value, gelu(gate))), expected, atol);
  CHECK_DIFFERS(block.ff.out(mul(gelu(value), gate)), expected, atol);
  CHECK_DIFFERS(block.ff.out(mul(value, gelu_tanh(gate))), expected, atol);
  CHECK_DIFFERS(block.ff.out(mul(value, quick_gelu(gate))), expected, atol);
}
