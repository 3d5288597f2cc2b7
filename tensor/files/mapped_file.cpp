#include "tensor/files/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "tensor/error.h"
#include "tensor/files/mapped_files.h"

#if defined(__SANITIZE_ADDRESS__)
#define CUTAWAY_ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CUTAWAY_ADDRESS_SANITIZER
#endif
#endif
#ifdef CUTAWAY_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#endif

namespace cutaway {
namespace {

// The system fills the file's last page up with zeros, so that a read beyond the end goes unseen. The address
// sanitizer is told that nothing of ours is there.
void guard_end([[maybe_unused]] std::span<const std::byte> file, [[maybe_unused]] bool guarded) {
#ifdef CUTAWAY_ADDRESS_SANITIZER
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t rest = (page - file.size() % page) % page;
  const std::byte* end = file.data() + file.size();
  if (guarded) __asan_poison_memory_region(end, rest);
  if (!guarded) __asan_unpoison_memory_region(end, rest);
#endif
}

std::string reason(int error) { return std::generic_category().message(error); }

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::string& path) {
  // Without O_NONBLOCK, opening a named pipe would wait for a writer.
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};
  if (file.fd < 0) throw Error("cannot open the file " + path + ": " + reason(errno));
  struct stat status = {};
  if (::fstat(file.fd, &status) != 0) throw Error("cannot examine the file " + path + ": " + reason(errno));
  if (S_ISDIR(status.st_mode))
    throw Error("cannot read " + path + ": it is a folder where a file is expected");
  if (!S_ISREG(status.st_mode))
    throw Error("cannot read " + path + ": it is a device or a pipe, not a regular file");
  if (status.st_size == 0) throw Error("the file " + path + " is empty");

  const auto size = static_cast<size_t>(status.st_size);
  std::shared_ptr<MappedFile> mapped(
      new MappedFile(path));  // made first, so that nothing can fail after the mapping
  void* start = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (start == MAP_FAILED) throw Error("cannot map the file " + path + " into memory: " + reason(errno));
  mapped->bytes_ = {static_cast<const std::byte*>(start), size};
  guard_end(mapped->bytes_, true);
  list_mapped_file(path, mapped->bytes_, status);
  return mapped;
}

MappedFile::~MappedFile() {
  if (bytes_.empty()) return;
  guard_end(bytes_, false);
  unlist_mapped_file(bytes_);
  ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace cutaway
