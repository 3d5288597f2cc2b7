// PyTorch makes normal numbers in two ways, both by Box & Muller (1958): two uniform numbers u1, u2 become
// sqrt(-2 log u1) cos(2 pi u2) and sqrt(-2 log u1) sin(2 pi u2). Sixteen numbers and more are made in float32
// with polynomials for log, sin and cos; fewer than sixteen one by one in double. To have the same bits
// everywhere, the polynomials are evaluated here in plain code, with each product and sum rounded as
// PyTorch's compiler had it.
#include "samplers/noise/torch_cpu.h"

#include <cmath>
#include <numbers>
#include <vector>

namespace cutaway {
namespace {

// a b + c in one rounding. std::fma is exact also where the processor has no such instruction.
float fused(float a, float b, float c) { return std::fma(a, b, c); }

// ((p[0] x + p[1]) x + ...) + p[n - 1]
template <size_t n>
float polynomial(const float (&p)[n], float x) {
  float y = p[0];
  for (size_t i = 1; i < n; ++i) y = fused(y, x, p[i]);
  return y;
}

// log(x) for 0 < x <= 1: x = m 2^e with m from sqrt(1/2) to sqrt(2), and with f = m - 1
//   log(x) = f - f^2 / 2 + f^3 P(f) + e log(2)
// Constants: logf of S. Moshier's Cephes library. log(2) is the sum of
// two numbers, of which the first is short.
float log_by_polynomial(float x) {
  constexpr float p[] = {7.0376836292e-2F,  -1.1514610310e-1F, 1.1676998740e-1F,
                         -1.2420140846e-1F, 1.4249322787e-1F,  -1.6668057665e-1F,
                         2.0000714765e-1F,  -2.4999993993e-1F, 3.3333331174e-1F};
  constexpr float log2_high = 0.693359375F, log2_low = -2.12194440e-4F;
  int exponent = 0;
  float m = std::frexp(x, &exponent);  // from 1/2 to 1
  if (m < 0.70710678F) {
    m *= 2;
    exponent -= 1;
  }
  const auto e = static_cast<float>(exponent);
  const float f = m - 1, square = f * f;
  float y = fused(polynomial(p, f) * f, square, e * log2_low);
  y = fused(-0.5F, square, y);
  return fused(e, log2_high, f + y);
}

struct SinCos {
  float sin, cos;
};

// sin(x) and cos(x) for 0 <= x < 2 pi: what is left of x after the nearest multiple j of pi/4, j even, is at
// most pi/4 and goes into two polynomials; j says which of them is the sine, and the signs. Constants: sinf
// and cosf of Cephes. pi/4 is the sum of three numbers, of which the first two are short.
SinCos sincos_by_polynomial(float x) {
  constexpr float for_sin[] = {-1.9515295891e-4F, 8.3321608736e-3F, -1.6666654611e-1F};
  constexpr float for_cos[] = {2.443315711809948e-5F, -1.388731625493765e-3F, 4.166664568298827e-2F};
  constexpr float quarter_pi[] = {0.78515625F, 2.4187564849853515625e-4F, 3.77489497744594108e-8F};
  const int j = (static_cast<int>(x * 1.27323954473516F) + 1) & ~1;  // 4 / pi
  for (const float part : quarter_pi) x = fused(-part, static_cast<float>(j), x);

  const float square = x * x;
  const float c = fused(polynomial(for_cos, square) * square, square, -(0.5F * square)) + 1;
  const float s = fused(polynomial(for_sin, square) * square, x, x);
  switch ((j / 2) % 4) {
    case 0:
      return {.sin = s, .cos = c};
    case 1:
      return {.sin = c, .cos = -s};
    case 2:
      return {.sin = -s, .cos = -c};
    default:
      return {.sin = -c, .cos = s};
  }
}

// Sixteen uniform numbers become normal ones: number i and number i + 8 are a pair.
void box_muller_16(float* values) {
  constexpr float two_pi = 2 * std::numbers::pi_v<float>;
  for (int i = 0; i < 8; ++i) {
    const float u1 = 1 - values[i], u2 = values[i + 8];  // u1 is never 0
    const float radius = std::sqrt(-2 * log_by_polynomial(u1));
    const auto [sin, cos] = sincos_by_polynomial(two_pi * u2);
    values[i] = radius * cos + 0.0F;  // + 0 makes -0 to 0
    values[i + 8] = radius * sin + 0.0F;
  }
}

}  // namespace

TorchRandom::TorchRandom(uint64_t seed) : generator_(static_cast<uint32_t>(seed)) {}

// 24 bits, as many as a float has.
float TorchRandom::uniform() { return static_cast<float>(generator_() & 0xFFFFFF) * 0x1p-24F; }

// 53 bits of two draws, the first on top.
double TorchRandom::uniform_double() {
  const uint64_t high = generator_(), low = generator_();
  return static_cast<double>((high << 32 | low) & 0x1FFFFFFFFFFFFF) * 0x1p-53;
}

float TorchRandom::normal() {
  if (second_) {
    const double value = *second_;
    second_.reset();
    return static_cast<float>(value);
  }
  const double u1 = uniform_double(), u2 = uniform_double();
  const double radius = std::sqrt(-2 * std::log(1 - u2)), angle = 2 * std::numbers::pi * u1;
  second_ = radius * std::sin(angle);
  return static_cast<float>(radius * std::cos(angle));
}

Tensor TorchRandom::randn(const Shape& shape) {
  const int64_t count = shape.count();
  Tensor y(shape);
  float* values = y.mutable_data();
  if (count < 16) {
    for (int64_t i = 0; i < count; ++i) values[i] = normal();
    return y;
  }
  for (int64_t i = 0; i < count; ++i) values[i] = uniform();
  for (int64_t i = 0; i + 16 <= count; i += 16) box_muller_16(values + i);
  if (count % 16 != 0) {  // the last sixteen are made anew from fresh numbers
    float* last = values + count - 16;
    for (int i = 0; i < 16; ++i) last[i] = uniform();
    box_muller_16(last);
  }
  return y;
}

}  // namespace cutaway
