#include "tensor/weight.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "tensor/error.h"
#include "tensor/memory.h"

namespace cutaway {

const char* to_string(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::f16:
      return "f16";
    case DType::bf16:
      return "bf16";
    case DType::q8_0:
      return "q8_0";
  }
  return "?";
}

int64_t stored_bytes(DType dtype, int64_t count) {
  if (dtype == DType::q8_0) return (count + q8_0_block - 1) / q8_0_block * q8_0_block_bytes;
  return count * (dtype == DType::f32 ? 4 : 2);
}

float bf16_to_f32(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

float f16_to_f32(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000U) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1FU;
  const uint32_t mantissa = bits & 0x3FFU;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000U | (mantissa << 13));  // infinity, NaN
  if (exponent == 0) {  // zero and subnormals: mantissa * 2^-24, exact in float32
    const float value = static_cast<float>(mantissa) * 0x1p-24F;
    return sign != 0 ? -value : value;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

uint16_t f32_to_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<uint16_t>((bits >> 16) | 0x40U);  // stay a NaN
  return static_cast<uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

uint16_t f32_to_f16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000U);
  const uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return static_cast<uint16_t>(sign | 0x7E00U);   // NaN
  if (magnitude >= 0x477FF000U) return static_cast<uint16_t>(sign | 0x7C00U);  // rounds to infinity
  if (magnitude < 0x38800000U) {  // subnormal in f16: adding 0.5 leaves the rounded mantissa in the low bits
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3F000000U));
  }
  const uint32_t rounded = magnitude + 0xFFFU + ((magnitude >> 13) & 1U);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000U) >> 13));
}

bool pack_q8_0(const float* values, unsigned char* block) {
  float largest = 0;
  for (int64_t i = 0; i < q8_0_block; ++i) {
    if (!std::isfinite(values[i])) return false;
    largest = std::max(largest, std::fabs(values[i]));
  }
  const float scale = largest / 127, inverse = scale > 0 ? 1 / scale : 0;
  const uint16_t bits = f32_to_f16(scale);
  if (bits == 0x7C00U || !std::isfinite(inverse)) return false;
  std::memcpy(block, &bits, sizeof bits);
  for (int64_t i = 0; i < q8_0_block; ++i) {
    block[2 + i] = static_cast<unsigned char>(static_cast<int8_t>(std::round(values[i] * inverse)));
  }
  return true;
}

int64_t stored_bytes(const Weight& weight) { return stored_bytes(weight.dtype, weight.shape.count()); }

Weight Weight::of(const Tensor& values, std::string name) {
  Weight weight(values.shape());
  weight.name = std::move(name);
  const auto owner = std::make_shared<Tensor>(values);
  weight.data = owner->data();
  weight.owner = owner;
  return weight;
}

void Weight::read(int64_t begin, int64_t count, float* out) const {
  if (!loaded())
    throw Error("the weight '" + name + "' of shape " + to_string(shape) + " has not been loaded");
  if (dtype == DType::q8_0) {
    for (int64_t i = 0; i < count; ++i) {
      const auto* block =
          static_cast<const unsigned char*>(data) + (begin + i) / q8_0_block * q8_0_block_bytes;
      uint16_t scale = 0;
      std::memcpy(&scale, block, sizeof scale);
      const auto number = static_cast<int8_t>(block[2 + (begin + i) % q8_0_block]);
      out[i] = f16_to_f32(scale) * static_cast<float>(number);
    }
    return;
  }
  const auto* bytes = static_cast<const unsigned char*>(data) + stored_bytes(dtype, begin);
  if (dtype == DType::f32) {
    std::memcpy(out, bytes, static_cast<size_t>(count) * sizeof(float));
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    uint16_t bits = 0;
    std::memcpy(&bits, bytes + 2 * i, sizeof bits);
    out[i] = dtype == DType::f16 ? f16_to_f32(bits) : bf16_to_f32(bits);
  }
}

WeightValues Weight::f32() const {
  const bool aligned = reinterpret_cast<uintptr_t>(data) % alignof(float) == 0;
  if (loaded() && dtype == DType::f32 && aligned) return WeightValues(static_cast<const float*>(data));
  Tensor converted(shape);
  if (!in_dry_run()) read(0, shape.count(), converted.mutable_data());
  return WeightValues(std::move(converted));
}

}  // namespace cutaway
