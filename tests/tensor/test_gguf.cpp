#include <doctest/doctest.h>

#include "tensor/tensor_file.h"
#include "tests/check.h"
#include "tests/tensor/cut_and_flip.h"
#include "tests/tensor/files.h"
#include "tests/tensor/torch_bytes.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

std::string long_text(const std::string& value) { return little_endian(value.size()) + value; }
std::string pair(const std::string& key, uint32_t type, const std::string& packed) {
  return long_text(key) + number_as(type, 4) + packed;
}

struct GgufTensor {
  std::string name = "w";
  std::vector<uint64_t> extents = {3, 2};  // fastest first
  uint32_t type = 0;
  uint64_t offset = 0;
};

struct GgufBytes {
  uint32_t version = 3;
  std::vector<std::string> pairs = {};
  std::vector<GgufTensor> tensors = {GgufTensor{}};
  int64_t tensors_said = -1, pairs_said = -1;
  size_t alignment = 32;
  std::string data = six_floats();

  std::string file() const {
    const auto said = [](int64_t value, size_t truth) {
      return value < 0 ? truth : static_cast<uint64_t>(value);
    };
    std::string out = "GGUF" + number_as(version, 4) + little_endian(said(tensors_said, tensors.size())) +
                      little_endian(said(pairs_said, pairs.size()));
    for (const std::string& entry : pairs) out += entry;
    for (const GgufTensor& tensor : tensors) {
      out += long_text(tensor.name) + number_as(tensor.extents.size(), 4);
      for (const uint64_t extent : tensor.extents) out += little_endian(extent);
      out += number_as(tensor.type, 4) + little_endian(tensor.offset);
    }
    while (out.size() % alignment != 0) out += '\0';
    return out + data;
  }
};

TensorFile opened(const TemporaryFolder& folder, const std::string& bytes) {
  const std::string path = folder / "file.gguf";
  write_bytes(path, bytes);
  return TensorFile::open(path);
}

std::string with(const GgufTensor& tensor) { return GgufBytes{.tensors = {tensor}}.file(); }

}  // namespace

TEST_CASE("a GGUF file: names, shapes turned around, numbers left in the file") {
  const TemporaryFolder folder;
  const TensorFile file =
      opened(folder, GgufBytes{.pairs = {pair("general.name", 8, long_text("tiny"))}}.file());
  CHECK(std::string(file.format()) == "gguf");
  REQUIRE(file.tensors().size() == 1);
  const StoredTensor& w = file.tensors()[0];
  CHECK(w.shape == std::vector<int64_t>{2, 3});
  CHECK(w.to_floats() == std::vector<float>{0, 1, 2, 3, 4, 5});
  CHECK(file.weight(w).data == w.bytes.data());
  CHECK(file.metadata().at("general.name") == "tiny");
}

TEST_CASE("pairs of every kind are passed over, and the alignment is obeyed") {
  const TemporaryFolder folder;
  const std::string texts = number_as(8, 4) + little_endian(2) + long_text("a") + long_text("b");
  const GgufBytes bytes{
      .pairs = {pair("u8", 0, "x"), pair("f32", 6, "1234"), pair("bool", 7, "\1"),
                pair("i64", 11, "12345678"),
                pair("numbers", 9, number_as(4, 4) + little_endian(2) + "12345678"), pair("texts", 9, texts),
                pair("arrays", 9, number_as(9, 4) + little_endian(1) + texts),
                pair("general.alignment", 4, number_as(128, 4))},
      .alignment = 128};
  CHECK(opened(folder, bytes.file()).tensors()[0].to_floats().back() == 5);
}

TEST_CASE("Q8_0: 32 bytes times a scale") {
  const TemporaryFolder folder;
  std::string data;
  for (const uint16_t scale : {uint16_t{0x3800}, uint16_t{0xC000}}) {  // 0.5 and -2
    data += bytes_of(scale);
    for (int i = 0; i < 32; ++i) data += static_cast<char>(i - 16);
  }
  const TensorFile file = opened(folder, GgufBytes{.tensors = {{"w", {32, 2}, 8, 0}}, .data = data}.file());
  CHECK(file.tensors()[0].dtype == "Q8_0");
  const Weight weight = file.weight(file.tensors()[0]);
  CHECK(weight.shape == Shape{2, 32});
  const WeightValues values = weight.f32();
  CHECK(values[0] == -8);
  CHECK(values[31] == 7.5);
  CHECK(values[32] == 32);
  CHECK(values[63] == -30);
}

TEST_CASE("dtypes that are not read are known by name") {
  const TemporaryFolder folder;
  const TensorFile file = opened(folder, GgufBytes{.tensors = {{"w", {32}, 2, 0}}}.file());
  CHECK(file.tensors()[0].dtype == "Q4_0");
  CHECK_THROWS_WITH_AS(file.weight(file.tensors()[0]), doctest::Contains("Q4_0"), Error);
}

