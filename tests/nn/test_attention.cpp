// Attention with its four matrices against the original, and its wrong twins.
#include <doctest/doctest.h>

#include "nn/attention.h"
#include "tensor/error.h"
#include "tests/check.h"
#include "tests/reference_case.h"

using namespace cutaway;
using test::ReferenceCase;

TEST_CASE("CrossAttention: 8 heads of 4 are not 4 heads of 8, and keys do not come from the image") {
  const ReferenceCase reference("blocks/attention_cross.safetensors");
  const CrossAttention attention = reference.loaded(CrossAttention(32, 16, 8));
  const Tensor x = reference.tensor("in/hidden_states"),
               context = reference.tensor("in/encoder_hidden_states");
  const Tensor expected = reference.tensor("out/y");
  const float atol = 2e-5F;
  CHECK_CLOSE(attention(x, context), expected, atol);

  CrossAttention heads_and_width_exchanged = attention;
  heads_and_width_exchanged.heads = 4;
  CHECK_DIFFERS(heads_and_width_exchanged(x, context), expected, atol);
  CrossAttention keys_as_values = attention;
  std::swap(keys_as_values.to_k, keys_as_values.to_v);
  CHECK_DIFFERS(keys_as_values(x, context), expected, atol);
  CrossAttention softer = attention;  // the scale 1 / sqrt(d) off by 1 %
  softer.to_q.weight =
      Weight::of(scale(Tensor(Shape{32, 32}, {softer.to_q.weight.f32().data(), 1024}), 1.01F));
  CHECK_DIFFERS(softer(x, context), expected, atol);
  CHECK_THROWS_WITH_AS(attention(x, x), doctest::Contains("its last axis must be 16"), Error);
}
