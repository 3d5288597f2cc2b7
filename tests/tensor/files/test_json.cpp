// JSON files, good and bad.
#include <nlohmann/json.hpp>

#include "tensor/files/json.h"
#include "tests/tensor/files/files.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

// Writes the text into a file and reads it. The message's path is replaced by FILE.
std::string message_of_reading(std::string_view text) {
  const TemporaryFolder folder;
  const std::string path = folder / "file.json";
  write_bytes(path, text);
  std::string message = error_of([&] { read_json_file(path); });
  if (const size_t at = message.find(path); at != std::string::npos) message.replace(at, path.size(), "FILE");
  CHECK_FALSE(contains(message, "\n"));
  return message;
}

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

}  // namespace

TEST_CASE("JSON: a file is read") {
  const TemporaryFolder folder;
  write_bytes(folder / "config.json",
              R"({"sample_size": 64, "down": ["a", "b"], "act": null, "scale": 0.18215})"
              "\n");
  const nlohmann::json config = read_json_file(folder / "config.json");
  CHECK(config.at("sample_size") == 64);
  CHECK(config.at("down").size() == 2);
  CHECK(config.at("act").is_null());
  CHECK(config.at("scale") == 0.18215);
}

TEST_CASE("JSON: errors say where") {
  CHECK(message_of_reading("{\n\"a\": 1,\n\"b\": }\n")
            .starts_with("the file FILE is not valid JSON at line 3, byte 16: '"));
  CHECK(message_of_reading("x").starts_with("the file FILE is not valid JSON at line 1, byte 1: '"));
  CHECK(message_of_reading("[1, 2").starts_with("the file FILE is not valid JSON at line 1, byte 5: '"));
  CHECK(message_of_reading("{\"a\": 1} {}")
            .starts_with("the file FILE is not valid JSON at line 1, byte 10: '"));
  CHECK(contains(message_of_reading("[1,]"), "not valid JSON"));
  CHECK(contains(message_of_reading("{'a': 1}"), "not valid JSON"));
  CHECK(contains(message_of_reading("[1] // one"), "not valid JSON"));
  CHECK(contains(message_of_reading("[NaN]"), "not valid JSON"));
  CHECK(contains(message_of_reading("[1e999]"), "1e999"));
  CHECK(contains(message_of_reading("[\"\xFF\"]"), "UTF-8"));
  CHECK(contains(message_of_reading("[\"\xED\xA0\x80\"]"), "UTF-8"));
  CHECK(contains(message_of_reading(" \n "), "not valid JSON"));
  CHECK(contains(message_of_reading(""), "is empty"));
  CHECK(message_of_reading("[\"" + std::string(100'000, 'x')).size() < 300);
}

TEST_CASE("JSON: a zero byte does not end the file unseen") {
  CHECK(contains(message_of_reading(std::string_view("{}\0garbage", 10)), "zero byte at line 1, byte 3"));
  CHECK(contains(message_of_reading(std::string_view("{}\n\0", 4)), "zero byte at line 2, byte 4"));
}

TEST_CASE("JSON: no key twice in one object") {
  CHECK(message_of_reading(R"({"a": 1, "a": 2})") == "the file FILE has the key 'a' twice in one object");
  CHECK(contains(message_of_reading(R"({"a": 1, "\u0061": 2})"), "the key 'a' twice"));
  CHECK(contains(message_of_reading(R"([{"x": {"b": 1, "c": [], "b": 2}}])"), "the key 'b' twice"));
  CHECK(contains(message_of_reading(R"({"a": {"q": 1}, "b": 1, "a": 2})"), "the key 'a' twice"));
  CHECK(message_of_reading(R"({"a": {"a": [{"a": 1}, {"a": 2}]}, "b": {"a": 1}, "A": 3})").empty());
}

TEST_CASE("JSON: nesting up to 64") {
  CHECK(message_of_reading(repeated("[", 64) + repeated("]", 64)).empty());
  CHECK(message_of_reading(repeated("[", 65) + repeated("]", 65)) ==
        "the file FILE is nested deeper than 64");
  CHECK(message_of_reading(repeated("{\"a\":", 64) + "1" + repeated("}", 64)).empty());
  CHECK(contains(message_of_reading(repeated("{\"a\":", 65) + "1" + repeated("}", 65)), "nested deeper"));
  CHECK(contains(message_of_reading(repeated("[", 1'000'000)), "nested deeper"));
}

TEST_CASE("JSON: files that cannot be read") {
  const TemporaryFolder folder;
  CHECK(contains(error_of([&] { read_json_file(folder / "none"); }), "No such file"));
  CHECK(contains(error_of([&] { read_json_file(folder.path()); }), "it is a folder"));
  write_bytes(folder / "large", "[]");
  std::filesystem::resize_file(folder / "large", (8 << 20) + 1);
  CHECK(contains(error_of([&] { read_json_file(folder / "large"); }), "has 8388609 bytes"));
}
