// Random numbers against those of PyTorch 1.13 (torch.randn with a torch.Generator), bit for bit.
#include <doctest/doctest.h>

#include <bit>
#include <numbers>

#include "samplers/noise/torch_cpu.h"
#include "tests/samplers/trajectory.h"

namespace cutaway::test {
namespace {

using Numbers = std::vector<float>;

Numbers randn(TorchRandom& random, int64_t count) {
  const Tensor y = random.randn({count});
  return {y.values().begin(), y.values().end()};
}

// FNV-1a over the bytes of the numbers, lowest byte first.
uint64_t fingerprint(const Tensor& y) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const float value : y.values()) {
    const auto bits = std::bit_cast<uint32_t>(value);
    for (int shift = 0; shift < 32; shift += 8) hash = (hash ^ (bits >> shift & 0xFF)) * 0x100000001b3;
  }
  return hash;
}

}  // namespace

// clang-format off
TEST_CASE("randn of one generator, call after call") {
  TorchRandom random(42);
  CHECK(randn(random, 16) == Numbers{
      0x1.ed4a52p+0F, 0x1.7cbea6p+0F, 0x1.cd2acep-1F, -0x1.0d81b6p+1F, 0x1.5b59aap-1F, -0x1.3c0b22p+0F,
      -0x1.60cf0cp-5F, -0x1.9acb74p+0F, -0x1.8117e0p-1F, 0x1.a612b6p+0F, -0x1.91e5ecp-2F, -0x1.6752ccp+0F,
      -0x1.74acdcp-1F, -0x1.1e6da2p-1F, -0x1.89a540p-1F, 0x1.865f3ep-1F});
  // Not a multiple of sixteen: the last sixteen of the twenty are made anew.
  CHECK(randn(random, 20) == Numbers{
      0x1.a46ee2p+0F, -0x1.46db0ap-3F, -0x1.fd55c8p-2F, 0x1.c223b0p-2F, 0x1.468890p-2F, -0x1.b2b51ap-2F,
      0x1.390ee8p-2F, -0x1.8c9764p-1F, 0x1.1e007ep-5F, 0x1.48cf3ap-2F, 0x1.92d776p+0F, -0x1.b0e11cp-1F,
      -0x1.462ec6p+0F, 0x1.0fb76cp+1F, -0x1.3c123ap+0F, -0x1.f39fb2p-2F, -0x1.6b05fap+0F, 0x1.cae3aep-1F,
      0x1.98d32ep-5F, 0x1.2223d0p+1F});
  // Fewer than sixteen: in pairs, and the second of a pair waits for the next call, also behind a longer one.
  CHECK(randn(random, 3) == Numbers{0x1.0ba170p-1F, -0x1.e827a6p-3F, -0x1.98cee8p-5F});
  CHECK(randn(random, 4) == Numbers{0x1.0d7c0ap-1F, -0x1.167d4cp-7F, 0x1.75476ep-1F, 0x1.10acbcp-3F});
  const Numbers seventeen = randn(random, 17);
  CHECK(Numbers{seventeen[0], seventeen[1], seventeen[15], seventeen[16]} ==
        Numbers{0x1.62f758p-2F, 0x1.0c9b56p-1F, 0x1.91e35ap-4F, 0x1.be0446p+0F});
  CHECK(randn(random, 1) == Numbers{0x1.ba5b48p-1F});
}
// clang-format on

TEST_CASE("a seed above 32 bits counts with its lower half") {
  TorchRandom random((uint64_t{1} << 32) + 5), lower(5);
  const Numbers two = randn(random, 2);
  CHECK(two == Numbers{-0x1.f276a8p-2F, -0x1.35281ap-1F});
  CHECK(two == randn(lower, 2));
}

TEST_CASE("the noise of a 512 x 512 picture, all of its 16384 numbers") {
  TorchRandom random(0);
  const Tensor latent = random.randn({1, 4, 64, 64});
  CHECK(latent.data()[0] == -0x1.20370ap+0F);
  CHECK(latent.data()[16383] == -0x1.140570p+0F);
  CHECK(fingerprint(latent) == 0xdf763936577cac18);
}

TEST_CASE("the noise that the recorded pictures were drawn from") {
  for (int i = 0; i < 4; ++i) {
    CAPTURE(i);
    const std::string path =
        CUTAWAY_SOURCE_DIR "/tests/reference/demo/prompt" + std::to_string(i) + ".safetensors";
    const Tensor expected = SafetensorsFile::open(path).at("noise").to_tensor();
    TorchRandom random(1000 + static_cast<uint64_t>(i));
    CHECK_CLOSE(random.randn({1, 4, 16, 16}), expected, 0);
  }
}

TEST_CASE("wrong twins of the random numbers") {
  TorchRandom random(42);
  const Tensor torch = random.randn({1, 4, 16, 16});
  std::mt19937 generator(42);
  std::vector<float> uniform;
  for (int i = 0; i < 1024; ++i) uniform.push_back(static_cast<float>(generator() & 0xFFFFFF) * 0x1p-24F);
  const auto box_muller = [&](int partner) {
    Tensor y(torch.shape());
    for (size_t i = 0; i < 1024; i += 16) {
      for (size_t k = 0; k < 8; ++k) {
        const size_t a = i + (partner == 8 ? k : 2 * k), b = a + static_cast<size_t>(partner);
        const float radius = std::sqrt(-2 * std::log(1 - uniform[a]));
        y.mutable_data()[a] = radius * std::cos(2 * std::numbers::pi_v<float> * uniform[b]);
        y.mutable_data()[b] = radius * std::sin(2 * std::numbers::pi_v<float> * uniform[b]);
      }
    }
    return y;
  };
  CHECK_CLOSE(box_muller(8), torch, 2e-6);  // the library's log, sin and cos: near,
  CHECK_DIFFERS(box_muller(8), torch, 0);   // but not the same bits
  CHECK_DIFFERS(box_muller(1), torch, 1);   // neighbours as pairs
}

TEST_CASE("mean 0, variance 1") {
  TorchRandom random(7);
  const Tensor y = random.randn({100'000});
  double mean = 0, variance = 0;
  for (const float value : y.values()) mean += value / 1e5;
  for (const float value : y.values()) variance += (value - mean) * (value - mean) / 1e5;
  CHECK(std::fabs(mean) < 0.01);
  CHECK(std::fabs(variance - 1) < 0.02);
}

}  // namespace cutaway::test
