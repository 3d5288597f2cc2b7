#include "models/checkpoints/config.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "tensor/error.h"

namespace cutaway {
namespace {

using nlohmann::json;

// A config.json with the rules that its keys must follow. Absent and null keys keep their defaults.
class Config {
 public:
  Config(const json& values, const std::string& where) : values_(values), where_(where) {
    if (!values.is_object()) throw Error(where + " must be a JSON object with the network's sizes");
  }

  bool has(const char* key) const { return values_.contains(key) && !values_.at(key).is_null(); }

  int64_t integer(const char* key, int64_t otherwise, int64_t low = 1, int64_t high = 1 << 20) const {
    return has(key) ? checked_integer(key, values_.at(key), low, high) : otherwise;
  }

  float number(const char* key, float otherwise, double low, double high) const {
    return static_cast<float>(real(key, static_cast<double>(otherwise), low, high));
  }

  double real(const char* key, double otherwise, double low, double high) const {
    if (!has(key)) return otherwise;
    const json& value = values_.at(key);
    if (!value.is_number()) refuse(key, "must be a number");
    const auto given = value.get<double>();
    if (!(given >= low && given <= high)) refuse(key, "must be from " + shown(low) + " to " + shown(high));
    return given;
  }

  // A value that `parse` knows by name; what it throws for others is told with the file and the key.
  template <class Value>
  void named(const char* key, Value (*parse)(std::string_view), Value& value) const {
    if (!has(key)) return;
    try {
      value = parse(text(key, ""));
    } catch (const Error& error) {
      throw Error(where_ + ": \"" + key + "\": " + error.what());
    }
  }

  bool flag(const char* key, bool otherwise) const {
    if (!has(key)) return otherwise;
    if (!values_.at(key).is_boolean()) refuse(key, "must be true or false");
    return values_.at(key).get<bool>();
  }

  std::string text(const char* key, const std::string& otherwise) const {
    if (!has(key)) return otherwise;
    if (!values_.at(key).is_string()) refuse(key, "must be a text");
    return values_.at(key).get<std::string>();
  }

  std::vector<int64_t> integers(const char* key, const std::vector<int64_t>& otherwise) const {
    if (!has(key)) return otherwise;
    std::vector<int64_t> list;
    for (const json& value : list_at(key)) list.push_back(checked_integer(key, value, 1, 1 << 20));
    return list;
  }

  std::vector<float> numbers(const char* key) const {
    std::vector<float> list;
    if (!has(key)) return list;
    if (!values_.at(key).is_array()) refuse(key, "must be a list");
    for (const json& value : values_.at(key)) {
      if (!value.is_number()) refuse(key, "must be a list of numbers");
      list.push_back(value.get<float>());
    }
    return list;
  }

  std::vector<std::string> texts(const char* key, const std::vector<std::string>& otherwise) const {
    if (!has(key)) return otherwise;
    std::vector<std::string> list;
    for (const json& value : list_at(key)) {
      if (!value.is_string()) refuse(key, "must be a list of texts");
      list.push_back(value.get<std::string>());
    }
    return list;
  }

  // A key that would change the network in a way this code does not know:
  // refuse rather than draw wrong pictures.
  void must_be(const char* key, const json& only) const {
    if (has(key) && values_.at(key) != only) {
      refuse(key,
             "must be " + only.dump() + " or left out: other values are not part of Stable Diffusion 1.x");
    }
  }
  void must_be_absent(const char* key) const {
    if (has(key)) refuse(key, "must be left out: it is not part of Stable Diffusion 1.x");
  }

  [[noreturn]] void refuse(const char* key, const std::string& rule) const {
    std::string value = values_.contains(key) ? values_.at(key).dump() : "absent";
    if (value.size() > 100) value = value.substr(0, 97) + "...";
    throw Error(where_ + ": \"" + key + "\" is " + value + ", but " + rule);
  }

 private:
  static std::string shown(double value) { return json(value).dump(); }

  const json& list_at(const char* key) const {
    const json& list = values_.at(key);
    if (!list.is_array() || list.empty() || list.size() > 16) refuse(key, "must be a list of 1 to 16 values");
    return list;
  }

  int64_t checked_integer(const char* key, const json& value, int64_t low, int64_t high) const {
    const bool in_range = value.is_number_integer() && value >= low && value <= high;
    if (!in_range)
      refuse(key, "must be a whole number from " + std::to_string(low) + " to " + std::to_string(high));
    return value.get<int64_t>();
  }

