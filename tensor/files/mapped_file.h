// MappedFile: a file seen as memory, read page by page when it is touched.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace cutaway {

/// A read-only memory map of a whole regular file. Opening copies nothing: the operating system reads a page
/// when it is first touched, and shares it with every other program that maps the file. The file must not
/// change meanwhile: tensor/files/mapped_files.h tells whether it did.
class MappedFile {
 public:
  /// Throws Error when there is no such file, it is a folder or a device, it is empty, or it cannot be read.
  static std::shared_ptr<const MappedFile> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::string& path() const { return path_; }

 private:
  explicit MappedFile(std::string path) : path_(std::move(path)) {}

  std::string path_;
  std::span<const std::byte> bytes_;
};

}  // namespace cutaway
