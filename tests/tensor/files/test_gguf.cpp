#include <doctest/doctest.h>

#include "tensor/files/tensor_file.h"
#include "tests/check.h"
#include "tests/tensor/files/broken_files.h"
#include "tests/tensor/files/cut_and_flip.h"
#include "tests/tensor/files/files.h"
#include "tests/tensor/files/gguf_bytes.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

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

TEST_CASE("gguf: no numbers, however large the other extents are") {
  const std::string bytes = with({.extents = {0, 1ULL << 40, 1ULL << 40}});
  const GgufHeader header = read_gguf_header("file.gguf", std::as_bytes(std::span(bytes)));
  REQUIRE(header.tensors.size() == 1);
  CHECK(header.tensors[0].count() == 0);  // 2^80 on the way there would overflow
}

TEST_CASE("broken GGUF files are refused") {
  const std::string good = GgufBytes{}.file();
  const auto pairs = [](const std::string& entry) { return GgufBytes{.pairs = {entry}}.file(); };
  const std::vector<GgufTensor> overlapping = {{"a", {3, 2}, 0, 0}, {"b", {3, 2}, 0, 0}};
  const std::string inner = number_as(9, 4) + little_endian(1);
  const std::vector<Wrong> cases = {
      {"only a beginning", "GGUF", "ends within"},
      {"version 1", GgufBytes{.version = 1}.file(), "version is 1"},
      {"big-endian", GgufBytes{.version = 0x03000000}.file(), "big-endian"},
      {"version 0", GgufBytes{.version = 0}.file(), "version is 0"},
      {"cut in the header", good.substr(0, 50), "ends within"},
      {"cut in the data", good.substr(0, good.size() - 1), "beyond the file"},
      {"too many tensors", GgufBytes{.tensors_said = 1LL << 40}.file(), "too many tensors"},
      {"too many pairs", GgufBytes{.pairs_said = 1LL << 40}.file(), "too many key-value pairs"},
      {"more tensors than there are", GgufBytes{.tensors_said = 9, .data = ""}.file(), "ends within"},
      {"more pairs than there are", GgufBytes{.pairs_said = 2, .data = ""}.file(), "longer than"},
      {"a key twice", GgufBytes{.pairs = {pair("k", 0, "x"), pair("k", 1, "x")}}.file(), "'k' twice"},
      {"two alignments",
       GgufBytes{.pairs = {pair("general.alignment", 4, number_as(32, 4)),
                           pair("general.alignment", 4, number_as(64, 4))}}
           .file(),
       "'general.alignment' twice"},
      {"a name that is too long", with({.name = std::string(4097, 'n')}), "longer than 4096"},
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
  check_each_refused(cases, "file.gguf");
}

TEST_CASE("a GGUF file cut at any byte, or with any bit turned, is read or refused") {
  const TemporaryFolder folder;
  const std::string good = GgufBytes{.pairs = {pair("general.name", 8, long_text("tiny"))}}.file();
  check_cut_and_flipped(good, 4, [&](const std::string& bytes) { return opened(folder, bytes); });
}

TEST_CASE("what is written is read: every dtype, several extents, texts") {
  const TemporaryFolder folder;
  const Tensor values = random_tensor({3, 64}, 1);
  std::vector<NamedWeight> weights;
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16, DType::q8_0})
    weights.push_back({std::string("as ") + to_string(dtype), Weight::of(values), dtype});
  weights.push_back({"conv", Weight::of(random_tensor({5, 3, 2, 1}, 2)), DType::f32});
  weights.push_back({"bias", Weight::of(random_tensor({7}, 3)), DType::f16});
  const std::string path = folder / "file.gguf", again = folder / "again.gguf";
  write_gguf(path, weights, {{"general.architecture", "sd1"}, {"config", std::string(5000, 'x')}});
  const TensorFile file = TensorFile::open(path);
  CHECK(file.metadata().at("general.architecture") == "sd1");
  CHECK(file.metadata().at("config").size() == 5000);
  REQUIRE(file.tensors().size() == weights.size());
  std::vector<NamedWeight> stored;
  for (size_t i = 0; i < weights.size(); ++i) {
    const Weight weight = file.weight(file.tensors()[i]);
    CAPTURE(weights[i].name);
    CHECK(weight.name == weights[i].name);
    CHECK(weight.shape == weights[i].weight.shape);
    CHECK(weight.dtype == weights[i].dtype);
    const auto as_tensor = [](const Weight& w) {
      return Tensor(w.shape, std::span<const float>(w.f32().data(), static_cast<size_t>(w.shape.count())));
    };
    // f16 has 11 binary digits, bf16 8, a packed number is at most half a step of the largest / 127 off.
    const double step[] = {0, 0x1p-11, 0x1p-8, 0.6 / 127};
    CHECK_CLOSE(as_tensor(weight), as_tensor(weights[i].weight), 4 * step[static_cast<int>(weight.dtype)]);
    stored.push_back({weight.name, weight, weight.dtype});
  }
  write_gguf(again, stored, file.metadata());  // in their own dtype they are copied, packed ones as well
  CHECK(read_bytes(again) == read_bytes(path));
}

TEST_CASE("weights that cannot be written as GGUF are refused, and no file is left") {
  const TemporaryFolder folder;
  const std::string path = folder / "file.gguf";
  const auto message = [&](const NamedWeight& named, const NamedWeight& second) {
    return error_of([&] { write_gguf(path, {named, second}); });
  };
  const Weight good = Weight::of(random_tensor({2, 32}, 1));
  const NamedWeight other{"other", good, DType::f32};
  CHECK(
      contains(message({"w", Weight::of(random_tensor({32, 3}, 1)), DType::q8_0}, other), "multiple of 32"));
  CHECK(contains(message({"other", good, DType::f32}, other), "two tensors have the name 'other'"));
  CHECK(contains(message({"w", Weight(Shape{2}), DType::f32}, other), "holds no numbers"));
  CHECK(contains(message({"w", Weight::of(Tensor::filled({32}, 1e7F)), DType::q8_0}, other), "too large"));
  CHECK(contains(message({"w", Weight::of(Tensor::filled({32}, 1e7F)), DType::f16}, other), "too large"));
  CHECK(contains(message({"\xff", good, DType::f32}, other), "UTF-8"));
  CHECK(contains(error_of([&] { write_weights(path, {{"w", good, DType::q8_0}}); }), "only a GGUF file"));
  CHECK(std::filesystem::is_empty(folder.path()));
}
