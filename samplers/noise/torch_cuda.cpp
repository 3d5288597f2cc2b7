#include "samplers/noise/torch_cuda.h"

#include <cmath>

namespace cutaway {
namespace {

// Table 2 of the paper: two multipliers, and what the keys grow by each round.
constexpr uint64_t multiplier_0 = 0xD2511F53, multiplier_1 = 0xCD9E8D57;
constexpr uint32_t weyl_0 = 0x9E3779B9, weyl_1 = 0xBB67AE85;

uint32_t high(uint64_t product) { return static_cast<uint32_t>(product >> 32); }
uint32_t low(uint64_t product) { return static_cast<uint32_t>(product); }

// Box & Muller (1958) of two uniform numbers; the cosine's number is not used. The constants are float32,
// the rest is double.
float normal_of(uint32_t x, uint32_t y) {
  constexpr double step = 0x1p-32;
  constexpr double turn = static_cast<double>(6.2831855F) * 0x1p-32;  // 2 pi in float32
  const double u = x * step + step / 2;                               // above 0
  const double angle = y * turn + turn / 2;
  return static_cast<float>(std::sqrt(-2 * std::log(u)) * std::sin(angle));
}

}  // namespace

std::array<uint32_t, 4> philox4x32_10(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = multiplier_0 * counter[0], b = multiplier_1 * counter[2];
    counter = {high(b) ^ counter[1] ^ key[0], low(b), high(a) ^ counter[3] ^ key[1], low(a)};
    key = {key[0] + weyl_0, key[1] + weyl_1};
  }
  return counter;
}

Tensor PhiloxRandom::randn(const Shape& shape) {
  const uint32_t offset = calls_++;
  Tensor y(shape);
  float* values = y.mutable_data();
  for (int64_t i = 0; i < shape.count(); ++i) {
    const auto numbers = philox4x32_10({offset, 0, static_cast<uint32_t>(i), 0}, {low(seed_), high(seed_)});
    values[i] = normal_of(numbers[0], numbers[1]);
  }
  return y;
}

}  // namespace cutaway
