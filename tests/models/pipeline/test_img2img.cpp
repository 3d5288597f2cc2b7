// Runs of the demo model that start from a picture, and repaint a part of it.
#include "models/pipeline/img2img.h"

#include "tests/check.h"
#include "tests/tensor/files/files.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

const StableDiffusion& demo() {
  static const StableDiffusion model = StableDiffusion::load(CUTAWAY_SOURCE_DIR "/weights/demo");
  return model;
}

// 8 x 12 latent pixels, of a picture of 32 x 48.
GenerateOptions options(const Sampler& sampler, bool mask, std::optional<double> strength = {}) {
  GenerateOptions o;
  o.sampler = &sampler;
  o.steps = 10;
  o.batch = 2;
  o.width = 48;
  o.height = 32;
  o.image = scale(random_tensor({1, 3, 32, 48}, 7), 0.3F);
  o.strength = strength;
  if (mask) {
    o.mask = Tensor({1, 1, 32, 48});
    for (int64_t i = 0; i < o.mask->count(); ++i) o.mask->mutable_data()[i] = i % 48 < 20 ? 1.0F : 0.0F;
  }
  return o;
}

// The draws that a run makes, in order.
struct Draws {
  std::vector<Tensor> all;
  Noise noise() {
    return [this](const Shape& shape) {
      all.push_back(random_tensor(shape, static_cast<uint32_t>(all.size())));
      return all.back();
    };
  }
};

// The latent of a picture with the given draw, worked out by the equation.
Tensor latent_of(const Tensor& picture, const Tensor& z) {
  const LatentDistribution d = demo().vae.encode(picture);
  return scale(add(concat({d.mean, d.mean}, 0), mul(concat({d.std, d.std}, 0), z)), 0.18215F);
}

}  // namespace

TEST_CASE("run_start: without a picture, noise alone") {
  GenerateOptions o = options(sampler_named("euler"), false);
  o.image.reset();
  Draws draws;
  const RunStart run = run_start(demo(), o, {}, draws.noise());
  REQUIRE(draws.all.size() == 1);
  CHECK_CLOSE(run.start, draws.all[0], 0);
  CHECK(run.plan.count() == 10);
  CHECK(run.plan.init_noise_sigma > 1);  // the sampler scales the noise, plan_from has not
}

TEST_CASE("run_start: img2img draws the latent first, then the noise") {
  for (const Sampler* sampler : {&sampler_named("ddim"), &sampler_named("euler")}) {
    for (const auto& [strength, steps] : {std::pair<std::optional<double>, int>{{}, 8}, {0.35, 3}, {1, 10}}) {
      const GenerateOptions o = options(*sampler, false, strength);
      Draws draws;
      const RunStart run = run_start(demo(), o, {}, draws.noise());
      REQUIRE(draws.all.size() == 2);
      REQUIRE(run.plan.count() == steps);
      const Tensor x0 = latent_of(*o.image, draws.all[0]);
      const auto ab = static_cast<float>(run.plan.alpha_bars[0]);
      const float unit =
          sampler == &sampler_named("euler") ? std::sqrt(ab) : 1;  // both in the scale of variance 1
      CHECK_CLOSE(scale(run.start, unit), add_noise(x0, draws.all[1], ab), 1e-5);
      CHECK_DIFFERS(scale(run.start, unit), add_noise(latent_of(*o.image, draws.all[1]), draws.all[0], ab),
                    0.1);
      CHECK_CLOSE(run.noise, draws.all[1], 0);
      CHECK_CLOSE(run.keep_known(0, x0), x0, 0);
    }
  }
}

