#include <doctest/doctest.h>

#include <map>

#include "nn/load.h"
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

TEST_CASE("a linear layer's matrix fits a 1x1 convolution, and the other way round") {
  const Tensor numbers = test::random_tensor({6, 4}, 1);
  MapSource source;
  source.weights["weight"] = Weight::of(numbers);
  source.weights["bias"] = Weight::of(test::random_tensor({6}, 2));
  Conv2d conv = conv1x1(4, 6);
  load_weights(conv, "", source);
  CHECK(conv.weight.shape == Shape{6, 4, 1, 1});
  CHECK(conv.weight.f32()[5] == numbers.data()[5]);
  source.weights["weight"].shape = Shape{6, 4, 1, 1};
  Linear linear(4, 6);
  load_weights(linear, "", source);
  CHECK(linear.weight.shape == Shape{6, 4});
  Linear transposed(6, 4);
  CHECK_THROWS_WITH_AS(load_weights(transposed, "", source), doctest::Contains("2 mis-shaped"), Error);
}
