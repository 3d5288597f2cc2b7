// Lists of shards: what they may name and what not. Nothing outside of their folder is opened.
#include <sys/inotify.h>
#include <sys/stat.h>

#include <filesystem>

#include "models/checkpoints/tensor_set.h"
#include "tests/tensor/files/broken_files.h"
#include "tests/tensor/files/safetensors_bytes.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

std::string one_tensor(const std::string& name) {
  return safetensors("{\"" + name + R"(":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "data");
}

// Tells whether a file has been opened since.
class Watch {
 public:
  explicit Watch(const std::string& path) : fd_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    REQUIRE(fd_ >= 0);
    REQUIRE(::inotify_add_watch(fd_, path.c_str(), IN_OPEN | IN_ACCESS) >= 0);
  }
  ~Watch() { ::close(fd_); }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  bool opened() const {
    char event[4096];
    return ::read(fd_, event, sizeof event) > 0;
  }

 private:
  int fd_;
};

// in/index.json beside the shards in/a and in/b with a tensor of the same name each, and outside of that
// folder the file secret, which would do as a shard as well.
struct Shards {
  Shards() {
    std::filesystem::create_directory(folder / "in");
    write_bytes(folder / "in/a", one_tensor("a"));
    write_bytes(folder / "in/b", one_tensor("b"));
    write_bytes(secret, one_tensor("a"));
  }
  std::string refusal(const std::string& list) const {
    write_bytes(index, list);
    return error_of([&] { TensorSet::of_file(index); });
  }

  TemporaryFolder folder;
  std::string index = folder / "in/index.json", secret = folder / "secret";
};

std::string list_of(const std::string& shard) { return R"({"weight_map":{"a":)" + shard + "}}"; }

}  // namespace

TEST_CASE("a list of shards") {
  const Shards shards;
  CHECK(shards.refusal(R"({"metadata":{"total_size":8},"weight_map":{"a":"a","b":"b"}})").empty());
  const TensorSet set = TensorSet::of_file(shards.index);
  CHECK(set.files() == 2);
  CHECK(set.find("b") != nullptr);
  CHECK(set.find("c") == nullptr);
}

TEST_CASE("the watch that the next test relies on sees a file being opened") {
  const Shards shards;
  const Watch watch(shards.secret);
  CHECK_FALSE(watch.opened());
  CHECK(TensorSet::of_file(shards.secret).files() == 1);
  CHECK(watch.opened());
}

TEST_CASE("broken lists of shards: no shard outside of the folder is opened") {
  const Shards shards;
  const auto check = [&](const std::string& shard, const char* says) {
    const Watch watch(shards.secret);
    const std::string message = shards.refusal(list_of(shard));
    check_sentence(message, shards.index);
    CHECK(contains(message, says));
    CHECK_FALSE(watch.opened());
  };
  SUBCASE("the folder above") { check(R"("../secret")", "'../secret', which is not a plain file name"); }
  SUBCASE("down and up again") { check(R"("x/../../secret")", "not a plain file name"); }
  SUBCASE("absolute") { check('"' + shards.secret + '"', "not a plain file name"); }
  SUBCASE("escaped slashes") { check(R"("..\u002fsecret")", "not a plain file name"); }
  SUBCASE("with backslashes") { check(R"("..\\secret")", "not a plain file name"); }
  SUBCASE("a link out of the folder") {
    std::filesystem::create_symlink("../secret", shards.folder / "in/link");
    check(R"("link")", "'link', which is a link out of its folder");
  }
  SUBCASE("a link to a link out of the folder") {
    std::filesystem::create_symlink("../secret", shards.folder / "in/link");
    std::filesystem::create_symlink("link", shards.folder / "in/link2");
    check(R"("link2")", "a link out of its folder");
  }
  SUBCASE("a folder that is a link") {
    std::filesystem::create_symlink("..", shards.folder / "in/up");
    check(R"("up/secret")", "not a plain file name");
  }
  SUBCASE("a link to a device") {
    std::filesystem::create_symlink("/dev/zero", shards.folder / "in/zero");
    check(R"("zero")", "a link out of its folder");
  }
  SUBCASE("a zero byte in the name") { check(R"("a\u0000/../secret")", "not a plain file name"); }
}

