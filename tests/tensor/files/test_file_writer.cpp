// Whole files or none.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <thread>

#include "tensor/files/file_writer.h"
#include "tests/tensor/files/files.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

std::string message_of_writing(const std::string& path, std::string_view text = "text") {
  return error_of([&] {
    FileWriter file(path);
    file.write(text);
    file.commit();
  });
}

// Files cannot grow above `bytes` in this scope, as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : signal_before_(std::signal(SIGXFSZ, SIG_IGN)) {
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before_) == 0);
    const rlimit limit{bytes, before_.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, signal_before_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
  void (*signal_before_)(int);
};

}  // namespace

TEST_CASE("a file shows up whole, at commit") {
  const TemporaryFolder folder;
  const std::string path = folder / "file";
  FileWriter file(path);
  file.write("one, ");
  file.write(std::as_bytes(std::span("two", 3)));
  file.write("");
  CHECK_FALSE(std::filesystem::exists(path));
  file.commit();
  CHECK(read_bytes(path) == "one, two");
  CHECK(folder.entries() == 1);
}

TEST_CASE("an old file stays until commit and is replaced by it") {
  const TemporaryFolder folder;
  const std::string path = folder / "file";
  write_bytes(path, "a long old text");
  FileWriter file(path);
  file.write("new");
  CHECK(read_bytes(path) == "a long old text");
  file.commit();
  CHECK(read_bytes(path) == "new");
}

TEST_CASE("without commit nothing changes") {
  const TemporaryFolder folder;
  write_bytes(folder / "old", "old");
  { FileWriter(folder / "old").write("new"); }
  { FileWriter(folder / "fresh").write("new"); }
  CHECK(error_of([&] {
          FileWriter file(folder / "old");
          file.write("new");
          throw Error("something else went wrong");
        }) == "something else went wrong");
  CHECK(read_bytes(folder / "old") == "old");
  CHECK(folder.entries() == 1);
}

TEST_CASE("a full disk leaves the old file and nothing else") {
  const TemporaryFolder folder;
  const std::string path = folder / "file";
  write_bytes(path, "old");
  std::string message, later;
  {
    const FileSizeLimit limit(100'000);
    FileWriter file(path);
    file.write(std::string(90'000, 'x'));
    message = error_of([&] { file.write(std::string(90'000, 'y')); });
    later = error_of([&] { file.commit(); });
  }
  CHECK(message == "cannot write " + path + ": File too large");
  CHECK(contains(later, "has failed"));
  CHECK(read_bytes(path) == "old");
  CHECK(folder.entries() == 1);
}

TEST_CASE("devices and pipes are written to directly") {
  if (std::filesystem::exists("/dev/full")) {
    CHECK(message_of_writing("/dev/full") == "cannot write /dev/full: No space left on device");
    CHECK(std::filesystem::is_character_file("/dev/full"));
  }
  CHECK(message_of_writing("/dev/null").empty());
  CHECK(std::filesystem::is_character_file("/dev/null"));

  const TemporaryFolder folder;
  const std::string pipe = folder / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0666) == 0);
  std::string received;
  std::thread reader([&] { received = read_bytes(pipe); });
  const std::string message = message_of_writing(pipe, std::string(300'000, 'x'));  // more than a pipe holds
  reader.join();
  CHECK(message.empty());
  CHECK(received == std::string(300'000, 'x'));
  CHECK(std::filesystem::is_fifo(pipe));
}

TEST_CASE("places where no file can be: one sentence each, and nothing is left") {
  const TemporaryFolder folder;
  const std::string start = "cannot write " + folder.path();
  CHECK(message_of_writing(folder.path()) == start + ": it is a folder; give a file name");
  CHECK(message_of_writing(folder / "") == start + "/: it is a folder; give a file name");
  CHECK(message_of_writing(folder / "new/") == start + "/new/: the path ends with / and names no file");
  CHECK(message_of_writing(folder / "a/b") ==
        start + "/a/b: the folder " + folder.path() + "/a does not exist; make it first");
  CHECK(message_of_writing("") == "cannot write : the path is empty");
  CHECK(message_of_writing("no-such-folder/file") ==
        "cannot write no-such-folder/file: the folder no-such-folder does not exist; make it first");

  std::filesystem::create_symlink(folder / "nothing", folder / "link");
  CHECK(message_of_writing(folder / "link") == start + "/link: it is a symbolic link that leads nowhere");
  std::filesystem::remove(folder / "link");

  write_bytes(folder / "file", "old");
  CHECK(contains(message_of_writing(folder / "file/below"), "Not a directory"));
  CHECK(contains(message_of_writing(folder / std::string(300, 'n')), "File name too long"));
  CHECK(folder.entries() == 1);
}

TEST_CASE("protected files and folders") {
  const TemporaryFolder folder;
  std::filesystem::permissions(folder.path(), std::filesystem::perms(0777));
  std::filesystem::create_directory(folder / "closed");
  std::filesystem::permissions(folder / "closed", std::filesystem::perms(0555));
  write_bytes(folder / "file", "old");
  std::filesystem::permissions(folder / "file", std::filesystem::perms(0444));
  {
    const OrdinaryUser user;
    CHECK(message_of_writing(folder / "closed/file") == "cannot write " + folder / "closed/file" +
                                                            ": no file can be made in the folder " +
                                                            folder / "closed" + " (Permission denied)");
    CHECK(message_of_writing(folder / "file") == "cannot write " + folder / "file" + ": Permission denied");
    CHECK(message_of_writing(folder / "fresh").empty());
  }
  CHECK(read_bytes(folder / "file") == "old");
  std::filesystem::permissions(folder / "closed", std::filesystem::perms(0755));
}

TEST_CASE("a symbolic link stays one") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "real");
  write_bytes(folder / "real/file", "old");
  std::filesystem::create_symlink("real/file", folder / "link");
  CHECK(message_of_writing(folder / "link", "new").empty());
  CHECK(std::filesystem::is_symlink(folder / "link"));
  CHECK(read_bytes(folder / "real/file") == "new");
}

TEST_CASE("the longest name, and the rights that the user's mask leaves") {
  const TemporaryFolder folder;
  const std::string path = folder / std::string(255, 'n');
  const mode_t before = ::umask(027);
  const std::string message = message_of_writing(path);
  ::umask(before);
  CHECK(message.empty());
  struct stat status = {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0640);
}

TEST_CASE("a finished file takes no more") {
  const TemporaryFolder folder;
  FileWriter file(folder / "file");
  file.write("all");
  file.commit();
  CHECK(contains(error_of([&] { file.write("more"); }), "already finished"));
  CHECK(contains(error_of([&] { file.commit(); }), "already finished"));
  CHECK(read_bytes(folder / "file") == "all");
}

TEST_CASE("two writers of one path: the last commit wins, whole") {
  const TemporaryFolder folder;
  FileWriter first(folder / "file"), second(folder / "file");
  first.write("first");
  second.write("second");
  second.commit();
  first.commit();
  CHECK(read_bytes(folder / "file") == "first");
  CHECK(folder.entries() == 1);
}
