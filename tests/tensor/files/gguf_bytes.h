// Builds GGUF files byte by byte, the wrong ones too.
#pragma once

#include <string>
#include <vector>

#include "tests/tensor/files/torch_bytes.h"

namespace cutaway::test {

inline std::string long_text(const std::string& value) { return little_endian(value.size()) + value; }
inline std::string pair(const std::string& key, uint32_t type, const std::string& packed) {
  return long_text(key) + number_as(type, 4) + packed;
}

struct GgufTensor {
  std::string name = "w";
  std::vector<uint64_t> extents = {3, 2};  // fastest first
  uint32_t type = 0;
  uint64_t offset = 0;
};

struct GgufBytes {
  uint32_t version = 3;
  std::vector<std::string> pairs = {};
  std::vector<GgufTensor> tensors = {GgufTensor{}};
  int64_t tensors_said = -1, pairs_said = -1;
  size_t alignment = 32;
  std::string data = six_floats();

  std::string file() const {
    const auto said = [](int64_t value, size_t truth) {
      return value < 0 ? truth : static_cast<uint64_t>(value);
    };
    std::string out = "GGUF" + number_as(version, 4) + little_endian(said(tensors_said, tensors.size())) +
                      little_endian(said(pairs_said, pairs.size()));
    for (const std::string& entry : pairs) out += entry;
    for (const GgufTensor& tensor : tensors) {
      out += long_text(tensor.name) + number_as(tensor.extents.size(), 4);
      for (const uint64_t extent : tensor.extents) out += little_endian(extent);
      out += number_as(tensor.type, 4) + little_endian(tensor.offset);
    }
    while (out.size() % alignment != 0) out += '\0';
    return out + data;
  }
};

}  // namespace cutaway::test
