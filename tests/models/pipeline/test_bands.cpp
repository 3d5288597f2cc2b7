// One picture by several programs, each with a band of its rows: here threads.
#include <doctest/doctest.h>

#include "models/stable_diffusion.h"
#include "nn/load.h"
#include "tensor/dispatch/dry_run.h"
#include "tensor/error.h"
#include "tests/bands_in_threads.h"
#include "tests/check.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

GenerateOptions tall_picture() {
  GenerateOptions options;
  options.prompt = "a cat";
  options.negative_prompt = "a dog";
  options.steps = 2;
  options.seed = 5;
  options.width = 32;
  options.height = 160;  // 5 units of 32 pixels, 8 latent rows
  return options;
}

std::vector<GenerateResult> drawn_by(int count, const StableDiffusion& model, const GenerateOptions& options,
                                     const LowMemory& low_memory = {}) {
  return in_threads(count, [&](Neighbours& neighbours) {
    return model.generate(options, {.low_memory = low_memory, .neighbours = &neighbours});
  });
}

// Weights that no dry run reads.
class NeverRead : public WeightSource {
 public:
  std::string description() const override { return "nothing"; }
  std::vector<std::string> names() const override { return {}; }
  std::optional<Weight> find(const std::string& name, const Shape& needed) const override {
    Weight weight(needed);
    weight.name = name;
    weight.data = this;
    return weight;
  }
};

}  // namespace

TEST_CASE("bands of rows make the picture of one program, but for rounding") {
  const StableDiffusion model = StableDiffusion::load(CUTAWAY_SOURCE_DIR "/weights/demo");
  GenerateOptions options = tall_picture();
  const GenerateResult one = model.generate(options);
  // 2 and 3 get unequal bands, 5 have one row each at the lowest level.
  for (const int count : {1, 2, 3, 5}) {
    const std::vector<GenerateResult> all = drawn_by(count, model, options, {.unet_in_turn = count == 3});
    CAPTURE(count);
    CHECK_CLOSE(all.front().latent, one.latent, 1e-4);
    CHECK_CLOSE(all.front().picture, one.picture, 1e-4);
    for (size_t i = 1; i < all.size(); ++i) {
      CHECK_CLOSE(all[i].latent, all.front().latent, 0);  // all go on with the same numbers
      CHECK(all[i].picture.empty());                      // decoded by the first alone
    }
  }
}

TEST_CASE("pictures that make no bands are refused") {
  const StableDiffusion model = StableDiffusion::load(CUTAWAY_SOURCE_DIR "/weights/demo");
  GenerateOptions options = tall_picture();
  CHECK_THROWS_WITH_AS(drawn_by(6, model, options), doctest::Contains("at most 5 bands"), Error);
  options.height = 72;
  CHECK_THROWS_WITH_AS(drawn_by(2, model, options), doctest::Contains("64 or 96"), Error);
}

TEST_CASE("bands with as many pixels as the prompt has tokens") {
  const StableDiffusion model = StableDiffusion::load(CUTAWAY_SOURCE_DIR "/weights/demo");
  GenerateOptions options = tall_picture();
  options.steps = 1;
  // At the lowest level one band has 2 rows of 24, the other one row, and the prompt has 24 tokens: said
  // twice, it would have as many as the first.
  options.width = 768;
  options.height = 96;
  const GenerateResult one = model.generate(options);
  const std::vector<GenerateResult> two = drawn_by(2, model, options);
  CHECK_CLOSE(two.front().latent, one.latent, 1e-4);
}

TEST_CASE("what the bands of Stable Diffusion 1.5 send in a step of 512 x 512") {
  UNet unet;
  load_weights(unet, "unet", NeverRead());
  const auto sent_by = [&](int count) {
    return in_threads(count, [&](ThreadNeighbours& neighbours) {
      const DryRun dry_run;
      const Bands bands(neighbours, even_bands(64, unet.config.scale(), count), 77);
      const Tensor x({2, 4, 64, 64}), prompt({2, 77, 768});
      const Tensor y = bands.whole(unet(bands.cut(x), std::vector<float>{500, 500}, prompt));
      CHECK(y.shape() == x.shape());
      return neighbours.sent;
    });
  };
  // The numbers of docs/larger-than-one-machine.md.
  const ThreadNeighbours::Sent of_two = sent_by(2)[0], inside_four = sent_by(4)[1];
  CHECK(of_two.borders.calls == 52);  // 3 x 3 convolutions
  CHECK(of_two.tensors.calls == 33);  // keys and values of 16 Transformers, and the prediction
  CHECK(of_two.numbers.calls == 61);  // GroupNorms
  CHECK(of_two.borders.bytes == 9'259'008);
  CHECK(of_two.tensors.bytes == 92'471'296);
  CHECK(of_two.numbers.bytes == 62'464);
  CHECK(inside_four.borders.bytes == 18'026'496);
  CHECK(inside_four.tensors.bytes == 138'706'944);
  CHECK(inside_four.numbers.bytes == 187'392);
}
