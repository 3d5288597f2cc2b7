// Half the size and twice the size against the originals, and their wrong twins.
#include <doctest/doctest.h>

#include "nn/resample.h"
#include "tests/check.h"
#include "tests/reference_case.h"

using namespace cutaway;
using test::ReferenceCase;

TEST_CASE("Downsample: all sides in the UNet, right and bottom in the VAE") {
  const ReferenceCase unet("blocks/downsample_conv.safetensors");
  const Tensor x = unet.tensor("in/hidden_states"), expected = unet.tensor("out/sample");
  CHECK_CLOSE(unet.loaded(Downsample(32))(x), expected, 3e-5F);
  CHECK_DIFFERS(unet.loaded(Downsample(32, {.right = 1, .bottom = 1}))(x), expected, 3e-5F);

  const ReferenceCase vae("blocks/vae_down_encoder_block.safetensors");
  const Tensor h = vae.tensor("trace/resnets.1"), smaller = vae.tensor("trace/downsamplers.0");
  CHECK_CLOSE(vae.loaded(Downsample(32, {.right = 1, .bottom = 1}), "downsamplers.0.")(h), smaller, 3e-5F);
  CHECK_DIFFERS(vae.loaded(Downsample(32), "downsamplers.0.")(h), smaller, 3e-5F);
}

TEST_CASE("Upsample: nearest, then the convolution; to a given size as well") {
  const ReferenceCase reference("blocks/upsample_conv.safetensors");
  const Upsample up = reference.loaded(Upsample(32));
  const Tensor x = reference.tensor("in/hidden_states"), expected = reference.tensor("out/sample");
  CHECK_CLOSE(up(x), expected, 3e-5F);
  CHECK_DIFFERS(up.conv(upsample_bilinear(x, 6, 8)), expected, 3e-5F);
  CHECK(up(x, 5, 7).shape() == Shape{1, 32, 5, 7});
}