  const json& values_;
  std::string where_;
};

void channels_must_divide(const Config& config, const char* key, const std::vector<int64_t>& channels,
                          int64_t by, const std::string& what) {
  for (const int64_t count : channels) {
    if (count % by != 0)
      config.refuse(key, "each must be a multiple of the " + std::to_string(by) + " " + what);
  }
}

// attention_head_dim holds, against its name, the number of heads; newer files say num_attention_heads.
std::vector<int64_t> heads_of(const Config& config, const json& values, size_t levels) {
  const char* key = config.has("num_attention_heads") ? "num_attention_heads" : "attention_head_dim";
  if (config.has(key) && values.at(key).is_array()) {
    std::vector<int64_t> heads = config.integers(key, {});
    if (heads.size() != levels) config.refuse(key, "must have one number for each level");
    return heads;
  }
  return std::vector<int64_t>(levels, config.integer(key, 8));
}

bool is_one_of(const std::string& text, const char* a, const char* b) { return text == a || text == b; }

}  // namespace

UNetConfig unet_config(const json& values, const std::string& where) {
  const Config config(values, where);
  UNetConfig unet;
  unet.in_channels = config.integer("in_channels", unet.in_channels);
  unet.out_channels = config.integer("out_channels", unet.out_channels);
  unet.block_out_channels = config.integers("block_out_channels", unet.block_out_channels);
  unet.layers_per_block = config.integer("layers_per_block", unet.layers_per_block, 1, 16);
  unet.cross_attention_dim = config.integer("cross_attention_dim", unet.cross_attention_dim);
  unet.norm_num_groups = config.integer("norm_num_groups", unet.norm_num_groups);
  unet.norm_eps = config.number("norm_eps", unet.norm_eps, 0, 1);
  config.flag("use_linear_projection", false);  // how files write proj_in and proj_out; see nn/load.h
  unet.time.cos_first = config.flag("flip_sin_to_cos", true);
  unet.time.freq_shift = config.number("freq_shift", 0, 0, 1);

  const size_t levels = unet.block_out_channels.size();
  const std::vector<std::string> down =
      config.texts("down_block_types",
                   {"CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"});
  const std::vector<std::string> up = config.texts(
      "up_block_types", {"UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"});
  if (down.size() != levels)
    config.refuse("down_block_types", "must have one entry for each of block_out_channels");
  if (up.size() != levels)
    config.refuse("up_block_types", "must have one entry for each of block_out_channels");
  unet.attends.clear();
  for (const std::string& type : down) {
    if (!is_one_of(type, "CrossAttnDownBlock2D", "DownBlock2D")) {
      config.refuse("down_block_types", "only CrossAttnDownBlock2D and DownBlock2D are known");
    }
    unet.attends.push_back(type == "CrossAttnDownBlock2D");
  }
  for (size_t i = 0; i < levels; ++i) {
    if (up[levels - 1 - i] == (unet.attends[i] ? "CrossAttnUpBlock2D" : "UpBlock2D")) continue;
    config.refuse(
        "up_block_types",
        "must mirror down_block_types: CrossAttnUpBlock2D where the level has Transformers, else UpBlock2D");
  }
  unet.heads = heads_of(config, values, levels);

  channels_must_divide(config, "block_out_channels", unet.block_out_channels, unet.norm_num_groups,
                       "norm_num_groups");
  for (size_t i = 0; i < levels; ++i) {
    channels_must_divide(config, "block_out_channels", {unet.block_out_channels[i]}, unet.heads[i],
                         "attention heads");
  }
  if (unet.block_out_channels.front() % 2 != 0) {
    config.refuse("block_out_channels", "the first must be even: it is also the number of time waves");
  }
  config.must_be("mid_block_type", "UNetMidBlock2DCrossAttn");
  config.must_be("act_fn", "silu");
  config.must_be("center_input_sample", false);
  config.must_be("downsample_padding", 1);
  config.must_be("mid_block_scale_factor", 1);
  config.must_be("dual_cross_attention", false);
  config.must_be("only_cross_attention", false);
  config.must_be("resnet_time_scale_shift", "default");
  config.must_be("transformer_layers_per_block", 1);
  config.must_be("class_embeddings_concat", false);
  config.must_be("time_embedding_type", "positional");
  config.must_be("conv_in_kernel", 3);
  config.must_be("conv_out_kernel", 3);
  for (const char* key : {"class_embed_type", "addition_embed_type", "encoder_hid_dim",
                          "encoder_hid_dim_type", "num_class_embeds", "time_cond_proj_dim",
                          "time_embedding_dim", "time_embedding_act_fn", "timestep_post_act"}) {
    config.must_be_absent(key);
  }
  return unet;
}

int64_t sample_size_of(const json& values, const std::string& where) {
  return Config(values, where).integer("sample_size", 64, 1, 1024);
}

VaeConfig vae_config(const json& values, const std::string& where) {
  const Config config(values, where);
  VaeConfig vae;
  vae.in_channels = config.integer("in_channels", vae.in_channels);
  vae.out_channels = config.integer("out_channels", vae.out_channels);
  vae.latent_channels = config.integer("latent_channels", vae.latent_channels);
  vae.block_out_channels = config.integers("block_out_channels", vae.block_out_channels);
  vae.layers_per_block = config.integer("layers_per_block", vae.layers_per_block, 1, 16);
  vae.norm_num_groups = config.integer("norm_num_groups", vae.norm_num_groups);
  vae.scaling_factor = config.number("scaling_factor", vae.scaling_factor, 1e-6, 1e6);
  for (const std::string& type : config.texts("down_block_types", {"DownEncoderBlock2D"})) {
    if (type != "DownEncoderBlock2D") config.refuse("down_block_types", "only DownEncoderBlock2D is known");
  }
  for (const std::string& type : config.texts("up_block_types", {"UpDecoderBlock2D"})) {
    if (type != "UpDecoderBlock2D") config.refuse("up_block_types", "only UpDecoderBlock2D is known");
  }
  for (const char* key : {"down_block_types", "up_block_types"}) {
    if (config.has(key) && config.texts(key, {}).size() != vae.block_out_channels.size()) {
      config.refuse(key, "must have one entry for each of block_out_channels");
    }
  }
  channels_must_divide(config, "block_out_channels", vae.block_out_channels, vae.norm_num_groups,
                       "norm_num_groups");
  config.must_be("act_fn", "silu");
  config.must_be("mid_block_add_attention", true);
  config.must_be("use_quant_conv", true);
  config.must_be("use_post_quant_conv", true);
  config.must_be_absent("shift_factor");
  config.must_be_absent("latents_mean");
  return vae;
}

ClipTextConfig clip_text_config(const json& values, const std::string& where) {
  const Config config(values, where);
  ClipTextConfig clip;
  clip.vocab_size = config.integer("vocab_size", clip.vocab_size);
  clip.hidden_size = config.integer("hidden_size", clip.hidden_size);
  clip.intermediate_size = config.integer("intermediate_size", clip.intermediate_size);
  clip.num_hidden_layers = config.integer("num_hidden_layers", clip.num_hidden_layers, 1, 1000);
  clip.num_attention_heads = config.integer("num_attention_heads", clip.num_attention_heads);
  clip.max_position_embeddings = config.integer("max_position_embeddings", clip.max_position_embeddings, 3);
  clip.layer_norm_eps = config.number("layer_norm_eps", clip.layer_norm_eps, 0, 1);
  const std::string act = config.text("hidden_act", "quick_gelu");
  if (!is_one_of(act, "quick_gelu", "gelu"))
    config.refuse("hidden_act", "only quick_gelu and gelu are known");
  clip.hidden_act = act == "gelu" ? Activation::gelu : Activation::quick_gelu;
  if (clip.hidden_size % clip.num_attention_heads != 0) {
    config.refuse("hidden_size", "must be a multiple of num_attention_heads");
  }
  return clip;
}

SchedulerConfig scheduler_config(const json& values, const std::string& where) {
  const Config config(values, where);
  SchedulerConfig scheduler;
  scheduler.num_train_timesteps =
      config.integer("num_train_timesteps", scheduler.num_train_timesteps, 1, 1 << 16);
  scheduler.beta_start = config.real("beta_start", scheduler.beta_start, 0, 1);
  scheduler.beta_end = config.real("beta_end", scheduler.beta_end, 0, 1);
  scheduler.trained_betas = config.numbers("trained_betas");
  scheduler.rescale_betas_zero_snr = config.flag("rescale_betas_zero_snr", scheduler.rescale_betas_zero_snr);
  scheduler.steps_offset = config.integer("steps_offset", scheduler.steps_offset, 0, 1 << 16);
  scheduler.clip_sample = config.flag("clip_sample", scheduler.clip_sample);
  scheduler.clip_sample_range = config.real("clip_sample_range", scheduler.clip_sample_range, 0, 1e6);
  scheduler.set_alpha_to_one = config.flag("set_alpha_to_one", scheduler.set_alpha_to_one);
  scheduler.use_karras_sigmas = config.flag("use_karras_sigmas", scheduler.use_karras_sigmas);
  scheduler.lower_order_final = config.flag("lower_order_final", scheduler.lower_order_final);
  scheduler.euler_at_final = config.flag("euler_at_final", scheduler.euler_at_final);
  config.named("beta_schedule", beta_schedule_named, scheduler.beta_schedule);
  config.named("prediction_type", prediction_type_named, scheduler.prediction_type);
  config.named("timestep_spacing", timestep_spacing_named, scheduler.timestep_spacing);
  config.named("variance_type", variance_type_named, scheduler.variance_type);
  config.named("final_sigmas_type", final_sigma_named, scheduler.final_sigmas_type);
  config.must_be("thresholding", false);
  return scheduler;
}

}  // namespace cutaway
