#include <doctest/doctest.h>

#include <map>

#include "nn/formula_weights.h"
#include "nn/resblock.h"
#include "tensor/error.h"
#include "tests/check.h"

using namespace cutaway;

namespace {

class MapSource : public WeightSource {
 public:
  std::map<std::string, Weight> weights;
  std::string description() const override { return "a test"; }
  std::vector<std::string> names() const override {
    std::vector<std::string> list;
    for (const auto& [name, weight] : weights) list.push_back(name);
    return list;
  }
  std::optional<Weight> find(const std::string& name, const Shape&) const override {
    const auto found = weights.find(name);
    return found == weights.end() ? std::nullopt : std::optional(found->second);
  }
};

ResBlock small_block() { return ResBlock(4, 6, 8, 2, 1e-5F); }

MapSource source_for(ResBlock block) {
  MapSource source;
  for_each_weight(block, "", [&](const std::string& name, const Weight& weight) {
    source.weights[name] = Weight::of(test::random_tensor(weight.shape, 1), name);
  });
  return source;
}

bool any_loaded(ResBlock& block) {
  bool any = false;
  for_each_weight(block, "", [&](const std::string&, const Weight& weight) { any = any || weight.loaded(); });
  return any;
}

}  // namespace

TEST_CASE("names come in picture order, with the checkpoint's names") {
  ResBlock block = small_block();
  std::string names;
  for_each_weight(block, "r", [&](const std::string& name, const Weight&) { names += name + " "; });
  CHECK(
      names ==
      "r.norm1.weight r.norm1.bias r.conv1.weight r.conv1.bias r.time_emb_proj.weight r.time_emb_proj.bias "
      "r.norm2.weight r.norm2.bias r.conv2.weight r.conv2.bias r.conv_shortcut.weight r.conv_shortcut.bias ");
  CHECK(parameter_count(block) == 4 + 4 + 4 * 6 * 9 + 6 + 8 * 6 + 6 + 6 + 6 + 6 * 6 * 9 + 6 + 4 * 6 + 6);
}

TEST_CASE("loading fills every weight and gives every layer its path") {
  ResBlock block = small_block();
  load_weights(block, "unet.mid_block.resnets.0", source_for(block));
  CHECK(block.path == "unet.mid_block.resnets.0");
  CHECK(block.conv1.path == "unet.mid_block.resnets.0.conv1");
  CHECK(block(test::random_tensor({2, 4, 5, 3}, 2), test::random_tensor({2, 8}, 3)).shape() ==
        Shape{2, 6, 5, 3});
}

TEST_CASE("one report names everything missing, unexpected and mis-shaped, and nothing is loaded") {
  ResBlock block = small_block();
  MapSource source = source_for(block);
  source.weights.erase("conv2.bias");
  source.weights["extra.weight"] = Weight::of(test::random_tensor({1}, 1));
  source.weights["norm1.bias"] = Weight::of(test::random_tensor({5}, 1));
  std::string report;
  try {
    load_weights(block, "", source);
  } catch (const Error& error) {
    report = error.what();
  }
  CHECK(report.find("1 missing, 1 unexpected, 1 mis-shaped") != std::string::npos);
  CHECK(report.find("missing     conv2.bias") != std::string::npos);
  CHECK(report.find("unexpected  extra.weight") != std::string::npos);
  CHECK(report.find("norm1.bias: the network has [4], the file [5]") != std::string::npos);
  CHECK_FALSE(any_loaded(block));
}

TEST_CASE("the likely cause is told") {
  ResBlock block = small_block();
  MapSource whole_checkpoint;
  whole_checkpoint.weights["model.diffusion_model.time_embed.0.weight"] =
      Weight::of(test::random_tensor({1}, 1));
  CHECK_THROWS_WITH_AS(load_weights(block, "", whole_checkpoint),
                       doctest::Contains("a whole checkpoint in one file"), Error);
  MapSource incomplete = source_for(block);
  incomplete.weights.erase("norm2.weight");
  CHECK_THROWS_WITH_AS(load_weights(block, "", incomplete), doctest::Contains("the file is incomplete"),
                       Error);
}

TEST_CASE("names that may be there without being wanted are ignored") {
  ResBlock block = small_block();
  MapSource source = source_for(block);
  source.weights["position_ids"] = Weight::of(test::random_tensor({1}, 1));
  CHECK_THROWS_AS(load_weights(block, "", source), Error);
  CHECK_NOTHROW(load_weights(block, "", source, {"position_ids"}));
}

TEST_CASE("a layer that is not loaded says so with its path") {
  ResBlock block = small_block();
  set_paths(block, "unet.resnets.0");
  CHECK_THROWS_WITH_AS(
      block(test::random_tensor({1, 4, 2, 2}, 1), test::random_tensor({1, 8}, 1)),
      doctest::Contains("group_norm at unet.resnets.0.norm1: weight [4] has not been loaded"), Error);
}

TEST_CASE("the weight formula gives its recorded numbers") {
  CHECK(fnv1a64("") == 14695981039346656037U);
  CHECK(fnv1a64("conv_in.weight") == 2082520131938120871U);
  CHECK(splitmix64(0) == 16294208416658607535U);
  CHECK(splitmix64(12345678901234567890U) == 17967625711492519656U);
  const std::optional<Weight> weight = FormulaSource().find("conv_in.weight", {320, 4, 3, 3});
  const WeightValues w = weight->f32();
  CHECK(w[0] == 0.023750007152557373F);
  CHECK(w[1] == -0.127205953001976F);
  // The values are borrowed from the weight, which has to live as long.
  const std::optional<Weight> norm_weight = FormulaSource().find("conv_norm_out.weight", {320});
  const WeightValues norm = norm_weight->f32();
  CHECK(norm[0] == 0.9466798305511475F);
  const std::optional<Weight> bias_weight = FormulaSource().find("conv_in.bias", {320});
  const WeightValues bias = bias_weight->f32();
  CHECK(bias[0] == -0.051596272736787796F);
}
