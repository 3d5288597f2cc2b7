// The JSON header of a safetensors file, with every rule of the format enforced.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/files/safetensors.h"

namespace cutaway {

// The format's own limit on the header's length, and ours: far above any real file, they keep the memory that
// a hostile header can claim near the size of the file.
namespace safetensors_limits {
constexpr uint64_t header = 100'000'000;
constexpr size_t name = 4096;
constexpr size_t tensors = 50'000;
constexpr size_t extents = 32;
constexpr size_t metadata = 10'000;  // pairs of text
constexpr size_t piece = 4 << 20;    // of one string, number or run of white space
constexpr size_t text = 16 << 20;    // of all names and metadata together
}  // namespace safetensors_limits

/// All of a safetensors file but the numbers, which `tensors` point to.
struct SafetensorsHeader {
  std::vector<StoredTensor> tensors;  // in the order of their data, their bytes set
  std::map<std::string, std::string> metadata;
};

/// Reads the header of a whole file in memory. Checked are: the length, that the header is one JSON object in
/// UTF-8, that every tensor has exactly dtype, shape and data_offsets, that the dtype is known, that shape,
/// dtype and offsets agree, and that the tensors' data fill the file without hole or overlap. Names are not
/// compared with each other. Throws Error with one sentence that starts with `path`.
SafetensorsHeader read_safetensors_header(const std::string& path, std::span<const std::byte> file);

/// Bits of one value of a dtype; 0 when the format knows no such dtype.
int64_t safetensors_bits(std::string_view dtype);

}  // namespace cutaway
