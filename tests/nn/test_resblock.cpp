// ResBlock against the original, and its wrong twins: a tolerance is right when the mistake fails it.
#include <doctest/doctest.h>

#include "nn/resblock.h"
#include "tests/check.h"
#include "tests/reference_case.h"

using namespace cutaway;
using test::ReferenceCase;

TEST_CASE("ResBlock: the small input tells the eps of each norm") {
  const ReferenceCase reference("blocks/resnet_shortcut.safetensors");
  const ResBlock block = reference.loaded(ResBlock(32, 64, 32, 32, 1e-5F));
  const Tensor x = reference.tensor("small/in/hidden_states"), temb = reference.tensor("small/in/temb");
  const Tensor expected = reference.tensor("small/out/sample");
  const float atol = 3e-5F;
  CHECK_CLOSE(block(x, temb), expected, atol);

  ResBlock wrong_eps = block;
  wrong_eps.norm1.eps = 1e-6F;
  CHECK_DIFFERS(wrong_eps(x, temb), expected, atol);
  ResBlock wrong_groups = block;
  wrong_groups.norm2.groups = 16;
  CHECK_DIFFERS(wrong_groups(x, temb), expected, atol);
  ResBlock without_time = block;
  without_time.time_emb_proj.reset();
  CHECK_DIFFERS(without_time(x, temb), expected, atol);
}
