// Weight: numbers in the dtype of the file. Every one of the 65536 half-precision patterns is tried.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "tensor/error.h"
#include "tensor/weight.h"
#include "tests/check.h"

using namespace cutaway;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

// IEEE 754 binary16 as written in the standard: (-1)^s 2^(e - 15) 1.m, subnormal 2^-14 0.m.
double f16_by_definition(uint32_t bits) {
  const double sign = (bits & 0x8000U) != 0 ? -1 : 1;
  const int exponent = static_cast<int>((bits >> 10) & 31U);
  const double mantissa = bits & 1023U;
  if (exponent == 31) return mantissa == 0 ? sign * infinity : std::numeric_limits<double>::quiet_NaN();
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

}  // namespace

TEST_CASE("f16: all 65536 patterns are what IEEE 754 says, and come back unchanged") {
  int wrong = 0, changed = 0;
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = f16_to_f32(static_cast<uint16_t>(bits));
    const double expected = f16_by_definition(bits);
    if (std::isnan(expected)) {
      wrong += std::isnan(value) ? 0 : 1;
      changed += std::isnan(f16_to_f32(f32_to_f16(value))) ? 0 : 1;
      continue;
    }
    wrong += value == expected && std::signbit(value) == std::signbit(expected) ? 0 : 1;
    changed += f32_to_f16(value) == bits ? 0 : 1;
  }
  CHECK(wrong == 0);
  CHECK(changed == 0);
}

TEST_CASE("bf16: all 65536 patterns are the upper half of a float32, and come back unchanged") {
  int wrong = 0, changed = 0;
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = bf16_to_f32(static_cast<uint16_t>(bits));
    wrong += std::bit_cast<uint32_t>(value) == bits << 16 ? 0 : 1;
    const uint16_t back = f32_to_bf16(value);
    changed += std::isnan(value) ? (std::isnan(bf16_to_f32(back)) ? 0 : 1) : (back == bits ? 0 : 1);
  }
  CHECK(wrong == 0);
  CHECK(changed == 0);
}

TEST_CASE("f32 to f16: between two neighbours the nearer one, in the middle the even one") {
  int wrong = 0;
  for (uint16_t bits = 0; bits < 0x7BFF; ++bits) {  // zero, subnormals, normals up to the largest but one
    const double low = f16_by_definition(bits), high = f16_by_definition(bits + 1U);
    const auto middle = static_cast<float>((low + high) / 2);  // exact: a float32 has 13 bits more
    const uint16_t even = bits % 2 == 0 ? bits : static_cast<uint16_t>(bits + 1);
    wrong += f32_to_f16(middle) == even ? 0 : 1;
    wrong += f32_to_f16(std::nextafter(middle, -infinity)) == bits ? 0 : 1;
    wrong += f32_to_f16(std::nextafter(middle, infinity)) == bits + 1 ? 0 : 1;
    wrong += f32_to_f16(-middle) == (even | 0x8000) ? 0 : 1;
  }
  CHECK(wrong == 0);
}

TEST_CASE("f32 to f16: the edges") {
  CHECK(f32_to_f16(65504.0F) == 0x7BFF);    // the largest
  CHECK(f32_to_f16(65519.996F) == 0x7BFF);  // just below the middle to the next, which would be 65536
  CHECK(f32_to_f16(65520.0F) == 0x7C00);    // the middle: infinity
  CHECK(f32_to_f16(infinity) == 0x7C00);
  CHECK(f32_to_f16(-infinity) == 0xFC00);
  CHECK(f32_to_f16(-1e30F) == 0xFC00);
  CHECK(f32_to_f16(0x1p-24F) == 0x0001);  // the smallest subnormal
  CHECK(f32_to_f16(0x1p-25F) == 0x0000);  // half of it: the even one is zero
  CHECK(f32_to_f16(0x1.8p-25F) == 0x0001);
  CHECK(f32_to_f16(-0x1p-26F) == 0x8000);     // minus zero keeps its sign
  CHECK(f32_to_f16(0x1p-14F) == 0x0400);      // the smallest normal
  CHECK(f32_to_f16(0x1.FFFp-15F) == 0x0400);  // rounds up into the normals
  CHECK(std::isnan(f16_to_f32(f32_to_f16(std::numeric_limits<float>::quiet_NaN()))));
  CHECK(
      std::isnan(f16_to_f32(f32_to_f16(std::bit_cast<float>(0x7F800001U)))));  // payload only in bits that go
}

TEST_CASE("f32 to bf16: nearest, ties to even, no NaN becomes infinity") {
  CHECK(f32_to_bf16(1.0F) == 0x3F80);
  CHECK(f32_to_bf16(std::bit_cast<float>(0x3F808000U)) == 0x3F80);  // a tie, down to even
  CHECK(f32_to_bf16(std::bit_cast<float>(0x3F808001U)) == 0x3F81);
  CHECK(f32_to_bf16(std::bit_cast<float>(0x3F818000U)) == 0x3F82);  // a tie, up to even
  CHECK(f32_to_bf16(std::bit_cast<float>(0x3F817FFFU)) == 0x3F81);
  CHECK(f32_to_bf16(std::numeric_limits<float>::max()) == 0x7F80);  // rounds to infinity
  CHECK(f32_to_bf16(-infinity) == 0xFF80);
  CHECK(f32_to_bf16(std::bit_cast<float>(0x00008000U)) == 0x0000);  // subnormals round like all others
  CHECK(f32_to_bf16(std::bit_cast<float>(0x00018000U)) == 0x0002);
  CHECK(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0x7F800001U)))));
  CHECK(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0xFFFFFFFFU)))));
}