TEST_CASE("broken GGUF files are refused") {
  struct Wrong {
    const char* what;
    std::string bytes;
    const char* says;
  };
  const std::string good = GgufBytes{}.file();
  const auto pairs = [](const std::string& entry) { return GgufBytes{.pairs = {entry}}.file(); };
  const std::vector<GgufTensor> overlapping = {{"a", {3, 2}, 0, 0}, {"b", {3, 2}, 0, 0}};
  const std::string inner = number_as(9, 4) + little_endian(1);
  const std::vector<Wrong> cases = {
      {"only a beginning", "GGUF", "ends within"},
      {"version 1", GgufBytes{.version = 1}.file(), "version is 1"},
      {"big-endian", GgufBytes{.version = 0x03000000}.file(), "big-endian"},
      {"cut in the header", good.substr(0, 50), "ends within"},
      {"cut in the data", good.substr(0, good.size() - 1), "beyond the file"},
      {"too many tensors", GgufBytes{.tensors_said = 1LL << 40}.file(), "too many tensors"},
      {"too many pairs", GgufBytes{.pairs_said = 1LL << 40}.file(), "too many key-value pairs"},
      {"more tensors than there are", GgufBytes{.tensors_said = 9, .data = ""}.file(), "ends within"},
      {"a key without an end", pairs(little_endian(~0ULL) + "abc"), "longer than"},
      {"a text without an end", pairs(pair("k", 8, little_endian(1 << 30))), "longer than"},
      {"a value of an unknown type", pairs(pair("k", 13, "12345678")), "unknown type 13"},
      {"an array of an unknown type", pairs(pair("k", 9, number_as(77, 4) + little_endian(1))),
       "unknown type 77"},
      {"an array without an end", pairs(pair("k", 9, number_as(10, 4) + little_endian(~0ULL))),
       "beyond the file"},
      {"an array whose size overflows", pairs(pair("k", 9, number_as(10, 4) + little_endian(1ULL << 61))),
       "beyond the file"},
      {"arrays nested too deep", pairs(pair("k", 9, inner + inner + inner + inner + inner + inner)),
       "nested"},
      {"an alignment of 0", pairs(pair("general.alignment", 4, number_as(0, 4))), "power of two"},
      {"an alignment of 24", pairs(pair("general.alignment", 4, number_as(24, 4))), "power of two"},
      {"a huge alignment", pairs(pair("general.alignment", 4, number_as(1U << 30, 4))), "power of two"},
      {"an alignment of another type", pairs(pair("general.alignment", 8, long_text("32"))), "32-bit"},
      {"too many extents", with({.extents = std::vector<uint64_t>(9, 1)}), "9 extents"},
      {"a huge extent", with({.extents = {~0ULL}}), "too large"},
      {"extents that overflow", with({.extents = {1ULL << 32, 1ULL << 32}}), "too large"},
      {"beyond the end", with({.extents = {7}}), "beyond the file"},
      {"an offset beyond the end", with({.offset = 1 << 20}), "beyond the file"},
      {"an offset that overflows", with({.offset = ~0ULL - 31}), "beyond the file"},
      {"not aligned", with({.extents = {1}, .offset = 4}), "multiple of 32"},
      {"an unknown type", with({.type = 4}), "unknown type 4"},
      {"rows that are no blocks", with({.extents = {16, 2}, .type = 8}), "multiple of 32"},
      {"packed without extents", with({.extents = {}, .type = 8}), "multiple of 32"},
      {"the same name twice",
       GgufBytes{.tensors = {{"w", {1}, 0, 0}, {"w", {1}, 0, 32}}, .data = std::string(64, '\0')}.file(),
       "twice"},
      {"tensors that overlap", GgufBytes{.tensors = overlapping}.file(), "share bytes"},
  };
  const TemporaryFolder folder;
  for (const Wrong& wrong : cases) {
    INFO(std::string(wrong.what));
    std::string message = "it was read";
    try {
      opened(folder, wrong.bytes);
    } catch (const Error& error) {
      message = error.what();
    }
    INFO(message);
    CHECK(message.find(wrong.says) != std::string::npos);
    CHECK(message.find("file.gguf") != std::string::npos);
    CHECK(message.find('\n') == std::string::npos);
  }
}

TEST_CASE("a GGUF file cut at any byte, or with any bit turned, is read or refused") {
  const TemporaryFolder folder;
  const std::string good = GgufBytes{.pairs = {pair("general.name", 8, long_text("tiny"))}}.file();
  check_cut_and_flipped(good, 4, [&](const std::string& bytes) { return opened(folder, bytes); });
}