TEST_CASE("inpainting with 4 channels: what is kept has the noise of the next step") {
  for (const char* sampler : {"ddpm", "euler_ancestral", "dpmpp_2m"}) {
    for (const double strength : {0.5, 1.0}) {
      const GenerateOptions o = options(sampler_named(sampler), true, strength);
      Draws draws;
      const RunStart run = run_start(demo(), o, {}, draws.noise());
      REQUIRE(draws.all.size() == 3);  // the third is diffusers' masked picture, which nobody looks at
      const Tensor x0 = latent_of(*o.image, draws.all[0]);
      if (strength == 1) CHECK_CLOSE(run.start, draws.all[1], 0);  // as if there were no picture
      const int count = run.plan.count();
      const Tensor x = random_tensor(x0.shape(), 50);
      for (const int i : {0, count - 1}) {
        const Tensor mixed = run.keep_known(i, x);
        Tensor known = x0;
        if (i + 1 < count) {
          const auto next = static_cast<size_t>(i) + 1;
          known = run.plan.variance == Variance::exploding
                      ? add(x0, scale(draws.all[1], run.plan.sigmas[next]))
                      : add_noise(x0, draws.all[1], static_cast<float>(run.plan.alpha_bars[next]));
        }
        // Columns 0 to 4 have their upper left pixel under the mask (20 of 48 pixels, 4 to a latent pixel).
        CHECK_CLOSE(slice(mixed, 3, 0, 5), slice(x, 3, 0, 5), 0);
        CHECK_CLOSE(slice(mixed, 3, 5, 12), slice(known, 3, 5, 12), 1e-5);
      }
      CHECK(run.conditioning.empty());
      CHECK_CLOSE(run.unet_input(x), x, 0);
    }
  }
}

TEST_CASE("inpainting with 9 channels: latent, mask, masked picture") {
  StableDiffusion model = demo();
  model.unet.config.in_channels = 9;
  REQUIRE(model.paints_masks());
  for (const double strength : {0.5, 1.0}) {
    const GenerateOptions o = options(sampler_named("ddim"), true, strength);
    Draws draws;
    const RunStart run = run_start(model, o, {}, draws.noise());
    REQUIRE(draws.all.size() == (strength == 1 ? 2 : 3));
    Tensor masked({1, 3, 32, 48});  // grey under the mask
    for (int64_t i = 0; i < masked.count(); ++i)
      masked.mutable_data()[i] = i % 48 < 20 ? 0 : o.image->data()[i];
    const Tensor x = random_tensor({2, 4, 8, 12}, 50), input = run.unet_input(x);
    REQUIRE(input.shape() == Shape{2, 9, 8, 12});
    CHECK_CLOSE(slice(input, 1, 0, 4), x, 0);
    const Tensor mask = slice(input, 1, 4, 5);
    CHECK_CLOSE(slice(mask, 3, 0, 5), Tensor::filled({2, 1, 8, 5}, 1), 0);
    CHECK_CLOSE(slice(mask, 3, 5, 12), Tensor::filled({2, 1, 8, 7}, 0), 0);
    CHECK_CLOSE(slice(input, 1, 5, 9), latent_of(masked, draws.all.back()), 1e-5);
    CHECK_CLOSE(run.keep_known(0, x), x, 0);
  }
  GenerateOptions o = options(sampler_named("ddim"), false);
  CHECK(contains(error_of([&] { check_image(model, o); }), "inpainting model"));
}

TEST_CASE("check_image: pictures and masks that do not fit") {
  const auto message = [](const auto& change) {
    GenerateOptions o = options(sampler_named("ddim"), true);
    change(o);
    return error_of([&] { check_image(demo(), o); });
  };
  CHECK(message([](GenerateOptions&) {}).empty());
  CHECK(contains(message([](GenerateOptions& o) { o.image.reset(); }), "--mask needs --init-image"));
  CHECK(contains(message([](GenerateOptions& o) {
                   o.image = Tensor({1, 3, 48, 32});
                 }),
                 "must be [1, 3, 32, 48]"));
  CHECK(contains(message([](GenerateOptions& o) {
                   o.mask = Tensor({1, 3, 32, 48});
                 }),
                 "must be [1, 1, 32, 48]"));
  CHECK(contains(message([](GenerateOptions& o) { o.strength = 2; }), "strength"));
  CHECK(contains(message([](GenerateOptions& o) {
                   o.image.reset();
                   o.mask.reset();
                   o.strength = 0.5;
                 }),
                 "--strength needs --init-image"));
}