TEST_CASE("Weight: float32 that is aligned is borrowed, not copied") {
  const Tensor values = test::random_tensor({3, 5}, 1);
  const Weight weight = Weight::of(values, "layer.weight");
  CHECK(weight.name == "layer.weight");
  CHECK(weight.shape == Shape{3, 5});
  CHECK(weight.f32().data() == values.data());
}

TEST_CASE("Weight: keeps its tensor alive") {
  Weight weight;
  {
    const Tensor values = test::random_tensor({3, 5}, 1);
    weight = Weight::of(values);
  }
  CHECK_CLOSE(Tensor({3, 5}, std::span<const float>(weight.f32().data(), 15)), test::random_tensor({3, 5}, 1),
              0);
}

TEST_CASE("Weight: every dtype at every offset of a byte") {
  const Tensor values = test::random_tensor({3, 5}, 2);
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    for (size_t offset = 0; offset < 8; ++offset) {
      std::vector<unsigned char> bytes(offset + 60);
      Weight weight(values.shape());
      weight.dtype = dtype;
      weight.data = bytes.data() + offset;
      Tensor expected(values.shape());
      for (int64_t i = 0; i < 15; ++i) {
        const float value = values.data()[i];
        unsigned char* to = bytes.data() + offset + stored_bytes(dtype, i);
        const uint16_t half = dtype == DType::f16 ? f32_to_f16(value) : f32_to_bf16(value);
        if (dtype == DType::f32) std::memcpy(to, &value, 4);
        if (dtype != DType::f32) std::memcpy(to, &half, 2);
        expected.mutable_data()[i] = dtype == DType::f32   ? value
                                     : dtype == DType::f16 ? f16_to_f32(half)
                                                           : bf16_to_f32(half);
      }
      CAPTURE(std::string(to_string(dtype)));
      CAPTURE(offset);
      const WeightValues all = weight.f32();
      CHECK_CLOSE(Tensor({3, 5}, std::span<const float>(all.data(), 15)), expected, 0);
      std::vector<float> part(4);
      weight.read(7, 4, part.data());
      for (int64_t i = 0; i < 4; ++i) CHECK(part[static_cast<size_t>(i)] == expected.data()[7 + i]);
    }
  }
}

TEST_CASE("q8_0: a scale, and 32 bytes that it multiplies") {
  float values[32];
  for (int i = 0; i < 32; ++i) values[i] = static_cast<float>(i - 16) / 8;  // -2 ... 1.875
  unsigned char bytes[3 + 34] = {};
  REQUIRE(pack_q8_0(values, bytes + 3));
  uint16_t scale = 0;
  std::memcpy(&scale, bytes + 3, 2);
  CHECK(scale == f32_to_f16(2.0F / 127));
  CHECK(static_cast<int8_t>(bytes[3 + 2]) == -127);
  CHECK(static_cast<int8_t>(bytes[3 + 2 + 16]) == 0);
  CHECK(static_cast<int8_t>(bytes[3 + 2 + 31]) == 119);  // 1.875 * 127 / 2 = 119.06
  Weight weight(Shape{4, 8});
  weight.dtype = DType::q8_0;
  weight.data = bytes + 3;  // unaligned
  float read[5];
  weight.read(14, 5, read);
  for (int i = 0; i < 5; ++i) CHECK(std::fabs(read[i] - values[14 + i]) < 1.0F / 127);
  CHECK(read[2] == 0);
  CHECK(read[0] == f16_to_f32(scale) * -16);  // -0.25 * 127 / 2 = -15.9

  const float zeros[32] = {};
  REQUIRE(pack_q8_0(zeros, bytes));
  weight.data = bytes;
  CHECK(weight.f32()[31] == 0);
  values[5] = std::numeric_limits<float>::quiet_NaN();
  CHECK_FALSE(pack_q8_0(values, bytes));
  values[5] = 1e7F;  // a scale of 78740 is no f16
  CHECK_FALSE(pack_q8_0(values, bytes));
  values[5] = 8e6F;
  CHECK(pack_q8_0(values, bytes));
}

TEST_CASE("Weight: not loaded yet") {
  Weight weight(Shape{320, 4, 3, 3});
  weight.name = "unet.conv_in.weight";
  CHECK_FALSE(weight.loaded());
  const char* message = "the weight 'unet.conv_in.weight' of shape [320, 4, 3, 3] has not been loaded";
  CHECK_THROWS_WITH_AS(weight.f32(), message, Error);
  float value = 0;
  CHECK_THROWS_WITH_AS(weight.read(0, 1, &value), message, Error);
}

TEST_CASE("DType: names and sizes") {
  CHECK(std::string(to_string(DType::f32)) == "f32");
  CHECK(std::string(to_string(DType::f16)) == "f16");
  CHECK(std::string(to_string(DType::bf16)) == "bf16");
  CHECK(std::string(to_string(DType::q8_0)) == "q8_0");
  CHECK(stored_bytes(DType::f32, 33) == 132);
  CHECK(stored_bytes(DType::f16, 33) == 66);
  CHECK(stored_bytes(DType::bf16, 33) == 66);
  CHECK(stored_bytes(DType::q8_0, 32) == 34);
  CHECK(stored_bytes(DType::q8_0, 33) == 68);
}
