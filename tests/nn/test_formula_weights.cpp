// Weights that a formula makes: the numbers are recorded, so that every language makes the same.
#include <doctest/doctest.h>

#include "nn/formula_weights.h"

using namespace cutaway;

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
