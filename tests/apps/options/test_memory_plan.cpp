// What is done about memory without being asked.
#include <doctest/doctest.h>

#include "apps/options/memory_plan.h"
#include "nn/module.h"

namespace cutaway {
namespace {

// Weights of the shapes they have, and no numbers: a dry run reads none.
void pretend_to_load(StableDiffusion& model) {
  static const float nothing = 0;
  for_each_weight(model, "", [](const std::string&, Weight& weight) { weight.data = &nothing; });
}

MemoryPlan plan_for(const StableDiffusion& model) {
  GenerateOptions options;
  options.prompt = "a cat";
  options.steps = 1;
  options.height = options.width = 64;
  return memory_plan(model, options, {}, {});
}

}  // namespace

TEST_CASE("a large model lets go of each network's weights when it is done, a small one keeps them") {
  const std::string demo = CUTAWAY_SOURCE_DIR "/weights/demo";
  CHECK_FALSE(plan_for(StableDiffusion::load(demo)).let_go);
  StableDiffusion large{Tokenizer::load(demo + "/tokenizer"), CLIPTextModel(), UNet(), AutoencoderKL(), {}};
  pretend_to_load(large);
  const MemoryPlan plan = plan_for(large);
  CHECK(plan.let_go);
  CHECK(plan.measures() == "weights let go after each network");
}

}  // namespace cutaway
