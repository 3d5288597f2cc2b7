// A file in memory, for tests that make thousands of files.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace cutaway::test {

/// Has a path that anyone may open, and takes no time of a disk.
class MemoryFile {
 public:
  MemoryFile() : fd_(::memfd_create("input", MFD_CLOEXEC)), path_("/proc/self/fd/" + std::to_string(fd_)) {}
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  const std::string& path() const { return path_; }
  /// From now on it holds these bytes and no others.
  void hold(std::string_view bytes) {
    const bool good = ::ftruncate(fd_, static_cast<off_t>(bytes.size())) == 0 &&
                      ::pwrite(fd_, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size());
    if (good) return;
    std::perror("a file in memory");
    std::abort();
  }

 private:
  int fd_;
  std::string path_;
};

}  // namespace cutaway::test
