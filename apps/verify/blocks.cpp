// The blocks of diffusers' networks, and of transformers' text encoder.
#include "apps/verify/fixture.h"
#include "apps/verify/layers_from_shapes.h"

namespace cutaway::verify {
namespace {

Tensor temb_of(const Inputs& in) { return in.has("temb") ? in.tensor("temb") : Tensor(); }
Tensor prompt_of(const Inputs& in) {
  return in.has("encoder_hidden_states") ? in.tensor("encoder_hidden_states") : Tensor();
}

// Height and width after an Upsample where they are not twice those before: of the case or of this run.
std::vector<int64_t> upsample_size(const Params& params, const Inputs& in) {
  std::vector<int64_t> size = params.integers("upsample_size");
  if (in.has("upsample_size")) {
    const std::vector<float> numbers = in.numbers("upsample_size");
    size.assign(numbers.begin(), numbers.end());
  }
  const bool fits = size.empty() || (size.size() == 2 && size[0] > 0 && size[1] > 0);
  if (!fits) params.refuse("upsample_size", "must be two numbers above 0, the height and the width");
  return size;
}

Fixture attention(const LayerSpec& b) {
  return fixture_of(attention_of(b.weights, "", unet_options(b.params).heads), b.source,
                    [](const CrossAttention& layer, const Inputs& in) {
                      const Tensor x = in.tensor("hidden_states");
                      const Tensor prompt = prompt_of(in);
                      return Outputs{{"y", layer(x, prompt.empty() ? x : prompt)}};
                    });
}

Fixture basic_transformer_block(const LayerSpec& b) {
  return fixture_of(transformer_block_of(b.weights, "", unet_options(b.params)), b.source,
                    [](const BasicTransformerBlock& layer, const Inputs& in) {
                      return Outputs{{"y", layer(in.tensor("hidden_states"), prompt_of(in))}};
                    });
}

Fixture transformer_2d(const LayerSpec& b) {
  Fixture fixture = fixture_of(transformer_of(b.weights, "", unet_options(b.params)), b.source,
                               [](const SpatialTransformer& layer, const Inputs& in) {
                                 return Outputs{{"sample", layer(in.tensor("hidden_states"), prompt_of(in))}};
                               });
  if (b.weights.shape("proj_in.weight").rank() == 2) {  // linear layers there, of tokens
    for (const char* name : {"proj_in", "proj_out"}) {
      fixture.aliases[name] = ValueName::value_at(name);
      fixture.aliases[name].view = ValueName::View::image_as_tokens;
    }
  }
  return fixture;
}

Fixture clip_encoder_layer(const LayerSpec& b) {
  return one_to_one(clip_layer_of(b.weights, b.params), b.source, "hidden_states", "y");
}

Fixture resblock(const LayerSpec& b) {
  const int64_t groups = unet_options(b.params).groups;
  const bool of_the_unet = b.weights.has_below("time_emb_proj");
  return fixture_of(of_the_unet ? resblock_of(b.weights, "", groups) : vae_resblock_of(b.weights, "", groups),
                    b.source, [](const ResBlock& layer, const Inputs& in) {
                      return Outputs{{"sample", layer(in.tensor("hidden_states"), temb_of(in))}};
                    });
}

Fixture time_embedding_mlp(const LayerSpec& b) {
  return one_to_one(time_embedding_of(b.weights, ""), b.source, "t_emb", "temb");
}

Fixture down_block(const LayerSpec& b) {
  return fixture_of(
      down_block_of(b.weights, unet_options(b.params)), b.source,
      [](const sd::DownBlock& layer, const Inputs& in) {
        std::vector<Tensor> skips;
        Outputs out{{"sample", layer(in.tensor("hidden_states"), temb_of(in), prompt_of(in), skips)}};
        for (size_t i = 0; i < skips.size(); ++i) out["state" + std::to_string(i)] = skips[i];
        return out;
      });
}

Fixture up_block(const LayerSpec& b) {
  return fixture_of(
      up_block_of(b.weights, unet_options(b.params)), b.source,
      [params = b.params](const sd::UpBlock& layer, const Inputs& in) {
        std::vector<Tensor> skips;  // the last one is joined first
        const std::vector<int64_t> size = upsample_size(params, in);
        if (!size.empty()) skips.push_back(Tensor({1, 1, size[0], size[1]}));  // of the next block
        for (int i = 0; in.has("res" + std::to_string(i)); ++i) {
          skips.push_back(in.tensor("res" + std::to_string(i)));
        }
        return Outputs{{"sample", layer(in.tensor("hidden_states"), temb_of(in), prompt_of(in), skips)}};
      });
}

Fixture mid_block(const LayerSpec& b) {
  return fixture_of(
      mid_block_of(b.weights, unet_options(b.params)), b.source,
      [](const sd::MidBlock& layer, const Inputs& in) {
        return Outputs{{"sample", layer(in.tensor("hidden_states"), temb_of(in), prompt_of(in))}};
      });
}

Fixture downsample(const LayerSpec& b) {
  const bool of_the_vae = b.params.integer("padding", 1) == 0;  // it pads before, right and bottom only
  return one_to_one(of_the_vae ? vae_downsample_of(b.weights, "") : downsample_of(b.weights, ""), b.source,
                    "hidden_states", "sample");
}

Fixture upsample(const LayerSpec& b) {
  return fixture_of(upsample_of(b.weights, ""), b.source,
                    [params = b.params](const Upsample& layer, const Inputs& in) {
                      const Tensor x = in.tensor("hidden_states");
                      const std::vector<int64_t> size = upsample_size(params, in);
                      return Outputs{{"sample", size.empty() ? layer(x) : layer(x, size[0], size[1])}};
                    });
}

Fixture attn_block(const LayerSpec& b) {
  return one_to_one(attn_block_of(b.weights, "", vae_options(b.params)), b.source, "hidden_states", "sample");
}

Fixture vae_down_encoder_block(const LayerSpec& b) {
  return one_to_one(vae_down_block_of(b.weights, vae_options(b.params)), b.source, "hidden_states", "sample");
}

Fixture vae_up_decoder_block(const LayerSpec& b) {
  return one_to_one(vae_up_block_of(b.weights, vae_options(b.params)), b.source, "hidden_states", "sample");
}

Fixture vae_mid_block(const LayerSpec& b) {
  return one_to_one(vae_mid_block_of(b.weights, vae_options(b.params)), b.source, "hidden_states", "sample");
}

}  // namespace

const Builders& block_builders() {
  static const Builders table = {
      {"attention", attention},
      {"basic_transformer_block", basic_transformer_block},
      {"clip_encoder_layer", clip_encoder_layer},
      {"cross_attn_down_block", down_block},
      {"cross_attn_up_block", up_block},
      {"down_block", down_block},
      {"downsample_conv", downsample},
      {"mid_block_cross_attn", mid_block},
      {"resblock", resblock},
      {"time_embedding_mlp", time_embedding_mlp},
      {"transformer_2d", transformer_2d},
      {"up_block", up_block},
      {"upsample_conv", upsample},
      {"vae_attention", attn_block},
      {"vae_down_encoder_block", vae_down_encoder_block},
      {"vae_mid_block", vae_mid_block},
      {"vae_up_decoder_block", vae_up_decoder_block},
  };
  return table;
}

}  // namespace cutaway::verify
