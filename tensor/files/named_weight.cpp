#include "tensor/files/named_weight.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "tensor/error.h"
#include "tensor/files/text.h"

namespace cutaway {
namespace {

constexpr int64_t piece = 1 << 16;  // numbers; a multiple of q8_0's block

// Numbers too large for f16 would silently become infinite, and every picture black.
uint16_t checked_f16(float value, const std::string& path, const std::string& name) {
  const uint16_t bits = f32_to_f16(value);
  if ((bits & 0x7FFFU) == 0x7C00U && std::isfinite(value)) {
    throw Error("cannot write " + path + ": the tensor " + in_quotes(name) + " holds " +
                std::to_string(value) + ", which is too large for f16; bf16 and f32 hold it");
  }
  return bits;
}

void write_halves(FileWriter& file, const NamedWeight& named, std::span<const float> values,
                  const std::string& path) {
  std::vector<uint16_t> halves;
  halves.reserve(values.size());
  for (const float value : values) {
    halves.push_back(named.dtype == DType::f16 ? checked_f16(value, path, named.name) : f32_to_bf16(value));
  }
  file.write(std::as_bytes(std::span(halves)));
}

void write_blocks(FileWriter& file, const NamedWeight& named, std::span<const float> values,
                  const std::string& path) {
  std::vector<unsigned char> blocks(
      static_cast<size_t>(stored_bytes(DType::q8_0, static_cast<int64_t>(values.size()))));
  unsigned char* block = blocks.data();
  for (size_t i = 0; i < values.size(); i += q8_0_block, block += q8_0_block_bytes) {
    if (!pack_q8_0(values.data() + i, block)) {
      throw Error("cannot write " + path + ": the tensor " + in_quotes(named.name) +
                  " holds a number that is too large for q8_0, or none at all (NaN); f32 holds it");
    }
  }
  file.write(std::as_bytes(std::span(blocks)));
}

}  // namespace

void write_numbers(FileWriter& file, const NamedWeight& named, const std::string& path) {
  const Weight& weight = named.weight;
  const int64_t count = weight.shape.count();
  if (weight.dtype == named.dtype) {
    const auto* bytes = static_cast<const std::byte*>(weight.data);
    file.write(std::span(bytes, static_cast<size_t>(stored_bytes(weight.dtype, count))));
    return;
  }
  std::vector<float> buffer(static_cast<size_t>(std::min(piece, count)));
  for (int64_t begin = 0; begin < count; begin += piece) {
    const std::span<float> values(buffer.data(), static_cast<size_t>(std::min(piece, count - begin)));
    weight.read(begin, static_cast<int64_t>(values.size()), values.data());
    if (named.dtype == DType::f32) {
      file.write(std::as_bytes(values));
    } else if (named.dtype == DType::q8_0) {
      write_blocks(file, named, values, path);
    } else {
      write_halves(file, named, values, path);
    }
  }
}

}  // namespace cutaway
