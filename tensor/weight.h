// Weight: a parameter of a layer, left where the file has it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "tensor/shape.h"
#include "tensor/tensor.h"

namespace cutaway {

/// q8_0 is ggml's: blocks of 32 numbers, an f16 scale and 32 signed bytes that it multiplies.
enum class DType { f32, f16, bf16, q8_0 };
const char* to_string(DType dtype);
/// What `count` numbers take in a file; of q8_0 whole blocks.
int64_t stored_bytes(DType dtype, int64_t count);
constexpr int64_t q8_0_block = 32, q8_0_block_bytes = 34;

/// Exact: every number of half precision and of bfloat16 is one of float32.
float f16_to_f32(uint16_t bits);
float bf16_to_f32(uint16_t bits);
/// Nearest, ties to even, as every other program rounds.
uint16_t f32_to_f16(float value);
uint16_t f32_to_bf16(float value);
/// Packs 32 finite numbers into the 34 bytes of a block, rounded as ggml does. False when the scale is too
/// large for f16 or a number is not finite.
bool pack_q8_0(const float* values, unsigned char* block);

/// The values of a Weight as float32: borrowed where the file already has them so, else a converted copy.
class WeightValues {
 public:
  explicit WeightValues(const float* borrowed) : data_(borrowed) {}
  explicit WeightValues(Tensor converted) : converted_(std::move(converted)), data_(converted_.data()) {}
  const float* data() const { return data_; }
  float operator[](int64_t i) const { return data_[i]; }

 private:
  Tensor converted_;
  const float* data_;
};

/// A layer declares the shape it needs; loading fills in where the numbers are. They stay in the
/// memory-mapped file in their stored dtype, so start-up copies nothing, and only operations read them.
struct Weight {
  std::string name;  // the full name in the checkpoint, for messages
  Shape shape;
  DType dtype = DType::f32;
  const void* data = nullptr;         // not loaded yet while null; may be unaligned in the file
  std::shared_ptr<const void> owner;  // keeps the mapped file (or the tensor) alive

  Weight() = default;
  explicit Weight(const Shape& needed) : shape(needed) {}
  /// A weight whose numbers are a tensor's.
  static Weight of(const Tensor& values, std::string name = "");

  bool loaded() const { return data != nullptr; }
  /// Converts values [begin, begin + count) into `out`.
  void read(int64_t begin, int64_t count, float* out) const;
  /// All values as float32. Throws Error when the weight is not loaded.
  WeightValues f32() const;
};
/// Bytes of a weight in its stored dtype.
int64_t stored_bytes(const Weight& weight);

}  // namespace cutaway
