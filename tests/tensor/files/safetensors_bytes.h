// Builds safetensors files byte by byte, the wrong ones too.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace cutaway::test {

inline std::string little_endian(uint64_t number) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(number >> (8 * i));
  return bytes;
}

/// A file with this header, as it is, and these data.
inline std::string safetensors(std::string_view header, std::string_view data = "") {
  return little_endian(header.size()) + std::string(header) + std::string(data);
}

/// One value as its bytes in memory, which on little-endian machines are those of the file.
template <class Value>
std::string bytes_of(Value value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

}  // namespace cutaway::test
