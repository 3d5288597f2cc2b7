// The trick: half-precision numbers need no special instructions, though every processor with AVX2 that is
// known has one (F16C), and then it is used (by GCC; Clang 14 inlines no asm with such long vectors). An f16
// has its exponent and mantissa where an f32 has them, three bits lower; shifted there and multiplied by
// 2^112 (the difference of the exponents' zeros) it has the same value, subnormals included. Only infinity
// and NaN must get the f32's largest exponent by hand.
#include "tensor/fast/read_weight.h"

#include <algorithm>
#include <cstring>

#include "tensor/fast/simd.h"
#include "tensor/memory.h"

namespace cutaway::fast {
namespace {

template <int width>
CUTAWAY_INLINE void f16_vector(const unsigned char* from, float* to) {
  using S = Simd<width>;
  using Bits = typename S::Bits;
  using Vec = typename S::Vec;
#if defined(__x86_64__) && !defined(__clang__)
  if constexpr (width > 4) {
    Vec values;
    asm("vcvtph2ps %1, %0" : "=v"(values) : "m"(*reinterpret_cast<const typename S::HalfAnywhere*>(from)));
    S::store(values, to);
    return;
  }
#endif
  const Bits half = __builtin_convertvector(*reinterpret_cast<const typename S::HalfAnywhere*>(from), Bits);
  const Bits magnitude = half & 0x7FFFU;
  const Vec scaled = (Vec)(magnitude << 13) * 0x1p112F;
  const Bits largest_exponent = (Bits)(magnitude >= 0x7C00U) & 0x7F800000U;
  S::store((Vec)((Bits)scaled | largest_exponent | ((half & 0x8000U) << 16)), to);
}

template <int width>
CUTAWAY_INLINE void bf16_vector(const unsigned char* from, float* to) {
  using S = Simd<width>;
  using Bits = typename S::Bits;
  const Bits half = __builtin_convertvector(*reinterpret_cast<const typename S::HalfAnywhere*>(from), Bits);
  S::store((typename S::Vec)(half << 16), to);
}

template <int width>
CUTAWAY_INLINE void from_f16_body(const unsigned char* from, int64_t vectors, float* to) {
  for (int64_t i = 0; i < vectors * 16; i += width) f16_vector<width>(from + 2 * i, to + i);
}
template <int width>
CUTAWAY_INLINE void from_bf16_body(const unsigned char* from, int64_t vectors, float* to) {
  for (int64_t i = 0; i < vectors * 16; i += width) bf16_vector<width>(from + 2 * i, to + i);
}

// Plain loops over a block, which the compiler turns into vectors of the ladder's width.
template <int>
CUTAWAY_INLINE void from_q8_0_body(const unsigned char* from, int64_t blocks, float* to) {
  for (int64_t b = 0; b < blocks; ++b, from += q8_0_block_bytes, to += q8_0_block) {
    uint16_t half = 0;
    std::memcpy(&half, from, sizeof half);
    const float scale = f16_to_f32(half);
    int8_t numbers[q8_0_block];
    std::memcpy(numbers, from + 2, sizeof numbers);
    for (int64_t i = 0; i < q8_0_block; ++i) to[i] = scale * static_cast<float>(numbers[i]);
  }
}

// `vectors` groups of 16 numbers.
CUTAWAY_LADDER(from_f16, (const unsigned char* from, int64_t vectors, float* to), (from, vectors, to))
CUTAWAY_LADDER(from_bf16, (const unsigned char* from, int64_t vectors, float* to), (from, vectors, to))
CUTAWAY_LADDER(from_q8_0, (const unsigned char* from, int64_t blocks, float* to), (from, blocks, to))

void read_q8_0(const unsigned char* first_block, int64_t begin, int64_t count, float* to) {
  const unsigned char* block = first_block + begin / q8_0_block * q8_0_block_bytes;
  // A stretch may start or end within a block.
  if (const int64_t skipped = begin % q8_0_block; skipped > 0) {
    float numbers[q8_0_block];
    from_q8_0(block, 1, numbers);
    const int64_t used = std::min(count, q8_0_block - skipped);
    to = std::copy_n(numbers + skipped, used, to);
    count -= used;
    block += q8_0_block_bytes;
  }
  const int64_t whole = count / q8_0_block;
  from_q8_0(block, whole, to);
  if (const int64_t rest = count % q8_0_block; rest > 0) {
    float numbers[q8_0_block];
    from_q8_0(block + whole * q8_0_block_bytes, 1, numbers);
    std::copy_n(numbers, rest, to + whole * q8_0_block);
  }
}

}  // namespace

void read_weight(const Weight& weight, int64_t begin, int64_t count, float* to) {
  const auto* data = static_cast<const unsigned char*>(weight.data);
  if (weight.dtype == DType::q8_0) return read_q8_0(data, begin, count, to);
  const auto* from = data + stored_bytes(weight.dtype, begin);
  if (weight.dtype == DType::f32) {
    std::memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
    return;
  }
  const auto convert = weight.dtype == DType::f16 ? from_f16 : from_bf16;
  const int64_t whole = count / 16 * 16;
  convert(from, whole / 16, to);
  if (whole < count) {  // the last ones with zeros behind them
    unsigned char rest[32] = {};
    float converted[16];
    std::memcpy(rest, from + 2 * whole, static_cast<size_t>(count - whole) * 2);
    convert(rest, 1, converted);
    std::copy_n(converted, count - whole, to + whole);
  }
}

const float* floats_of(const Weight& weight) {
  const bool aligned = reinterpret_cast<uintptr_t>(weight.data) % alignof(float) == 0;
  return weight.dtype == DType::f32 && aligned ? static_cast<const float*>(weight.data) : nullptr;
}

std::vector<float> read_bias(const std::optional<Weight>& bias) {
  std::vector<float> values;
  if (bias) {
    values.resize(static_cast<size_t>(bias->shape.count()));
    if (!in_dry_run()) read_weight(*bias, 0, bias->shape.count(), values.data());
  }
  return values;
}

}  // namespace cutaway::fast
