// What the fuzz targets share. Each is one .cpp file with LLVMFuzzerTestOneInput, which libFuzzer calls with
// one input after another.   Doc: docs/hostile-files.md
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/files/safetensors.h"

namespace cutaway::fuzz {

inline std::span<const std::byte> bytes_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const std::byte*>(data), size};
}
inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// A folder that is removed when the program ends.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const std::string& path() const { return path_; }
  void put(const std::string& name, std::string_view bytes) const;

 private:
  std::string path_;
};

/// Stops the program, as a crash that libFuzzer reports.
[[noreturn]] void fail(const std::string& what);

/// A refusal must be one line of reasonable length that names the file.
void check_refusal(const std::string& message, const std::string& path);

/// What every reader of tensors promises: each tensor lies within the file. Looks at every number.
void check_tensors(const std::vector<StoredTensor>& tensors, std::span<const std::byte> file);

}  // namespace cutaway::fuzz
