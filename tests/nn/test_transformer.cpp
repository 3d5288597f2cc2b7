// The Transformer of the UNet against the original, and its wrong twins.
#include <doctest/doctest.h>

#include "nn/transformer.h"
#include "tests/check.h"
#include "tests/reference_case.h"

using namespace cutaway;
using test::ReferenceCase;

TEST_CASE("SpatialTransformer: eps 1e-6 in its GroupNorm, 1e-5 in its LayerNorms") {
  const ReferenceCase reference("blocks/transformer_2d.safetensors");
  const SpatialTransformer transformer = reference.loaded(SpatialTransformer(32, 16, 8, 32));
  const Tensor x = reference.tensor("small/in/hidden_states"),
               prompt = reference.tensor("small/in/encoder_hidden_states");
  const Tensor expected = reference.tensor("small/out/sample");
  const float atol = 3e-5F;
  CHECK_CLOSE(transformer(x, prompt), expected, atol);

  SpatialTransformer wrong_eps = transformer;
  wrong_eps.norm.eps = 1e-5F;
  CHECK_DIFFERS(wrong_eps(x, prompt), expected, atol);
  SpatialTransformer attention_swapped = transformer;
  auto& block = attention_swapped.transformer_blocks[0];
  std::swap(block.norm1, block.norm2);
  CHECK_DIFFERS(attention_swapped(x, prompt), expected, atol);
}

TEST_CASE("BasicTransformerBlock: LayerNorm's eps shows on the small input") {
  const ReferenceCase reference("blocks/basic_transformer_block.safetensors");
  const BasicTransformerBlock block = reference.loaded(BasicTransformerBlock(32, 16, 8));
  const Tensor x = reference.tensor("small/in/hidden_states"),
               prompt = reference.tensor("small/in/encoder_hidden_states");
  const Tensor expected = reference.tensor("small/out/y");
  CHECK_CLOSE(block(x, prompt), expected, 3e-5F);
  BasicTransformerBlock wrong_eps = block;
  wrong_eps.norm1.eps = 1e-6F;
  CHECK_DIFFERS(wrong_eps(x, prompt), expected, 3e-5F);
}
