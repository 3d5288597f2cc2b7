// FileWriter: the one way files are written. Whole or not at all.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace cutaway {

/// Writes a file so that its path never shows half of it: the bytes go to a temporary file in the same
/// folder, which takes the path's place in commit(), after everything is safely on the disk. Without
/// commit(), and after any failure, the temporary file is removed and a file that was at the path before is
/// as it was.
///
/// What exists at the path and is no regular file (a pipe, /dev/stdout, /dev/full) is written to directly. A
/// symbolic link stays a link: the file it leads to is replaced.
class FileWriter {
 public:
  /// Throws Error when the path is a folder, its folder is missing, or either may not be written to.
  explicit FileWriter(const std::string& path);
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  /// Throws Error when not every byte could be written, as on a full disk.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  /// Puts the finished file at its path. Throws Error when that fails, an earlier write had failed, or a file
  /// that is mapped has changed (tensor/files/mapped_files.h).
  void commit();

 private:
  void create_temporary();
  void discard();
  [[noreturn]] void fail(const std::string& what);

  std::string path_;       // as the caller gave it, for messages
  std::string target_;     // the same with links followed
  std::string temporary_;  // "" when written to directly
  int fd_ = -1;            // -1 after commit() or a failure
};

}  // namespace cutaway
