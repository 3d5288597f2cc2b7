// TimeEmbedding against the original, and its wrong twins.
#include <doctest/doctest.h>

#include "nn/time_embedding.h"
#include "tests/check.h"
#include "tests/reference_case.h"

using namespace cutaway;
using test::ReferenceCase;

TEST_CASE("TimeEmbedding: silu between the two linear layers, none after") {
  const ReferenceCase reference("blocks/time_embedding_mlp.safetensors");
  const TimeEmbedding embed = reference.loaded(TimeEmbedding(32, 128));
  const Tensor waves = reference.tensor("in/t_emb"), expected = reference.tensor("out/temb");
  CHECK_CLOSE(embed(waves), expected, 2e-5F);
  CHECK_DIFFERS(silu(embed(waves)), expected, 2e-5F);
  CHECK_DIFFERS(embed.linear_2(embed.linear_1(waves)), expected, 2e-5F);
}
