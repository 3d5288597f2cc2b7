#include <doctest/doctest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "models/checkpoints/compvis_names.h"
#include "models/clip_text.h"
#include "tensor/files/json.h"

using namespace cutaway;

namespace {

const std::string names_folder = std::string(CUTAWAY_SOURCE_DIR) + "/tests/reference/names/";

struct Row {
  std::string theirs;
  bool reshaped;
};

// What diffusers' own converter makes of each name: our name -> theirs, for one part.
std::map<std::string, Row> rows_of(const std::string& part) {
  std::map<std::string, Row> rows;
  const nlohmann::json json = read_json_file(names_folder + "diffusers_to_compvis.json");
  for (const auto& row : json.at("map")) {
    if (row.at(0) == part) rows[row.at(1)] = {row.at(2), !row.at(3).get<std::string>().empty()};
  }
  return rows;
}

std::map<std::string, Shape> shapes_in_single_file() {
  std::map<std::string, Shape> shapes;
  const nlohmann::json json = read_json_file(names_folder + "compvis_sd15_single_file.json");
  for (const auto& tensor : json.at("tensors")) {
    const auto extents = tensor.at(1).get<std::vector<int64_t>>();
    shapes[tensor.at(0)] = Shape(std::span<const int64_t>(extents));
  }
  return shapes;
}

// Every weight of the network against the manifest: names one to one, shapes the same but for the reshapes.
template <class Network, class NameOf>
int compare(Network& network, const std::string& part, const NameOf& name_of) {
  const std::map<std::string, Row> rows = rows_of(part);
  const std::map<std::string, Shape> shapes = shapes_in_single_file();
  std::set<std::string> seen;
  int reshaped = 0;
  for_each_weight(network, "", [&](const std::string& ours, const Weight& weight) {
    INFO(ours);
    const std::optional<std::string> theirs = name_of(ours);
    REQUIRE(theirs.has_value());
    REQUIRE(rows.contains(ours));
    CHECK(*theirs == rows.at(ours).theirs);
    CHECK(seen.insert(*theirs).second);
    REQUIRE(shapes.contains(*theirs));
    const Shape& shape = shapes.at(*theirs);
    if (rows.at(ours).reshaped) {
      ++reshaped;
      CHECK(shape == Shape{weight.shape[0], weight.shape[1], 1, 1});
    } else {
      CHECK(shape == weight.shape);
    }
  });
  size_t buffers = 0;
  for (const auto& [ours, row] : rows) buffers += ours.ends_with("position_ids") ? 1 : 0;
  CHECK(seen.size() + buffers == rows.size());
  return reshaped;
}

std::optional<std::string> below(const char* prefix, const std::optional<std::string>& name) {
  return name ? std::optional(prefix + *name) : std::nullopt;
}

}  // namespace

TEST_CASE("the names of the UNet in CompVis' code are those of diffusers' converter") {
  UNet unet;
  CHECK(compare(unet, "unet", [&](const std::string& name) {
          return below(compvis_unet_prefix, compvis_unet_name(name, unet.config));
        }) == 0);
}

TEST_CASE("the names of the VAE in CompVis' code are those of diffusers' converter") {
  AutoencoderKL vae;
  CHECK(compare(vae, "vae", [&](const std::string& name) {
          return below(compvis_vae_prefix, compvis_vae_name(name, vae.config));
        }) == 8);
}

TEST_CASE("the text encoder has transformers' names in CompVis' code too") {
  CLIPTextModel text;
  CHECK(compare(text, "text_encoder",
                [](const std::string& name) { return std::optional(compvis_text_prefix + name); }) == 0);
}

TEST_CASE("the numbers of CompVis' blocks follow the sizes") {
  // Worked by hand from openaimodel.py: one level that attends, one ResBlock: conv_in, block, no Downsample.
  const UNetConfig one{.block_out_channels = {32}, .attends = {true}, .heads = {8}, .layers_per_block = 1};
  CHECK(compvis_unet_name("up_blocks.0.attentions.1.norm.bias", one) == "output_blocks.1.1.norm.bias");
  const UNetConfig three{.block_out_channels = {8, 16, 16},
                         .attends = {true, false, true},
                         .heads = {2, 2, 2},
                         .layers_per_block = 3};
  CHECK(compvis_unet_name("down_blocks.1.resnets.2.conv1.bias", three) ==
        "input_blocks.7.0.in_layers.2.bias");
  CHECK(compvis_unet_name("down_blocks.1.downsamplers.0.conv.bias", three) == "input_blocks.8.0.op.bias");
  CHECK(compvis_unet_name("up_blocks.0.upsamplers.0.conv.bias", three) == "output_blocks.3.2.conv.bias");
  CHECK(compvis_unet_name("up_blocks.1.upsamplers.0.conv.bias", three) == "output_blocks.7.1.conv.bias");
  const VaeConfig vae{.block_out_channels = {32, 32, 64}, .layers_per_block = 1};
  CHECK(compvis_vae_name("decoder.up_blocks.0.resnets.1.conv1.bias", vae) ==
        "decoder.up.2.block.1.conv1.bias");
  CHECK(compvis_vae_name("decoder.up_blocks.2.resnets.0.conv_shortcut.bias", vae) ==
        "decoder.up.0.block.0.nin_shortcut.bias");
}

TEST_CASE("names that the network cannot have are not renamed") {
  const UNetConfig unet;
  for (const char* name :
       {"", "conv", "down_blocks", "down_blocks.4.resnets.0.conv1.bias", "down_blocks.0.resnets.2.conv1.bias",
        "down_blocks.x.resnets.0.conv1.bias", "up_blocks.0.resnets.3.conv1.bias", "down_blocks.0.resnets.0",
        "down_blocks.0.resnets.0.conv3.bias", "mid_block.resnets.2.conv1.bias",
        "down_blocks.-1.resnets.0.conv1.bias"}) {
    INFO(name);
    CHECK_FALSE(compvis_unet_name(name, unet).has_value());
  }
  const VaeConfig vae;
  for (const char* name :
       {"", "encoder", "encoder.conv", "encoder.down_blocks.4.resnets.0.conv1.bias",
        "encoder.down_blocks.0.resnets.2.conv1.bias", "decoder.mid_block.attentions.0.to_out.1.bias"}) {
    INFO(name);
    CHECK_FALSE(compvis_vae_name(name, vae).has_value());
  }
}

TEST_CASE("the VAE's attention had other names before") {
  const std::string at = "decoder.mid_block.attentions.0.";
  CHECK(older_vae_name(at + "to_q.weight") == at + "query.weight");
  CHECK(older_vae_name(at + "to_out.0.bias") == at + "proj_attn.bias");
  CHECK_FALSE(older_vae_name(at + "group_norm.weight").has_value());
  CHECK_FALSE(older_vae_name("decoder.conv_in.weight").has_value());
}
