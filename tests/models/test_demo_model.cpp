// The demo model from prompt to picture, against the recorded run of the original implementation.
#include <doctest/doctest.h>

#include <cstdlib>

#include "models/stable_diffusion.h"
#include "tensor/backend.h"
#include "tensor/error.h"
#include "tensor/files/png.h"
#include "tensor/files/safetensors.h"
#include "tests/check.h"

using namespace cutaway;

namespace {

const StableDiffusion& demo() {
  static const StableDiffusion model = StableDiffusion::load(CUTAWAY_SOURCE_DIR "/weights/demo");
  return model;
}

SafetensorsFile golden(const std::string& name) {
  return SafetensorsFile::open(CUTAWAY_SOURCE_DIR "/tests/reference/demo/" + name + ".safetensors");
}

GenerateOptions quick(const std::string& prompt) {
  GenerateOptions options;
  options.prompt = prompt;
  options.steps = 3;
  options.seed = 5;
  options.guidance_scale = 5;
  return options;
}

// Everything that a run makes: each layer's result at each step.
class Everything : public Observer {
 public:
  std::vector<Tensor> values;
  void value(const std::string&, Tensor& value) override { values.push_back(value); }
};

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::equal(a.values().begin(), a.values().end(), b.values().begin());
}

}  // namespace

TEST_CASE("the four recorded prompts: tokens, text embedding, latents after every step, picture") {
  for (int i = 0; i < 4; ++i) {
    CAPTURE(i);
    const SafetensorsFile recorded = golden("prompt" + std::to_string(i));
    const std::string prompt = recorded.metadata().at("prompt");
    CHECK(demo().tokenizer.encode_padded(prompt).ids == recorded.at("token_ids").to_integers());
    CHECK_CLOSE(demo().encode_prompt(prompt, {}), recorded.at("text_embedding").to_tensor(), 2e-5F);

    GenerateOptions options;
    options.prompt = prompt;
    options.guidance_scale = 5;
    options.start = recorded.at("noise").to_tensor();
    GenerateEvents events;
    events.step = [&](const Step& step) {
      char name[16];
      std::snprintf(name, sizeof name, "latent_%02d", step.index);
      CAPTURE(name);
      CHECK_CLOSE(step.latent, recorded.at(name).to_tensor(), 1e-3F);
    };
    const GenerateResult result = demo().generate(options, {}, events);

    const std::vector<unsigned char> ours = to_rgb8(result.picture),
                                     theirs = to_rgb8(recorded.at("image").to_tensor());
    size_t different = 0;
    int largest = 0;
    for (size_t k = 0; k < ours.size(); ++k) {
      different += ours[k] != theirs[k] ? 1 : 0;
      largest = std::max(largest, std::abs(ours[k] - theirs[k]));
    }
    CHECK(largest <= 1);
    CHECK(static_cast<double>(different) <= 0.001 * static_cast<double>(ours.size()));
  }
}

TEST_CASE("the boxes of the UNet and of the VAE's decoder, one recorded call each") {
  class Compare : public Observer {
   public:
    Compare(std::string root, SafetensorsFile expected)
        : root_(std::move(root)), expected_(std::move(expected)) {}
    int compared = 0;
    void value(const std::string& path, Tensor& value) override {
      if (!path.starts_with(root_)) return;
      const StoredTensor* expected = expected_.find(path.substr(root_.size()));
      if (expected == nullptr) return;
      CAPTURE(path);
      const Tensor tensor = expected->to_tensor();
      float largest = 0;  // some of this network's inner values are in the hundreds
      for (const float v : tensor.values()) largest = std::max(largest, std::fabs(v));
      CHECK_CLOSE(value, tensor, 1e-5F * largest);
      ++compared;
    }

   private:
    std::string root_;
    SafetensorsFile expected_;
  };
  const SafetensorsFile unet = golden("unet_trace");
  Compare unet_boxes("unet.", unet);
  {
    const Observe observe(unet_boxes);
    const Tensor t =
        Tensor(Shape{1}, std::vector<float>{static_cast<float>(unet.at("input.timestep").to_integers()[0])});
    demo().unet(unet.at("input.sample").to_tensor(), t.values(), unet.at("input.context").to_tensor());
  }
  CHECK(unet_boxes.compared == 49);  // all but the three inputs and the output, which is conv_out's

  const SafetensorsFile vae = golden("vae_decoder_trace");
  Compare vae_boxes("vae.", vae);
  {
    const Observe observe(vae_boxes);
    demo().vae.decode(vae.at("input.latent").to_tensor());
  }
  CHECK(vae_boxes.compared == 12);  // all but the input and the output, which is the decoder's
}

