// A layer of the text encoder against the original, and its wrong twins.
#include <doctest/doctest.h>

#include "nn/clip_layer.h"
#include "tests/check.h"
#include "tests/reference_case.h"

using namespace cutaway;
using test::ReferenceCase;

TEST_CASE("CLIPEncoderLayer: causal, quick_gelu") {
  const ReferenceCase reference("blocks/clip_encoder_layer.safetensors");
  const CLIPEncoderLayer layer =
      reference.loaded(CLIPEncoderLayer(64, 8, 256, Activation::quick_gelu, 1e-5F));
  const Tensor x = reference.tensor("in/hidden_states"), expected = reference.tensor("out/y");
  const float atol = 3e-5F;
  CHECK_CLOSE(layer(x), expected, atol);

  CLIPEncoderLayer open_gelu = layer;
  open_gelu.mlp.activation = Activation::gelu;
  CHECK_DIFFERS(open_gelu(x), expected, atol);
  // Causal: what comes later does not change what came before.
  Tensor changed = concat({slice(x, 1, 0, 8), scale(slice(x, 1, 8, 9), -1)}, 1);
  CHECK_CLOSE(slice(layer(changed), 1, 0, 8), slice(layer(x), 1, 0, 8), 0);
}
