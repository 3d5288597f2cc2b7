// safetensors: files that break the format's rules, each refused for the right reason.
#include <vector>

#include "tensor/files/safetensors.h"
#include "tests/tensor/files/files.h"
#include "tests/tensor/files/safetensors_bytes.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

const std::string data16(16, 'd');
const std::string good_header = R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})";

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

// One tensor "a" with this text for its value, and 16 bytes of data.
std::string entry(const std::string& value) { return safetensors("{\"a\":" + value + "}", data16); }

std::string with_shape(const std::string& shape) {
  return entry(R"({"dtype":"F32","shape":)" + shape + R"(,"data_offsets":[0,16]})");
}
std::string with_dtype(const std::string& dtype) {
  return entry(R"({"dtype":)" + dtype + R"(,"shape":[4],"data_offsets":[0,16]})");
}
std::string with_offsets(const std::string& offsets) {
  return entry(R"({"dtype":"F32","shape":[4],"data_offsets":)" + offsets + "}");
}
std::string with_metadata(const std::string& metadata) {
  return safetensors("{\"__metadata__\":" + metadata + "}");
}

// Built by +=: g++ 12 warns falsely where one character is put before a string.
std::string object(const std::string& entries) {
  std::string text = "{";
  return (text += entries) += "}";
}

// Bytes [begin, end) as a tensor U8.
std::string part(const std::string& name, int begin, int end) {
  return (std::string("\"") += name) + R"(":{"dtype":"U8","shape":[)" + std::to_string(end - begin) +
         R"(],"data_offsets":[)" + std::to_string(begin) + "," + std::to_string(end) + "]}";
}
std::string parts(const std::string& first, const std::string& second) {
  return safetensors(object(first + "," + second), data16);
}

struct Broken {
  const char* name;
  std::string file;
  const char* reason;  // a part of the message
};

void check_one(const std::string& file, const std::string& reason) {
  const TemporaryFolder folder;
  const std::string path = folder / "broken.safetensors";
  write_bytes(path, file);
  const std::string message = error_of([&] { SafetensorsFile::open(path); });
  CAPTURE(message);
  CHECK(contains(message, path));
  CHECK(contains(message, reason));
  CHECK_FALSE(contains(message, "\n"));
  CHECK(message.size() < 500);
}

void check_each(const std::vector<Broken>& all) {
  for (const Broken& broken : all) {
    SUBCASE(broken.name) { check_one(broken.file, broken.reason); }
  }
}

}  // namespace

TEST_CASE("the good file that the broken ones are made from") {
  const TemporaryFolder folder;
  write_bytes(folder / "x", safetensors(good_header, data16));
  CHECK(SafetensorsFile::open(folder / "x").at("a").count() == 4);
  write_bytes(folder / "x", parts(part("a", 0, 8), part("b", 8, 16)));
  CHECK(SafetensorsFile::open(folder / "x").tensors().size() == 2);
  write_bytes(folder / "x", with_metadata(R"({"k":"v"})"));
  CHECK(SafetensorsFile::open(folder / "x").metadata().size() == 1);
}

TEST_CASE("broken safetensors: the length") {
  const std::string rest = good_header + data16;
  check_each({
      {"one byte", "x", "has 1 bytes, and the header's length alone takes 8"},
      {"seven bytes", std::string(7, '\0'), "has 7 bytes"},
      {"no header", little_endian(10), "only 0 follow"},
      {"zero length", little_endian(0) + rest, "does not start with {"},
      {"longer than the file", little_endian(rest.size() + 1) + rest, "follow"},
      {"above the limit", little_endian(100'000'001) + rest, "allows only 100000000"},
      {"the sign bit", little_endian(uint64_t{1} << 63) + rest, "allows only"},
      {"all bits", little_endian(~uint64_t{0}) + rest, "allows only"},
      {"big-endian", std::string(7, '\0') + static_cast<char>(good_header.size()) + rest, "allows only"},
      {"into the data", little_endian(good_header.size() + 2) + rest, "holds only 14 bytes of data"},
      {"one less", little_endian(good_header.size() - 1) + rest, "not valid JSON"},
  });
}

