// The VAE's attention against the original, and its wrong twins.
#include <doctest/doctest.h>

#include "nn/attn_block.h"
#include "tests/check.h"
#include "tests/reference_case.h"

using namespace cutaway;
using test::ReferenceCase;

TEST_CASE("AttnBlock: one head, eps 1e-6") {
  const ReferenceCase reference("blocks/vae_attention.safetensors");
  const AttnBlock attention = reference.loaded(AttnBlock(32, 32));
  const Tensor x = reference.tensor("small/in/hidden_states"),
               expected = reference.tensor("small/out/sample");
  CHECK_CLOSE(attention(x), expected, 2e-5F);
  AttnBlock wrong_eps = attention;
  wrong_eps.group_norm.eps = 1e-5F;
  CHECK_DIFFERS(wrong_eps(x), expected, 2e-5F);
}
