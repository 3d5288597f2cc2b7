// Philox against the known answers of its authors, and the numbers that the webui documents.
#include <doctest/doctest.h>

#include "samplers/noise/torch_cpu.h"
#include "samplers/noise/torch_cuda.h"
#include "tests/check.h"

namespace cutaway::test {
namespace {

using Four = std::array<uint32_t, 4>;

// clang-format off
TEST_CASE("Philox4x32-10: the known answers of Random123") {
  CHECK(philox4x32_10({0, 0, 0, 0}, {0, 0}) == Four{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox4x32_10({~0U, ~0U, ~0U, ~0U}, {~0U, ~0U}) ==
        Four{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Four{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("torch.randn on a card, seed 0: the twelve numbers that the webui documents") {
  const Tensor expected({3, 4}, std::vector<float>{
      -0.92466259F, -0.42534415F, -2.6438457F, 0.14518388F, -0.12086647F, -0.57972564F, -0.62285122F, -0.32838709F,
      -1.07454231F, -0.36314407F, -1.67105067F, 2.26550497F});
  PhiloxRandom random(0);
  CHECK_CLOSE(random.randn({3, 4}), expected, 5e-7F);  // a card's sine and log have fewer digits
}
// clang-format on

// From the definition, written once more in Python with whole numbers of any size.
TEST_CASE("the second call goes on, both halves of the seed count, number i is the same in longer rows") {
  PhiloxRandom random(42);
  const Tensor first = random.randn({4}), second = random.randn({4});
  CHECK_CLOSE(
      second,
      Tensor({4}, std::vector<float>{0x1.1cf41ep-3F, -0x1.bb40dep-4F, -0x1.6f51f6p-1F, 0x1.836774p-1F}),
      1e-7F);
  CHECK_DIFFERS(first, second, 0.1F);
  PhiloxRandom large((uint64_t{7} << 32) + 5), longer(0);
  CHECK_CLOSE(large.randn({3}),
              Tensor({3}, std::vector<float>{0x1.f904f2p-3F, 0x1.8b7b40p-6F, 0x1.6670aap+0F}), 1e-7F);
  const Tensor latent = longer.randn({1, 4, 64, 64});
  CHECK(latent.data()[16383] == doctest::Approx(-0x1.7a2706p+1));
  CHECK(latent.data()[0] == doctest::Approx(-0.9246624));
}

TEST_CASE("wrong twins: the processor's numbers, and the other number of Box and Muller's pair") {
  PhiloxRandom card(0);
  TorchRandom processor(0);
  const Tensor numbers = card.randn({16});
  CHECK_DIFFERS(numbers, processor.randn({16}), 0.1F);
  double squares = 0;
  const Tensor many = PhiloxRandom(3).randn({1, 4, 64, 64});
  for (const float value : many.values()) squares += static_cast<double>(value) * static_cast<double>(value);
  CHECK(squares / 16384 == doctest::Approx(1).epsilon(0.03));
}

}  // namespace
}  // namespace cutaway::test