TEST_CASE("broken safetensors: another kind of file") {
  check_each({
      {"Git LFS", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n", "git lfs pull"},
      {"PyTorch zip", "PK\x03\x04" + std::string(60, 'z'), "PyTorch pickle"},
      {"PyTorch pickle", "\x80\x02" + std::string(60, 'z'), "PyTorch pickle"},
      {"web page", "<!DOCTYPE html><html><body>404 not found</body></html>", "web page"},
      {"GGUF", "GGUF" + std::string(60, 'z'), "GGUF"},
      {"plain JSON", R"({"sample_size": 64, "in_channels": 4})", "allows only"},
  });
}

TEST_CASE("broken safetensors: JSON") {
  check_each({
      {"a space in front", safetensors(" {}"), "does not start with {"},
      {"byte order mark", safetensors("\xEF\xBB\xBF{}"), "does not start with {"},
      {"an array", safetensors("[]"), "does not start with {"},
      {"only spaces", safetensors("        "), "does not start with {"},
      {"not closed", safetensors("{"), "not valid JSON"},
      {"two objects", safetensors("{}{}"), "not valid JSON"},
      {"something behind", safetensors("{} x"), "not valid JSON"},
      {"zero byte at the end", safetensors(std::string_view("{}\0", 3)), "zero byte at 2"},
      {"unseen text behind a zero byte", safetensors(std::string_view("{}\0{\"a\"", 7)), "zero byte at 2"},
      {"comment", safetensors("{/* hidden */}"), "not valid JSON"},
      {"comma at the end", safetensors(object(part("a", 0, 16) + ","), data16), "not valid JSON"},
      {"no colon", safetensors("{\"a\" {}}"), "not valid JSON"},
      {"single quotes", safetensors("{'a':{}}"), "not valid JSON"},
      {"no quotes", safetensors("{a:{}}"), "not valid JSON"},
      {"name not UTF-8", parts(part("\xFF", 0, 8), part("b", 8, 16)), "UTF-8"},
      {"overlong UTF-8", parts(part("\xC0\xAF", 0, 8), part("b", 8, 16)), "UTF-8"},
      {"surrogate in UTF-8", parts(part("\xED\xA0\x80", 0, 8), part("b", 8, 16)), "UTF-8"},
      {"half a surrogate pair", parts(part("\\ud800", 0, 8), part("b", 8, 16)), "not valid JSON"},
      {"unknown escape", parts(part("\\x", 0, 8), part("b", 8, 16)), "not valid JSON"},
      {"line break in a name", parts(part("a\nb", 0, 8), part("b", 8, 16)), "not valid JSON"},
      {"NaN", with_shape("[NaN]"), "not valid JSON"},
      {"number with a leading zero", with_shape("[04]"), "not valid JSON"},
      {"number in hexadecimal", with_shape("[0x4]"), "not valid JSON"},
      {"number too large for any type", with_shape("[1e999]"), "not valid JSON"},
  });
}

TEST_CASE("broken safetensors: entries") {
  check_each({
      {"a number", entry("16"), "the entry 'a' is a number where an object belongs"},
      {"null", entry("null"), "the entry 'a' is null"},
      {"text", entry("\"F32\""), "the entry 'a' is text"},
      {"true", entry("true"), "the entry 'a' is true or false"},
      {"an array", entry("[]"), "the entry 'a' is an array"},
      {"empty", entry("{}"), "'a' has no dtype"},
      {"no dtype", entry(R"({"shape":[4],"data_offsets":[0,16]})"), "'a' has no dtype"},
      {"no shape", entry(R"({"dtype":"F32","data_offsets":[0,16]})"), "'a' has no shape"},
      {"no offsets", entry(R"({"dtype":"F32","shape":[4]})"), "'a' has no data_offsets"},
      {"one field too many", entry(R"({"dtype":"F32","shape":[4],"strides":[1],"data_offsets":[0,16]})"),
       "unknown field 'strides'"},
      {"dtype twice", entry(R"({"dtype":"F32","shape":[4],"data_offsets":[0,16],"dtype":"I32"})"),
       "field dtype twice"},
      {"shape twice", entry(R"({"dtype":"F32","shape":[4],"shape":[2,2],"data_offsets":[0,16]})"),
       "field shape twice"},
      {"offsets twice", entry(R"({"data_offsets":[0,16],"dtype":"F32","shape":[4],"data_offsets":[0,16]})"),
       "field data_offsets twice"},
      {"name twice, no bytes", safetensors(object(part("a", 0, 0) + "," + part("a", 0, 0))),
       "'a' occurs twice"},
      {"name twice, other bytes", parts(part("a", 0, 8), part("a", 8, 16)), "'a' occurs twice"},
      {"name twice, one escaped", parts(part("a", 0, 8), part("\\u0061", 8, 16)), "'a' occurs twice"},
      {"name too long", parts(part(std::string(4097, 'n'), 0, 8), part("b", 8, 16)),
       "longer than 4096 bytes: 'nnn"},
      {"terminal codes in a name", parts(part("\\u001b[2J", 0, 8), part("b", 9, 16)),
       "the tensor '\\x1b[2J'"},
  });
}

TEST_CASE("broken safetensors: metadata") {
  check_each({
      {"text", with_metadata("\"pt\""), "'__metadata__' is text where an object belongs"},
      {"array", with_metadata("[]"), "'__metadata__' is an array"},
      {"null", with_metadata("null"), "'__metadata__' is null"},
      {"number inside", with_metadata(R"({"k":1})"), "__metadata__ entry 'k' is a number where text belongs"},
      {"null inside", with_metadata(R"({"k":null})"), "'k' is null"},
      {"object inside", with_metadata(R"({"k":{}})"), "'k' is an object"},
      {"array inside", with_metadata(R"({"k":["v"]})"), "'k' is an array"},
      {"key twice", with_metadata(R"({"k":"1","k":"2"})"), "'k' occurs twice"},
      {"metadata twice", safetensors(R"({"__metadata__":{},"__metadata__":{}})"), "two entries __metadata__"},
  });
}

TEST_CASE("broken safetensors: dtypes") {
  check_each({
      {"unknown", with_dtype("\"F31\""), "unknown dtype 'F31'"},
      {"lower case", with_dtype("\"f32\""), "unknown dtype 'f32'"},
      {"empty", with_dtype("\"\""), "unknown dtype ''"},
      {"longer than a known one", with_dtype("\"F32 \""), "unknown dtype 'F32 '"},
      {"number", with_dtype("32"), "the dtype of the tensor 'a' is a number where text belongs"},
      {"array", with_dtype("[\"F32\"]"), "the dtype of the tensor 'a' is an array"},
      {"null", with_dtype("null"), "the dtype of the tensor 'a' is null"},
      {"half a byte", safetensors(R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}})", "d"),
       "does not fill whole bytes"},
  });
}

