// The blocks of CompVis' code: the same layers under other names.
#include "apps/verify/fixture.h"
#include "apps/verify/layers_from_shapes.h"
#include "tensor/error.h"

namespace cutaway::verify {
namespace {

using Names = std::vector<std::pair<std::string, std::string>>;  // theirs, ours

// Every layer that goes by another name there is found by it.
Fixture with_names(Fixture fixture, const Names& names) {
  for (const auto& [theirs, ours] : names) fixture.aliases[theirs] = ValueName::value_at(ours);
  return fixture;
}

Fixture compvis_resblock(const LayerSpec& b) {
  const Names names = {{"in_layers.0", "norm1"},          {"in_layers.2", "conv1"},
                       {"emb_layers.1", "time_emb_proj"}, {"out_layers.0", "norm2"},
                       {"out_layers.3", "conv2"},         {"skip_connection", "conv_shortcut"}};
  const WeightTable weights = b.weights.renamed(names);
  Fixture fixture = with_names(
      fixture_of(resblock_of(weights, "", unet_options(b.params).groups), weights,
                 [](const ResBlock& layer, const Inputs& in) {
                   return Outputs{{"h", layer(in.tensor("x"), in.has("emb") ? in.tensor("emb") : Tensor())}};
                 }),
      names);
  fixture.aliases["in_layers.1"] = ValueName::input_of("conv1");
  fixture.aliases["emb_layers.0"] = ValueName::input_of("time_emb_proj");
  fixture.aliases["out_layers.1"] = ValueName::input_of("conv2");
  // out_layers.2 is the dropout of training, so the same as before it
  fixture.aliases["out_layers.2"] = ValueName::input_of("conv2");
  fixture.aliases["in_layers"] = ValueName::value_at("conv1");
  fixture.aliases["emb_layers"] = ValueName::value_at("time_emb_proj");
  fixture.aliases["out_layers"] = ValueName::value_at("conv2");
  // Without a convolution it is the identity.
  if (!weights.has_below("conv_shortcut")) {
    fixture.aliases["skip_connection"] = ValueName::input_of("");
  }
  return fixture;
}

Fixture spatial_transformer(const LayerSpec& b) {
  return fixture_of(transformer_of(b.weights, "", unet_options(b.params)), b.source,
                    [](const SpatialTransformer& layer, const Inputs& in) {
                      return Outputs{{"h", layer(in.tensor("x"), in.tensor("context"))}};
                    });
}

Fixture compvis_downsample(const LayerSpec& b) {
  const Names names = {{"op", "conv"}};
  const WeightTable weights = b.weights.renamed(names);
  return with_names(one_to_one(downsample_of(weights, ""), weights, "x", "h"), names);
}

Fixture compvis_upsample(const LayerSpec& b) {
  return one_to_one(upsample_of(b.weights, ""), b.source, "x", "h");
}

Fixture vae_resnet_block(const LayerSpec& b) {
  const Names names = {{"nin_shortcut", "conv_shortcut"}, {"temb_proj", "time_emb_proj"}};
  const WeightTable weights = b.weights.renamed(names);
  return with_names(
      fixture_of(
          vae_resblock_of(weights, "", vae_options(b.params).groups), weights,
          [](const ResBlock& layer, const Inputs& in) {
            return Outputs{{"h", layer(in.tensor("x"), in.has("temb") ? in.tensor("temb") : Tensor())}};
          }),
      names);
}

Fixture vae_attn_block(const LayerSpec& b) {
  const Names names = {
      {"norm", "group_norm"}, {"q", "to_q"}, {"k", "to_k"}, {"v", "to_v"}, {"proj_out", "to_out.0"}};
  const WeightTable weights = b.weights.renamed(names);
  Fixture fixture =
      with_names(one_to_one(attn_block_of(weights, "", vae_options(b.params)), weights, "x", "h"), names);
  for (const char* name : {"q", "k", "v", "proj_out"}) {
    fixture.aliases[name].view = ValueName::View::tokens_as_image;
  }
  return fixture;
}

}  // namespace

const Builders& compvis_builders() {
  static const Builders table = {
      {"compvis_downsample", compvis_downsample},           {"compvis_resblock", compvis_resblock},
      {"compvis_spatial_transformer", spatial_transformer}, {"compvis_upsample", compvis_upsample},
      {"compvis_vae_attn_block", vae_attn_block},           {"compvis_vae_resnet_block", vae_resnet_block},
  };
  return table;
}

}  // namespace cutaway::verify
