// Guidance around the UNet, and what may stand in the place of its plain call.
#include "models/pipeline/denoiser.h"

#include <doctest/doctest.h>

#include "models/stable_diffusion.h"
#include "tests/check.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

const StableDiffusion& demo() {
  static const StableDiffusion model = StableDiffusion::load(CUTAWAY_SOURCE_DIR "/weights/demo");
  return model;
}

// Of a batch of two pictures.
Denoiser denoiser(float guidance_scale) {
  const int64_t width = demo().unet.config.cross_attention_dim;
  return {.unet = demo().unet,
          .prompt = random_tensor({2, 24, width}, 1),
          .negative = random_tensor({2, 24, width}, 2),
          .guidance_scale = guidance_scale};
}
const Tensor x = random_tensor({2, 4, 8, 8}, 3);
const std::vector<float> t{500, 500};

}  // namespace

TEST_CASE("denoiser: away from the prediction without the prompt; with scale 1 the one with it") {
  const Denoiser guided_3 = denoiser(3), plain = denoiser(1);
  const Tensor with_prompt = demo().unet(x, t, plain.prompt);
  const Tensor without_prompt = demo().unet(x, t, plain.negative);
  CHECK_CLOSE(plain(x, 500), with_prompt, 0);
  Tensor expected(x.shape());
  for (int64_t i = 0; i < x.count(); ++i) {
    const float without = without_prompt.data()[i], with = with_prompt.data()[i];
    expected.mutable_data()[i] = without + 3 * (with - without);
  }
  CHECK_CLOSE(guided_3(x, 500), expected, 1e-4);
}

TEST_CASE("denoiser: rescaled, each picture has the spread of the prediction with the prompt") {
  Denoiser rescaled = denoiser(8);
  const Tensor burnt = rescaled(x, 500), with_prompt = denoiser(1)(x, 500);
  rescaled.guidance_rescale = 1;
  const Tensor restored = rescaled(x, 500);
  for (int64_t i = 0; i < 2; ++i) {
    const auto spread = [i](const Tensor& of) { return standard_deviation(slice(of, 0, i, i + 1)); };
    CHECK(spread(burnt) > 1.05 * spread(with_prompt));
    CHECK(spread(restored) == doctest::Approx(spread(with_prompt)).epsilon(1e-4));
  }
  rescaled.guidance_rescale = 0.25F;
  CHECK_CLOSE(rescaled(x, 500), add(scale(restored, 0.25F), scale(burnt, 0.75F)), 1e-4);
  rescaled.guidance_scale = 1;  // nothing is too large there
  CHECK_CLOSE(rescaled(x, 500), with_prompt, 0);
}

TEST_CASE("denoiser: other ways to the same prediction") {
  const Predict plain = [](const Tensor& images, float at, const Tensor& prompt) {
    return demo().unet(images, for_each_image(images, at), prompt);
  };
  Denoiser other = denoiser(3);
  const Tensor expected = other(x, 500);
  other.instead = plain;
  CHECK_CLOSE(other(x, 500), expected, 0);

  int calls = 0;
  other.instead = one_latent_at_a_time([&](const Tensor& image, float at, const Tensor& prompt) {
    ++calls;
    CHECK(image.shape() == Shape{1, 4, 8, 8});
    CHECK(prompt.shape()[0] == 1);
    return plain(image, at, prompt);
  });
  CHECK_CLOSE(other(x, 500), expected, 1e-4);
  CHECK(calls == 4);

  for (const bool has_prompt : {true, false}) {
    const Tensor& partners = has_prompt ? other.negative : other.prompt;
    Tensor given;
    other.instead = with_partner(plain, {.has_prompt = has_prompt, .exchange = [&](const Tensor& mine) {
                                           given = mine;
                                           return plain(x, 500, partners);
                                         }});
    CHECK_CLOSE(other(x, 500), expected, 0);
    CHECK_CLOSE(given, plain(x, 500, has_prompt ? other.prompt : other.negative), 0);
  }
}