TEST_CASE("pictures, latents and every layer's result are the same bits for 1, 2, 3, 4 and 8 threads") {
  const int before = current_threads();
  std::vector<Everything> runs(5);
  std::vector<GenerateResult> results;
  const int threads[] = {1, 2, 3, 4, 8};
  for (size_t i = 0; i < 5; ++i) {
    choose_threads(threads[i]);
    const Observe observe(runs[i]);
    results.push_back(demo().generate(quick("a cat next to a tree")));
  }
  choose_threads(before);
  for (size_t i = 1; i < 5; ++i) {
    CAPTURE(threads[i]);
    CHECK(same_bits(results[i].latent, results[0].latent));
    CHECK(same_bits(results[i].picture, results[0].picture));
    REQUIRE(runs[i].values.size() == runs[0].values.size());
    size_t different = 0;
    for (size_t k = 0; k < runs[0].values.size(); ++k) {
      different += same_bits(runs[i].values[k], runs[0].values[k]) ? 0 : 1;
    }
    CHECK(different == 0);
  }
}

TEST_CASE("picture i of a batch is the one that seed + i gives alone") {
  GenerateOptions options = quick("a red car");
  options.batch = 2;
  const GenerateResult both = demo().generate(options);
  options.batch = 1;
  options.seed += 1;
  const GenerateResult second = demo().generate(options);
  CHECK_CLOSE(slice(both.latent, 0, 1, 2), second.latent, 1e-4F);
  CHECK_DIFFERS(slice(both.latent, 0, 0, 1), second.latent, 0.1F);
}

TEST_CASE("guidance 1 is the prompt alone, and the negative prompt pulls away") {
  GenerateOptions options = quick("a red car");
  options.guidance_scale = 1;
  const Tensor alone = demo().generate(options).latent;
  options.guidance_scale = 1.0001F;
  CHECK_CLOSE(demo().generate(options).latent, alone, 1e-2F);
  options = quick("a red car");
  const Tensor plain = demo().generate(options).latent;
  options.negative_prompt = "a tree";
  CHECK_DIFFERS(demo().generate(options).latent, plain, 0.1F);
}

TEST_CASE("guidance rescaled moves the latent less far, and changes nothing where there is no guidance") {
  GenerateOptions options = quick("a red car");
  options.guidance_scale = 20;
  const Tensor burnt = demo().generate(options).latent;
  options.guidance_rescale = 0.7F;
  const auto spread = [](const Tensor& x) {
    double squares = 0;
    for (const float v : x.values()) squares += static_cast<double>(v) * v;
    return std::sqrt(squares / static_cast<double>(x.count()));
  };
  CHECK(spread(demo().generate(options).latent) < 0.9 * spread(burnt));
  options.guidance_scale = 1;
  const Tensor rescaled = demo().generate(options).latent;
  options.guidance_rescale = 0;
  CHECK_CLOSE(demo().generate(options).latent, rescaled, 0);
}

TEST_CASE("every sampler draws a finite picture of another size") {
  for (const std::string& name : sampler_names()) {
    CAPTURE(name);
    GenerateOptions options = quick("a fish");
    options.sampler = &sampler_named(name);
    options.width = 80;
    options.height = 56;
    const GenerateResult result = demo().generate(options);
    CHECK(result.picture.shape() == Shape{1, 3, 56, 80});
    CHECK_NOTHROW(to_rgb8(result.picture));
  }
}

TEST_CASE("options that make no picture are refused in one sentence") {
  const auto check_refused = [](const std::string& says,
                                const std::function<void(GenerateOptions&)>& change) {
    GenerateOptions options = quick("a fish");
    change(options);
    CHECK_THROWS_WITH_AS(demo().generate(options), doctest::Contains(says.c_str()), Error);
  };
  check_refused("the number of steps is 0, but must be from 1 to 1000", [](auto& o) { o.steps = 0; });
  check_refused("from 1 to 1000", [](auto& o) { o.steps = 1001; });
  check_refused("guidance scale", [](auto& o) { o.guidance_scale = NAN; });
  check_refused("guidance rescale", [](auto& o) { o.guidance_rescale = NAN; });
  check_refused("from 0 (none) to 1", [](auto& o) { o.guidance_rescale = 1.01F; });
  check_refused("from 0 (none) to 1", [](auto& o) { o.guidance_rescale = -0.1F; });
  check_refused("the width is 7 pixels, but must be a multiple of 4: take 4 or 8",
                [](auto& o) { o.width = 7; });
  check_refused("the height is -8 pixels", [](auto& o) { o.height = -8; });
  check_refused("to 8192", [](auto& o) { o.width = 1 << 30; });
  check_refused("the batch is 0", [](auto& o) { o.batch = 0; });
  check_refused("eta must be", [](auto& o) { o.eta = 2; });
  check_refused("the latents to start from are [1, 4, 8, 8], but must be [1, 4, 16, 16]", [](auto& o) {
    o.start = Tensor::filled({1, 4, 8, 8}, 0);
  });
}

TEST_CASE("a prompt that is too long is cut, and the words that were dropped are named") {
  std::string warned;
  demo().encode_prompt("a cat a cat a cat a cat a cat a cat a cat a cat a cat a cat a cat next to a zebra",
                       [&](const std::string& text) { warned = text; });
  CHECK(warned.find("these words are left out") != std::string::npos);
  CHECK(warned.find("zebra") != std::string::npos);
}
