#include "tensor/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "tensor/error.h"
#include "tensor/residency.h"

namespace cutaway {
namespace {

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
  note_mapping(start, static_cast<int64_t>(size));
  return mapped;
}

MappedFile::~MappedFile() {
  if (bytes_.empty()) return;
  forget_mapping(bytes_.data());
  ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace cutaway