TEST_CASE("broken safetensors: shapes") {
  check_each({
      {"number", with_shape("4"), "the shape of the tensor 'a' is a number where an array belongs"},
      {"object", with_shape("{}"), "the shape of the tensor 'a' is an object"},
      {"text", with_shape("\"[4]\""), "the shape of the tensor 'a' is text"},
      {"negative", with_shape("[-4]"), "an extent of the tensor 'a' is a negative number"},
      {"minus zero", with_shape("[-0]"), "is a negative number"},
      {"two negatives", with_shape("[-2,-2]"), "is a negative number"},
      {"fraction", with_shape("[4.0]"), "is a fraction"},
      {"exponent", with_shape("[4e0]"), "is a fraction"},
      {"text inside", with_shape("[\"4\"]"), "an extent of the tensor 'a' is text"},
      {"null inside", with_shape("[null]"), "is null"},
      {"array inside", with_shape("[[4]]"), "is an array"},
      {"above int64", with_shape("[9223372036854775808]"), "which is too large"},
      {"above uint64", with_shape("[18446744073709551616]"), "a number too large"},
      {"product overflows to the right size", with_shape("[4294967296,4294967296,4]"),
       "more than memory can address"},
      {"bytes overflow to the right size", with_shape("[4611686018427387908]"),
       "more than memory can address"},
      {"overflow hidden by a zero", with_shape("[9223372036854775807,9223372036854775807,0]"),
       "more than memory"},
      {"33 extents", with_shape("[4" + repeated(",1", 32) + "]"), "more than 32 extents"},
      {"too small", with_shape("[3]"), "needs 12 bytes, but its data_offsets [0, 16] hold 16"},
      {"too large", with_shape("[5]"), "needs 20 bytes"},
      {"zero with bytes", with_shape("[0]"), "needs 0 bytes"},
      {"one number with 16 bytes", with_shape("[]"), "needs 4 bytes"},
  });
}

TEST_CASE("broken safetensors: offsets") {
  check_each({
      {"number", with_offsets("16"), "the data_offsets of the tensor 'a' is a number"},
      {"object", with_offsets("{}"), "the data_offsets of the tensor 'a' is an object"},
      {"none", with_offsets("[]"), "has 0 data_offsets"},
      {"one", with_offsets("[16]"), "has 1 data_offsets"},
      {"three", with_offsets("[0,16,16]"), "more than 2 data_offsets"},
      {"negative", with_offsets("[-16,0]"), "a data_offset of the tensor 'a' is a negative number"},
      {"fraction", with_offsets("[0,16.0]"), "is a fraction"},
      {"text", with_offsets("[\"0\",16]"), "is text"},
      {"null", with_offsets("[null,16]"), "is null"},
      {"backwards", with_offsets("[16,0]"), "run backwards"},
      {"beyond the end", with_offsets("[1,17]"), "holds only 16 bytes of data"},
      {"far beyond the end", with_offsets("[18446744073709551599,18446744073709551615]"),
       "holds only 16 bytes"},
      {"above uint64", with_offsets("[0,18446744073709551616]"), "too large"},
  });
}

