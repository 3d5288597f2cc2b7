#include "tensor/files/file_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <memory>
#include <system_error>

#include "tensor/error.h"
#include "tensor/files/mapped_files.h"

namespace cutaway {
namespace {

std::string reason(int error) { return std::generic_category().message(error); }

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// The path with all symbolic links followed; it must exist.
std::string followed(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr), &std::free);
  return real ? std::string(real.get()) : path;
}

// A rename is on the disk only when its folder is. Some file systems cannot do
// this, and the file is whole either way.
void sync_folder(const std::string& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

}  // namespace

FileWriter::FileWriter(const std::string& path) : path_(path), target_(path) {
  if (path.empty()) fail("the path is empty");
  struct stat status = {};
  const bool exists = ::stat(path.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) fail("it is a folder; give a file name");
  if (!exists && path.ends_with('/')) fail("the path ends with / and names no file");
  if (exists && S_ISBLK(status.st_mode)) fail("it is a disk");
  if (exists && !S_ISREG(status.st_mode)) {
    fd_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd_ < 0) fail(reason(errno));
    return;
  }
  if (exists) {
    // The rename would also replace a file that is protected; ask as if it were opened for writing.
    if (::faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) != 0) fail(reason(errno));
    target_ = followed(path);
  } else if (::lstat(path.c_str(), &status) == 0) {
    fail("it is a symbolic link that leads nowhere");
  }
  create_temporary();
}

void FileWriter::create_temporary() {
  static std::atomic<unsigned> counter = 0;
  const std::string folder = folder_of(target_);
  for (int tries = 0; tries < 1000; ++tries) {
    // Not made from the target's name, which may already be as long as names can be.
    temporary_ =
        folder + "/.cutaway-" + std::to_string(::getpid()) + "-" + std::to_string(counter++) + ".tmp";
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ >= 0) return;
    if (errno != EEXIST) break;  // EEXIST: left behind by a killed program with the same number
  }
  const int error = errno;
  temporary_.clear();
  if (error == ENOENT) fail("the folder " + folder + " does not exist; make it first");
  fail("no file can be made in the folder " + folder + " (" + reason(error) + ")");
}

FileWriter::~FileWriter() { discard(); }

void FileWriter::discard() {
  if (fd_ < 0) return;
  ::close(fd_);
  fd_ = -1;
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void FileWriter::fail(const std::string& what) {
  discard();
  throw Error("cannot write " + path_ + ": " + what);
}

void FileWriter::write(std::span<const std::byte> bytes) {
  if (fd_ < 0) fail("the file is already finished or has failed");
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), std::min<size_t>(bytes.size(), 1 << 30));
    if (written < 0 && errno == EINTR) continue;
    const int error = errno;
    if (written < 0 && error == EFAULT) check_mapped_files();  // the bytes were a file's, and are gone
    if (written < 0) fail(reason(error));
    if (written == 0) fail("the system takes no more bytes");
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

void FileWriter::write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }

void FileWriter::commit() {
  if (fd_ < 0) fail("the file is already finished or has failed");
  check_mapped_files();  // nothing is written that came from a file that is not what it was
  const bool direct = temporary_.empty();
  if (!direct && ::fsync(fd_) != 0) fail(reason(errno));
  const int closed = ::close(fd_);  // late errors of network file systems come here
  const int error = errno;
  fd_ = -1;
  const bool good = closed == 0 || error == EINTR;  // after EINTR Linux has closed it all the same
  if (good && (direct || ::rename(temporary_.c_str(), target_.c_str()) == 0)) {
    if (!direct) sync_folder(folder_of(target_));
    return;
  }
  const int why = good ? errno : error;
  if (!direct) ::unlink(temporary_.c_str());
  fail(reason(why));
}

}  // namespace cutaway
