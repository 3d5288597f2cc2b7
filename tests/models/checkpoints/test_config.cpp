#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "models/checkpoints/config.h"
#include "tensor/error.h"
#include "tensor/files/json.h"

using namespace cutaway;
using nlohmann::json;

namespace {

template <class Read>
std::string refusal(Read read, const json& values) {
  try {
    read(values, "x/config.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

template <class Read>
void check_refused(Read read, const json& values, const std::string& says) {
  const std::string said = refusal(read, values);
  CAPTURE(values.dump());
  CAPTURE(said);
  CHECK(said.find(says) != std::string::npos);
  CHECK(said.find("x/config.json") == 0);
  CHECK(said.find('\n') == std::string::npos);
}

}  // namespace

TEST_CASE("an empty configuration is Stable Diffusion 1.5") {
  const UNetConfig unet = unet_config(json::object(), "c");
  CHECK(unet.block_out_channels == std::vector<int64_t>{320, 640, 1280, 1280});
  CHECK(unet.attends == std::vector<bool>{true, true, true, false});
  CHECK(unet.heads == std::vector<int64_t>{8, 8, 8, 8});
  CHECK(vae_config(json::object(), "c").scale() == 8);
  CHECK(clip_text_config(json::object(), "c").num_hidden_layers == 12);
}

TEST_CASE("the demo model's configuration is read") {
  const std::string demo = CUTAWAY_SOURCE_DIR "/weights/demo/";
  const UNetConfig unet = unet_config(read_json_file(demo + "unet/config.json"), "unet/config.json");
  CHECK(unet.block_out_channels == std::vector<int64_t>{32, 64, 128, 128});
  CHECK(unet.heads == std::vector<int64_t>{4, 4, 4, 4});
  CHECK(unet.norm_num_groups == 8);
  const SchedulerConfig scheduler =
      scheduler_config(read_json_file(demo + "scheduler/scheduler_config.json"), "s");
  CHECK(scheduler.prediction_type == PredictionType::v_prediction);
  CHECK(scheduler.beta_schedule == BetaSchedule::scaled_linear);
  CHECK(scheduler.timestep_spacing == TimestepSpacing::leading);
  CHECK(scheduler.steps_offset == 1);
  CHECK_FALSE(scheduler.set_alpha_to_one);
  CHECK_FALSE(scheduler.clip_sample);
}

TEST_CASE("one head count for each level, as in SD 2") {
  const UNetConfig unet = unet_config(json{{"attention_head_dim", {5, 10, 20, 20}},
                                           {"use_linear_projection", true},
                                           {"cross_attention_dim", 1024}},
                                      "c");
  CHECK(unet.heads == std::vector<int64_t>{5, 10, 20, 20});
}

TEST_CASE("what cannot be drawn right is refused, with the file, the key and the rule") {
  CHECK(refusal(unet_config, json::array()).find("x/config.json must be a JSON object") == 0);
  const struct {
    json values;
    const char* says;
  } cases[] = {
      {{{"block_out_channels", {320, 640, 1280}}}, "\"down_block_types\" is absent, but must have one entry"},
      {{{"block_out_channels", json::array()}}, "must be a list of 1 to 16"},
      {{{"block_out_channels", {320, "wide", 1280, 1280}}}, "but must be a whole number"},
      {{{"block_out_channels", {30, 640, 1280, 1280}}}, "multiple of the 32 norm_num_groups"},
      {{{"layers_per_block", 2.5}}, "\"layers_per_block\" is 2.5, but must be a whole number from 1 to 16"},
      {{{"layers_per_block", -1}}, "\"layers_per_block\" is -1, but must be a whole number from 1 to 16"},
      {{{"cross_attention_dim", "768"}}, "\"cross_attention_dim\" is \"768\", but must be a whole number"},
      {{{"in_channels", 1e30}}, "\"in_channels\" is 1e+30, but must be a whole number"},
      {{{"norm_eps", "small"}}, "must be a number"},
      {{{"norm_eps", -1}}, "must be from"},
      {{{"attention_head_dim", 7}}, "multiple of the 7 attention heads"},
      {{{"attention_head_dim", {8, 8}}}, "one number for each level"},
      {{{"use_linear_projection", "yes"}}, "must be true or false"},
      {{{"act_fn", "gelu"}}, "must be \"silu\" or left out"},
      {{{"addition_embed_type", "text_time"}}, "not part of Stable Diffusion 1.x"},
      {{{"down_block_types", {"DownBlock2D", "DownBlock2D", "DownBlock2D", "Magic"}}},
       "only CrossAttnDownBlock2D"},
      {{{"down_block_types", {"DownBlock2D", "DownBlock2D", "DownBlock2D", "DownBlock2D"}}}, "must mirror"},
      {{{"down_block_types", {1, 2, 3, 4}}}, "must be a list of texts"},
  };
  for (const auto& c : cases) {
    SUBCASE(c.says) { check_refused(unet_config, c.values, c.says); }
  }
}

TEST_CASE("what cannot be drawn right is refused: VAE, text encoder and noise schedule") {
  SUBCASE("no scale") { check_refused(vae_config, {{"scaling_factor", 0}}, "scaling_factor"); }
  SUBCASE("a VAE without quant_conv") {
    check_refused(vae_config, {{"use_quant_conv", false}}, "use_quant_conv");
  }
  SUBCASE("a VAE of another kind") { check_refused(vae_config, {{"latents_mean", {1}}}, "must be left out"); }
  SUBCASE("an unknown activation") {
    check_refused(clip_text_config, {{"hidden_act", "tanh"}}, "only quick_gelu and gelu");
  }
  SUBCASE("heads that do not fit") {
    check_refused(clip_text_config, {{"num_attention_heads", 7}}, "multiple");
  }
  SUBCASE("more layers than there can be") {
    check_refused(clip_text_config, {{"num_hidden_layers", 1001}}, "from 1 to 1000");
  }
  SUBCASE("an unknown schedule") {
    check_refused(scheduler_config, {{"beta_schedule", "magic"}}, "\"beta_schedule\": ");
  }
  SUBCASE("an unknown prediction") {
    check_refused(scheduler_config, {{"prediction_type", "sample"}}, "prediction_type");
  }
  SUBCASE("betas that are no numbers") {
    check_refused(scheduler_config, {{"trained_betas", {0.1, "x"}}}, "must be a list of numbers");
  }
  SUBCASE("more steps than there can be") {
    check_refused(scheduler_config, {{"num_train_timesteps", 1e9}}, "must be a whole number");
  }
}