TEST_CASE("broken safetensors: holes and overlaps") {
  check_each({
      {"hole at the start", safetensors(object(part("a", 4, 16)), data16),
       "start 4 bytes after the end of the header"},
      {"hole inside", parts(part("a", 0, 8), part("b", 10, 16)),
       "'b' start 2 bytes after the end of the tensor 'a'"},
      {"hole at the end", safetensors(object(part("a", 0, 12)), data16),
       "end after 12 bytes of data, but the file holds 16"},
      {"overlap", parts(part("b", 6, 16), part("a", 0, 8)), "'b' overlap those of the tensor 'a'"},
      {"the same bytes", parts(part("a", 0, 16), part("b", 0, 16)), "'b' overlap those of the tensor 'a'"},
      {"one inside the other", parts(part("a", 0, 16), part("b", 4, 8)), "overlap"},
      {"an empty one inside another", parts(part("a", 0, 16), part("b", 4, 4)), "overlap"},
      {"no tensor", safetensors("{}", data16), "end after 0 bytes of data"},
      {"only an empty tensor", safetensors(object(part("a", 0, 0)), data16), "end after 0 bytes"},
  });
}

TEST_CASE("broken safetensors: hostile sizes") {  // each is built only when its turn comes
  constexpr size_t huge = 5 << 20;
  SUBCASE("deep arrays") { check_one(entry(R"({"shape":)" + repeated("[", 1'000'000)), "is an array where"); }
  SUBCASE("deep objects") { check_one(safetensors(repeated("{\"a\":", 500'000)), "unknown field"); }
  SUBCASE("too many tensors") {
    std::string many = part("t", 0, 0);
    for (int i = 0; i < 50'000; ++i) (many += ',') += part(std::to_string(i), 0, 0);
    check_one(safetensors(object(many)), "more than 50000 tensors");
  }
  SUBCASE("too much metadata") {
    std::string many = R"({"k":"")";
    for (int i = 0; i < 10'000; ++i) ((many += ",\"") += std::to_string(i)) += "\":\"\"";
    check_one(with_metadata(many + "}"), "more than 10000 __metadata__ entries");
  }
  SUBCASE("a huge name") {
    check_one(safetensors("{\"" + std::string(huge, 'n') + "\":{}}"), "piece longer than");
  }
  SUBCASE("a huge number") {
    check_one(with_shape(std::string("[").append(huge, '1') + "]"), "piece longer than");
  }
  SUBCASE("huge white space") { check_one(safetensors(object(std::string(huge, ' '))), "piece longer than"); }
}

TEST_CASE("broken safetensors: cut at every byte, and one byte too long") {
  const TemporaryFolder folder;
  const std::string path = folder / "x.safetensors";
  const std::string whole = safetensors(object(part("a", 0, 8) + "," + part("b", 8, 16)), data16);
  const auto message = [&](const std::string& bytes) {
    write_bytes(path, bytes);
    return error_of([&] { SafetensorsFile::open(path); });
  };
  REQUIRE(message(whole).empty());
  for (size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    CHECK(contains(message(whole.substr(0, size)), path));
  }
  CHECK(contains(message(whole + "x"), "the file holds 17"));
}

TEST_CASE("broken safetensors: every bit of length and header turned") {
  const TemporaryFolder folder;
  const std::string path = folder / "x.safetensors";
  const std::string whole =
      safetensors(R"({"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)" +
                      part("b", 8, 16) + "}  ",
                  data16);
  int loaded = 0, refused = 0;
  for (size_t bit = 0; bit < (whole.size() - data16.size()) * 8; ++bit) {
    std::string bytes = whole;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    write_bytes(path, bytes);
    const std::string message = error_of([&] {
      const auto file = SafetensorsFile::open(path);
      int64_t size = 0;
      for (const StoredTensor& tensor : file.tensors()) size += static_cast<int64_t>(tensor.bytes.size());
      CHECK(size == 16);  // what loads is whole
    });
    ++(message.empty() ? loaded : refused);
    if (!message.empty()) CHECK(contains(message, path));
  }
  CHECK(loaded > 10);  // letters of names, F32 to I32
  CHECK(refused > 500);
}
