// Classifier-free guidance against recorded tensors.
#include <doctest/doctest.h>

#include "samplers/guidance.h"
#include "tensor/error.h"
#include "tests/samplers/trajectory.h"

namespace cutaway::test {
namespace {

SafetensorsFile reference() { return SafetensorsFile::open(reference_path("guidance.safetensors")); }

}  // namespace

TEST_CASE("guidance and its rescale") {
  const SafetensorsFile file = reference();
  const Tensor without = file.at("in/uncond").to_tensor(), with = file.at("in/text").to_tensor();
  for (const std::string name : {"1.0", "3.0", "7.5"}) {
    CAPTURE(name);
    const std::string cfg = "out/cfg_" + name;
    const Tensor expected = file.at(cfg).to_tensor(), actual = guided(without, with, std::stof(name));
    const double tolerance = 2e-6 * largest(expected);
    CHECK_CLOSE(actual, expected, tolerance);
    CHECK_CLOSE(rescale_guided(actual, with, 0.7F), file.at(cfg + "_rescale_0.7").to_tensor(), tolerance);
    CHECK_CLOSE(rescale_guided(actual, with, 1), file.at(cfg + "_rescale_1.0").to_tensor(), tolerance);
    CHECK_CLOSE(rescale_guided(actual, with, 0), actual, 0);
  }
}

TEST_CASE("wrong twins of guidance") {
  const SafetensorsFile file = reference();
  const Tensor without = file.at("in/uncond").to_tensor(), with = file.at("in/text").to_tensor();
  const Tensor expected = file.at("out/cfg_7.5").to_tensor(),
               rescaled = file.at("out/cfg_7.5_rescale_1.0").to_tensor();
  CHECK_DIFFERS(guided(with, without, 7.5F), expected, 1);  // towards the prediction without the prompt
  CHECK_DIFFERS(guided(without, with, 8.5F), expected, 1);  // the paper's w, which is one less
  const double of_both = standard_deviation(with) / standard_deviation(expected);
  CHECK_DIFFERS(scale(expected, static_cast<float>(of_both)), rescaled,
                1e-3);                                                  // one factor for the whole batch
  CHECK_DIFFERS(rescale_guided(expected, without, 1), rescaled, 1e-3);  // the spread of the other prediction
}

TEST_CASE("the standard deviation divides by n - 1") {
  const std::vector<float> values{1, 2, 3, 4};
  CHECK(standard_deviation(Tensor({4}, values)) == doctest::Approx(std::sqrt(5.0 / 3)));
}

TEST_CASE("guidance refuses what it cannot do") {
  const Tensor a = random_tensor({1, 4, 2, 2}, 1), b = random_tensor({1, 4, 2, 3}, 2);
  CHECK_THROWS_AS(guided(a, b, 2), Error);
  CHECK_THROWS_AS(rescale_guided(a, b, 0.5F), Error);
  CHECK_THROWS_AS(rescale_guided(a, a, 1.5F), Error);
  CHECK_THROWS_AS(rescale_guided(a, a, NAN), Error);
  const Tensor flat = Tensor::filled({1, 4, 2, 2}, 3);
  CHECK_CLOSE(rescale_guided(flat, a, 1), flat, 0);  // nothing to spread: no division by 0
}

}  // namespace cutaway::test
