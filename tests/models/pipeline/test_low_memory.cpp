// LowMemory of memory: the same picture, or nearly, in less.
#include "models/pipeline/low_memory.h"

#include <doctest/doctest.h>

#include <cmath>

#include "models/pipeline/vae_tiles.h"
#include "models/stable_diffusion.h"
#include "nn/formula_weights.h"
#include "tensor/dispatch/dry_run.h"
#include "tensor/error.h"
#include "tests/check.h"

using namespace cutaway;

namespace {

const StableDiffusion& demo() {
  static const StableDiffusion model = StableDiffusion::load(CUTAWAY_SOURCE_DIR "/weights/demo");
  return model;
}

GenerateOptions two_cats() {
  GenerateOptions options;
  options.prompt = "a cat";
  options.steps = 2;
  options.batch = 2;
  options.seed = 5;
  options.guidance_scale = 5;
  return options;
}

int64_t peak_of(const GenerateOptions& options, const LowMemory& low_memory) {
  DryRun dry_run;
  demo().generate(options, {.low_memory = low_memory});
  return dry_run.finish().peak_tensor_bytes;
}

double root_mean_square(const Tensor& x) {
  double sum = 0;
  for (const float v : x.values()) sum += static_cast<double>(v) * v;
  return std::sqrt(sum / static_cast<double>(x.count()));
}

}  // namespace

TEST_CASE("latents and pictures one after the other give the same picture in less memory") {
  GenerateOptions options = two_cats();
  const GenerateResult together = demo().generate(options);
  const LowMemory in_turn{.unet_in_turn = true, .vae_in_turn = true};
  const GenerateResult one_by_one = demo().generate(options, {.low_memory = in_turn});
  CHECK_CLOSE(one_by_one.latent, together.latent, 1e-4F);
  CHECK_CLOSE(one_by_one.picture, together.picture, 1e-4F);

  options.width = options.height = 256;
  CHECK(static_cast<double>(peak_of(options, in_turn)) < 0.7 * static_cast<double>(peak_of(options, {})));
}

TEST_CASE("a tile fades linearly from the one before it") {
  const Tensor left(Shape{1, 1, 1, 6}, std::vector<float>{9, 9, 10, 10, 10, 10});
  const Tensor tile(Shape{1, 1, 1, 5}, std::vector<float>{20, 20, 20, 20, 30});
  const Tensor across = faded(left, tile, 3, 4);  // 1 - j / 4 of the last four before it
  CHECK_CLOSE(across, Tensor(Shape({1, 1, 1, 5}), std::vector<float>{10, 12.5F, 15, 17.5F, 30}), 1e-6F);

  const Tensor above(Shape{1, 1, 2, 2}, std::vector<float>{0, 0, 4, 8});
  const Tensor below(Shape{1, 1, 2, 2}, std::vector<float>{10, 20, 30, 40});
  const Tensor down = faded(above, below, 2, 8);  // no more rows than there are
  CHECK_CLOSE(down, Tensor(Shape({1, 1, 2, 2}), std::vector<float>{0, 0, 17, 24}), 1e-6F);
}

TEST_CASE("a picture in tiles is near the whole one, has its size, and is equal in one tile") {
  GenerateOptions options = two_cats();
  options.batch = 1;
  options.width = 112;
  options.height = 80;
  const Tensor latent = scale(demo().generate(options).latent, 1 / demo().vae.config.scaling_factor);
  const Tensor whole = demo().vae.decode(latent);
  CHECK_CLOSE(decoded(demo().vae, latent, {.vae_tile = 112}), whole, 0);
  const Tensor tiled = decoded(demo().vae, latent, {.vae_tile = 64});
  REQUIRE(tiled.shape() == whole.shape());
  const double difference = root_mean_square(sub(tiled, whole));
  CHECK(difference > 0);
  CHECK(difference < 0.1 * root_mean_square(whole));

  const LatentDistribution at_once = demo().vae.encode(whole);
  const LatentDistribution pieces = encoded(demo().vae, whole, {.vae_tile = 64});
  REQUIRE(pieces.mean.shape() == at_once.mean.shape());
  CHECK(root_mean_square(sub(pieces.mean, at_once.mean)) < 0.1 * root_mean_square(at_once.mean));
}

TEST_CASE("tiles take less memory") {
  GenerateOptions options = two_cats();
  options.batch = 1;
  options.width = options.height = 256;
  const int64_t whole = peak_of(options, {.unet_in_turn = true});
  const int64_t tiled = peak_of(options, {.unet_in_turn = true, .vae_tile = 64});
  CHECK(static_cast<double>(tiled) < 0.8 * static_cast<double>(whole));
}

TEST_CASE("tiles of a size that is no whole number of overlaps are refused") {
  const Tensor latent(Shape{1, demo().vae.config.latent_channels, 32, 32});
  CHECK_THROWS_AS(decode_in_tiles(demo().vae, latent, 50), Error);
  CHECK_THROWS_AS(decode_in_tiles(demo().vae, latent, 0), Error);
  CHECK_THROWS_AS(decode_in_tiles(demo().vae, latent, -64), Error);
}
