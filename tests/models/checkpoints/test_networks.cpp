#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "models/checkpoints/checkpoint.h"
#include "models/checkpoints/config.h"
#include "models/clip_text.h"
#include "models/unets/unet_sd.h"
#include "models/vae.h"
#include "nn/formula_weights.h"
#include "tensor/error.h"
#include "tests/check.h"

using namespace cutaway;

TEST_CASE("Stable Diffusion 1.5 has as many parameters as the original") {
  UNet unet;
  CHECK(parameter_count(unet) == 859'520'964);
  AutoencoderKL vae;
  CHECK(parameter_count(vae) == 83'653'863);
  CLIPTextModel text_encoder;
  CHECK(parameter_count(text_encoder) == 123'060'480);
  UNet inpainting(UNetConfig{.in_channels = 9});
  CHECK(parameter_count(inpainting) == 859'535'364);
}

namespace {

UNetConfig small_unet() {
  return {.block_out_channels = {8, 16, 16},
          .attends = {true, true, false},
          .heads = {2, 2, 2},
          .cross_attention_dim = 12,
          .norm_num_groups = 4};
}

// Every skip connection as it is joined on: the channels that a ResBlock on the way up takes.
class UpResnetInputs : public Observer {
 public:
  std::vector<int64_t> channels;
  void enter(const std::string& path, std::span<Tensor* const> inputs) override {
    const bool up_resnet = path.find("up_blocks") != std::string::npos && path[path.size() - 1] <= '9' &&
                           path.find("resnets") == path.size() - 9;
    if (up_resnet) channels.push_back(inputs[0]->shape()[1]);
  }
};

}  // namespace

TEST_CASE("a UNet takes sizes that do not halve evenly, and any batch") {
  UNet unet(small_unet());
  load_weights(unet, "unet", FormulaSource());
  for (const auto& [n, h, w] :
       {std::tuple{1, 8, 8}, std::tuple{2, 7, 9}, std::tuple{3, 5, 3}, std::tuple{1, 1, 1}}) {
    const std::vector<float> t(static_cast<size_t>(n), 500);
    const Tensor y = unet(formula_input("x", {n, 4, h, w}), t, formula_input("prompt", {n, 5, 12}));
    CHECK(y.shape() == Shape{n, 4, h, w});
  }
}

TEST_CASE("the skip connections meet the way up newest first") {
  UNet unet(small_unet());
  load_weights(unet, "unet", FormulaSource());
  UpResnetInputs seen;
  const Observe observe(seen);
  unet(formula_input("x", {1, 4, 8, 8}), std::vector<float>{1}, formula_input("prompt", {1, 5, 12}));
  // skips: conv_in 8, d1 8 8 8, d2 16 16 16, d3 16 16; what comes from below, plus the skip
  CHECK(seen.channels ==
        std::vector<int64_t>{16 + 16, 16 + 16, 16 + 16, 16 + 16, 16 + 16, 16 + 8, 16 + 8, 8 + 8, 8 + 8});
}

TEST_CASE("each picture of a batch is computed as if it were alone") {
  UNet unet(small_unet());
  load_weights(unet, "unet", FormulaSource());
  const Tensor x = formula_input("x", {2, 4, 6, 8}), prompt = formula_input("prompt", {2, 5, 12});
  const Tensor both = unet(x, std::vector<float>{10, 900}, prompt);
  const Tensor first = unet(slice(x, 0, 0, 1), std::vector<float>{10}, slice(prompt, 0, 0, 1));
  const Tensor second = unet(slice(x, 0, 1, 2), std::vector<float>{900}, slice(prompt, 0, 1, 2));
  CHECK_CLOSE(slice(both, 0, 0, 1), first, 1e-5F);
  CHECK_CLOSE(slice(both, 0, 1, 2), second, 1e-5F);
  CHECK_DIFFERS(unet(x, std::vector<float>{10, 10}, prompt), both, 1e-4F);
}

TEST_CASE("a prompt of the wrong width names the layer and what is wrong") {
  UNet unet(small_unet());
  load_weights(unet, "unet", FormulaSource());
  CHECK_THROWS_WITH_AS(
      unet(formula_input("x", {1, 4, 8, 8}), std::vector<float>{1}, formula_input("prompt", {1, 5, 13})),
      doctest::Contains(
          "linear at unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k: x is [1, 5, 13]"),
      Error);
}

TEST_CASE("the VAE shrinks by its factor and enlarges by the same") {
  AutoencoderKL vae(VaeConfig{.block_out_channels = {8, 8, 16}, .layers_per_block = 1, .norm_num_groups = 4});
  load_weights(vae, "vae", FormulaSource());
  CHECK(vae.config.scale() == 4);
  const LatentDistribution latent = vae.encode(formula_input("picture", {2, 3, 16, 24}));
  CHECK(latent.mean.shape() == Shape{2, 4, 4, 6});
  CHECK_CLOSE(mul(latent.std, latent.std), exp(latent.logvar), 1e-5F);
  CHECK(vae.decode(latent.mean).shape() == Shape{2, 3, 16, 24});
}

TEST_CASE("clip skip leaves out the last layers, and says so when there are none left") {
  CLIPTextModel clip(ClipTextConfig{.vocab_size = 20,
                                    .hidden_size = 8,
                                    .intermediate_size = 16,
                                    .num_hidden_layers = 2,
                                    .num_attention_heads = 2,
                                    .max_position_embeddings = 6});
  load_weights(clip, "text_encoder", FormulaSource());
  const TokenIds ids{1, 6, {1, 2, 3, 19, 19, 19}};
  CHECK(clip(ids).shape() == Shape{1, 6, 8});
  CHECK_DIFFERS(clip(ids, 2), clip(ids), 1e-4F);
  CHECK_THROWS_WITH_AS(clip(ids, 3), doctest::Contains("clip skip is 3, but must be from 1 to 2"), Error);
  CHECK_THROWS_WITH_AS(clip({1, 7, {1, 2, 3, 4, 5, 6, 7}}), doctest::Contains("only 6 positions"), Error);
  CHECK_THROWS_WITH_AS(clip({1, 2, {1, 20}}),
                       doctest::Contains("token id 20 is outside the vocabulary of 20"), Error);
  const Tensor rows = pooled(clip(ids), ids);
  CHECK_CLOSE(rows, slice(clip(ids), 1, 3, 4).reshaped({1, 8}), 0);
}

TEST_CASE("the sizes of Stable Diffusion 1.5 make its networks") {
  const nlohmann::json sizes = sd15_sizes();
  UNet unet(unet_config(sizes.at("unet"), "unet"));
  CHECK(parameter_count(unet) == 859'520'964);
  AutoencoderKL vae(vae_config(sizes.at("vae"), "vae"));
  CHECK(parameter_count(vae) == 83'653'863);
  CLIPTextModel text_encoder(clip_text_config(sizes.at("text_encoder"), "text_encoder"));
  CHECK(parameter_count(text_encoder) == 123'060'480);
  CHECK(scheduler_config(sizes.at("scheduler"), "scheduler").num_train_timesteps == 1000);
}
