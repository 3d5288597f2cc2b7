// Files as memory.
#include <sys/stat.h>

#include <chrono>

#include "tensor/files/file_writer.h"
#include "tensor/files/mapped_file.h"
#include "tensor/files/mapped_files.h"
#include "tests/tensor/files/files.h"

using namespace cutaway;
using namespace cutaway::test;

TEST_CASE("a mapped file shows the file's bytes") {
  const TemporaryFolder folder;
  const std::string path = folder / "file";
  std::string bytes(10000, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7 + i / 256);
  write_bytes(path, bytes);
  const auto file = MappedFile::open(path);
  CHECK(file->path() == path);
  CHECK(std::string_view(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()) == bytes);

  std::filesystem::remove(path);  // the map keeps the bytes
  CHECK(file->bytes()[9999] == static_cast<std::byte>(bytes[9999]));
}

TEST_CASE("what cannot be mapped") {
  const TemporaryFolder folder;
  const auto message = [](const std::string& path) { return error_of([&] { MappedFile::open(path); }); };
  CHECK(message(folder / "none") ==
        "cannot open the file " + folder / "none" + ": No such file or directory");
  CHECK(contains(message(folder.path()), "it is a folder"));
  CHECK(contains(message("/dev/zero"), "not a regular file"));
  CHECK(contains(message(""), "cannot open the file"));

  write_bytes(folder / "empty", "");
  CHECK(message(folder / "empty") == "the file " + folder / "empty" + " is empty");

  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0666) == 0);
  CHECK(contains(message(folder / "pipe"), "not a regular file"));  // and does not wait for a writer

  write_bytes(folder / "secret", "x");
  std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
  std::filesystem::permissions(folder / "secret", std::filesystem::perms::none);
  const OrdinaryUser user;
  CHECK(contains(message(folder / "secret"), "Permission denied"));
}

TEST_CASE("a mapped file that changes is noticed") {
  const TemporaryFolder folder;
  const std::string path = folder / "file";
  write_bytes(path, std::string(3 * 65536, 'x'));
  const auto file = MappedFile::open(path);
  CHECK_NOTHROW(check_mapped_files_in_place());

  SUBCASE("written to") {
    std::fstream(path, std::ios::in | std::ios::out).put('y').flush();
    std::filesystem::last_write_time(path, std::filesystem::last_write_time(path) + std::chrono::seconds(1));
    CHECK(contains(error_of([] { check_mapped_files(); }), path + " was changed while it was in use"));
    CHECK(contains(error_of([&] { FileWriter(folder / "out").commit(); }), "was changed"));
    CHECK_FALSE(std::filesystem::exists(folder / "out"));
  }
  SUBCASE("deleted") {
    std::filesystem::remove(path);
    CHECK_NOTHROW(check_mapped_files());
    CHECK(contains(error_of([] { check_mapped_files_in_place(); }), path + " was deleted"));
  }
  SUBCASE("replaced") {
    write_bytes(folder / "other", std::string(3 * 65536, 'x'));
    std::filesystem::rename(folder / "other", path);
    CHECK_NOTHROW(check_mapped_files());
    CHECK(contains(error_of([] { check_mapped_files_in_place(); }), path + " was replaced"));
  }
  SUBCASE("shortened, and the part that is gone is touched") {
    survive_lost_files();
    std::filesystem::resize_file(path, 100);
    CHECK(file->bytes()[50] == std::byte{'x'});
    CHECK(file->bytes()[3 * 65536 - 1] == std::byte{0});  // without survive_lost_files() this is the end
    CHECK(file->bytes()[65536] == std::byte{0});
    CHECK(contains(error_of([] { check_mapped_files(); }), path + " was shortened"));
  }
}

TEST_CASE("a file is no longer watched when nobody maps it") {
  const TemporaryFolder folder;
  write_bytes(folder / "file", "x");
  MappedFile::open(folder / "file").reset();
  std::filesystem::remove(folder / "file");
  CHECK_NOTHROW(check_mapped_files_in_place());
}
