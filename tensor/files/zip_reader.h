// The directory of a zip file whose entries are stored as they are, as PyTorch writes its checkpoints.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace cutaway {

/// One file inside a zip file, stored without compression.
struct ZipEntry {
  std::string name;
  std::span<const std::byte> bytes;  // in the file
};

/// Reads the central directory of a whole zip file in memory, with 64-bit sizes where there are any. Checked
/// are: every size and offset, that no two entries have the same name or share bytes, that directory and
/// entries agree on the names, and that nothing is compressed or encrypted. Throws Error with one sentence
/// that starts with `path`.
std::vector<ZipEntry> read_zip_directory(const std::string& path, std::span<const std::byte> file);

}  // namespace cutaway