TEST_CASE("a list that is a link: its shards may be beside it or beside what it leads to, nowhere else") {
  const Shards shards;
  std::filesystem::create_directory(shards.folder / "snapshot");
  write_bytes(shards.index, list_of(R"("a")"));
  std::filesystem::create_symlink("../in/index.json", shards.folder / "snapshot/index.json");
  std::filesystem::create_symlink("../in/a", shards.folder / "snapshot/a");
  CHECK(TensorSet::of_file(shards.folder / "snapshot/index.json").files() == 1);
  std::filesystem::remove(shards.folder / "snapshot/a");
  std::filesystem::create_symlink("../secret", shards.folder / "snapshot/a");
  const Watch watch(shards.secret);
  CHECK(contains(error_of([&] { TensorSet::of_file(shards.folder / "snapshot/index.json"); }), "a link out"));
  CHECK_FALSE(watch.opened());
}

TEST_CASE("broken lists of shards: the names") {
  const Shards shards;
  const auto check = [&](const std::string& shard, const char* says) {
    const std::string message = shards.refusal(list_of(shard));
    check_sentence(message, shards.index);
    CHECK(contains(message, says));
  };
  SUBCASE("empty") { check(R"("")", "not a plain file name"); }
  SUBCASE("the folder itself") { check(R"(".")", "not a plain file name"); }
  SUBCASE("its parent") { check(R"("..")", "not a plain file name"); }
  SUBCASE("missing") { check(R"("c")", "'c', which is missing"); }
  SUBCASE("a number") { check("7", "the shard of 'a' is no text"); }
  SUBCASE("null") { check("null", "is no text"); }
  SUBCASE("a list") { check(R"(["a"])", "is no text"); }
  SUBCASE("another shard than the tensor's") { check(R"("b")", "'a' is in 'b', but it is not"); }
  SUBCASE("longer than a name can be") { check('"' + std::string(5000, 'n') + '"', "missing"); }
  SUBCASE("the list itself") {
    const std::string message = shards.refusal(list_of(R"("index.json")"));
    check_sentence(message, shards.index);
    CHECK(contains(message, "not a usable safetensors file"));
  }
  SUBCASE("a folder") {
    std::filesystem::create_directory(shards.folder / "in/folder");
    CHECK(contains(shards.refusal(list_of(R"("folder")")), "it is a folder"));
  }
  SUBCASE("a pipe") {
    REQUIRE(::mkfifo((shards.folder / "in/pipe").c_str(), 0666) == 0);
    CHECK(contains(shards.refusal(list_of(R"("pipe")")), "a device or a pipe"));
  }
  SUBCASE("two shards with the same tensor") {
    write_bytes(shards.folder / "in/b", one_tensor("a"));
    CHECK(contains(shards.refusal(R"({"weight_map":{"a":"a","b":"b"}})"), "'a' occurs twice"));
  }
  SUBCASE("a broken shard") {
    write_bytes(shards.folder / "in/a", "x");
    CHECK(contains(shards.refusal(list_of(R"("a")")), "in/a is not a usable safetensors file"));
  }
}

TEST_CASE("broken lists of shards: the list") {
  const Shards shards;
  const auto check = [&](const std::string& list, const char* says) {
    const std::string message = shards.refusal(list);
    check_sentence(message, shards.index);
    CHECK(contains(message, says));
  };
  SUBCASE("no object") { check("[]", "no list of shards"); }
  SUBCASE("without a weight_map") { check("{}", "no list of shards"); }
  SUBCASE("a weight_map that is a list") { check(R"({"weight_map":[]})", "no list of shards"); }
  SUBCASE("nothing in it") { check(R"({"weight_map":{}})", "with nothing in it"); }
  SUBCASE("cut short") { check(R"({"weight_map":)", "not valid JSON"); }
  SUBCASE("a tensor twice") { check(R"({"weight_map":{"a":"a","a":"b"}})", "twice"); }
  SUBCASE("two weight_maps") { check(R"({"weight_map":{"a":"a"},"weight_map":{}})", "twice"); }
  SUBCASE("a zero byte") { check(list_of(R"("a")") + std::string(1, '\0'), "zero byte"); }
  SUBCASE("not UTF-8") { check(list_of("\"\xFF\""), "not valid JSON"); }
}
