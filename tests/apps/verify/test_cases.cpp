// Cases made here, of our own layers: what a case may say of a layer, and what it may not set.
#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>

#include "apps/verify/cases.h"
#include "apps/verify/fixture.h"
#include "models/unets/unet_sd.h"
#include "nn/formula_weights.h"
#include "tensor/error.h"
#include "tensor/ops.h"

namespace cutaway::verify {
namespace {

namespace fs = std::filesystem;

template <class Layer>
Layer loaded(Layer layer) {
  load_weights(layer, "", FormulaSource());
  return layer;
}

/// A file with the weights of a layer and the tensors given, as a case of that kind.
class MadeCase {
 public:
  template <class Layer>
  MadeCase(const std::string& kind, Layer layer, std::vector<NamedTensor> tensors) {
    manifest_.folder =
        (fs::temp_directory_path() / ("cutaway-verify-cases-" + std::to_string(getpid()))).string();
    fs::create_directory(manifest_.folder);
    entry_ = {.file = "case.safetensors", .kind = kind, .weights = "file", .params = {}, .tensors = {}};
    for (const NamedTensor& named : tensors) {
      const Role role = named.name.starts_with("in/")    ? Role::input
                        : named.name.starts_with("out/") ? Role::output
                                                         : Role::trace;
      entry_.tensors.push_back({named.name, role, extents_of(named.tensor.shape()), "F32", 1e-6});
    }
    for_each_weight(layer, "", [&](const std::string& name, const Weight& weight) {
      Tensor values(weight.shape);
      weight.read(0, weight.shape.count(), values.mutable_data());
      tensors.push_back({name, values});
    });
    write_safetensors(manifest_.path_of(entry_.file), tensors);
  }
  ~MadeCase() {
    std::error_code ignored;
    fs::remove_all(manifest_.folder, ignored);
  }
  MadeCase(const MadeCase&) = delete;
  MadeCase& operator=(const MadeCase&) = delete;

  /// The names of the values that are wrong.
  std::vector<std::string> wrong(const nlohmann::json& params) {
    entry_.params = Params(params, "the case");
    std::vector<std::string> names;
    for (const Comparison& comparison : verify::run({.manifest = &manifest_, .entry = &entry_, .part = ""}))
      if (!comparison.passed()) names.push_back(comparison.name);
    return names;
  }

 private:
  Manifest manifest_;
  FileEntry entry_;
};

const UNetConfig config = {.block_out_channels = {4, 4},
                           .attends = {false, false},
                           .heads = {1, 1},
                           .layers_per_block = 1,
                           .norm_num_groups = 2};

TEST_CASE("a case says which eps it was made with, but does not set it") {
  const Tensor x = formula_input("x", {1, 4, 3, 5}), temb = formula_input("temb", {1, 16});
  const ResBlock block = loaded(sd::resblock(config, 4, 4));
  MadeCase made("resblock", block,
                {{"in/hidden_states", x}, {"in/temb", temb}, {"out/sample", block(x, temb)}});
  CHECK(made.wrong({{"groups", 2}}).empty());
  CHECK(made.wrong({{"groups", 2}, {"eps", 1e-5}}).empty());
  CHECK_THROWS_WITH_AS(made.wrong({{"groups", 2}, {"eps", 1e-3}}),
                       "the case was made with eps 0.001, but here norm1 has 1e-05", Error);

  const SpatialTransformer transformer = loaded(SpatialTransformer(4, 4, 1, 2));
  const Tensor prompt = formula_input("prompt", {1, 7, 4});
  MadeCase of_transformer("transformer_2d", transformer,
                          {{"in/hidden_states", x},
                           {"in/encoder_hidden_states", prompt},
                           {"out/sample", transformer(x, prompt)}});
  const nlohmann::json sizes = {{"groups", 2}, {"heads", 1}};
  CHECK(of_transformer.wrong(sizes).empty());
  for (const auto& [key, eps] : {std::pair("eps", 1e-5), {"layer_norm_eps", 1e-6}}) {
    nlohmann::json params = sizes;
    params[key] = eps;
    CHECK_THROWS_AS(of_transformer.wrong(params), Error);
  }
}

TEST_CASE("an activation's value is that which goes into the next layer") {
  const Tensor x = formula_input("x", {1, 4, 3, 5}), temb = formula_input("temb", {1, 16});
  const ResBlock block = loaded(sd::resblock(config, 4, 4));
  MadeCase made("resblock", block,
                {{"in/hidden_states", x},
                 {"in/temb", temb},
                 {"trace/nonlinearity", silu(block.norm1(x))},
                 {"trace/nonlinearity#1", temb},  // as if there were no SiLU
                 {"trace/time_emb_proj", (*block.time_emb_proj)(silu(temb))},
                 {"out/sample", block(x, temb)}});
  CHECK(made.wrong({{"groups", 2}}) ==
        std::vector<std::string>{"trace/nonlinearity#1 (what goes into time_emb_proj)"});
}

TEST_CASE("activations that share a module go by the name of the first") {
  const std::vector<std::string> layers = {
      "",          "resnets.0",       "resnets.0.conv1",         "resnets.0.time_emb_proj", "resnets.0.conv2",
      "resnets.1", "resnets.1.conv1", "resnets.1.time_emb_proj", "resnets.1.conv2"};
  const std::map<std::string, ValueName> no_aliases;
  const ValueNameFinder finder(layers, no_aliases);
  CHECK(finder.find("trace", "resnets.0.nonlinearity")->path == "resnets.0.conv1");
  CHECK(finder.find("trace", "resnets.0.nonlinearity#4")->path == "resnets.1.time_emb_proj");
  CHECK(finder.find("trace", "resnets.1.nonlinearity#2")->path == "resnets.1.conv2");
  CHECK_FALSE(finder.find("trace", "resnets.0.nonlinearity#6"));
}

TEST_CASE("an Upsample's size may be given: odd sizes") {
  const Tensor x = formula_input("x", {1, 4, 3, 4}), size({2}, std::vector<float>{5, 7});
  const Upsample up = loaded(Upsample(4));
  MadeCase made("upsample_conv", up, {{"in/hidden_states", x}, {"out/sample", up(x, 5, 7)}});
  CHECK(made.wrong({{"upsample_size", {5, 7}}}).empty());
  CHECK(made.wrong(nlohmann::json::object()).size() == 1);
  CHECK_THROWS_AS(made.wrong({{"upsample_size", {5, 0}}}), Error);

  const sd::UpBlock block = loaded(sd::UpBlock(config, 1));
  const Tensor temb = formula_input("temb", {1, 16}), skip = formula_input("skip", {1, 4, 3, 4});
  std::vector<Tensor> skips = {Tensor::filled({1, 4, 5, 7}, 0), skip, skip};
  const Tensor sample = block(x, temb, {}, skips);
  MadeCase of_block("up_block", block,
                    {{"in/hidden_states", x},
                     {"in/temb", temb},
                     {"in/res0", skip},
                     {"in/res1", skip},
                     {"in/upsample_size", size},
                     {"out/sample", sample}});
  CHECK(sample.shape() == Shape{1, 4, 5, 7});
  CHECK(of_block.wrong({{"groups", 2}}).empty());
}

}  // namespace
}  // namespace cutaway::verify
