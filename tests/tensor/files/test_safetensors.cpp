// safetensors: reading, converting, writing.
#include <limits>

#include "tensor/files/safetensors.h"
#include "tests/check.h"
#include "tests/tensor/files/files.h"
#include "tests/tensor/files/safetensors_bytes.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

SafetensorsFile open_bytes(const TemporaryFolder& folder, const std::string& bytes) {
  write_bytes(folder / "x.safetensors", bytes);
  return SafetensorsFile::open(folder / "x.safetensors");
}

// A file with one tensor of this dtype and shape.
std::string one_tensor(const std::string& dtype, const std::string& shape, const std::string& data) {
  return safetensors(R"({"t":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":[0,)" +
                         std::to_string(data.size()) + "]}}",
                     data);
}

}  // namespace

TEST_CASE("safetensors: a file made by hand is read") {
  const TemporaryFolder folder;
  // The header has another order than the data, white space, an escaped name and padding.
  const std::string data = bytes_of(1.5F) + bytes_of(-2.0F) + bytes_of(int64_t{49406}) + bytes_of(0.25F);
  const auto file =
      open_bytes(folder, safetensors(R"({ "\u0062" : {"shape": [], "data_offsets":[16, 20], "dtype":"F32"},
      "__metadata__": {"format": "pt", "note": "a \"cat\""},
      "ids": {"dtype":"I64","shape":[1,1],"data_offsets":[8,16]},
      "a.weight": {"data_offsets":[0,8],"dtype":"F32","shape":[2,1]} }      )",
                                     data));
  CHECK(file.path() == folder / "x.safetensors");
  REQUIRE(file.tensors().size() == 3);
  CHECK(file.tensors()[0].name == "a.weight");  // in the order of the data
  CHECK(file.tensors()[1].name == "ids");
  CHECK(file.tensors()[2].name == "b");
  CHECK(file.metadata() == std::map<std::string, std::string>{{"format", "pt"}, {"note", "a \"cat\""}});

  const StoredTensor& a = file.at("a.weight");
  CHECK(a.dtype == "F32");
  CHECK(a.shape == std::vector<int64_t>{2, 1});
  CHECK(a.count() == 2);
  CHECK(a.to_tensor().shape() == Shape{2, 1});
  CHECK(a.to_floats() == std::vector<float>{1.5F, -2});
  CHECK(file.at("b").to_tensor().shape() == Shape{});
  CHECK(file.at("b").to_floats() == std::vector<float>{0.25F});
  CHECK(file.at("ids").to_integers() == std::vector<int64_t>{49406});
  CHECK(file.find("ids") == &file.tensors()[1]);
  CHECK(file.find("id") == nullptr);
  CHECK(file.find("idss") == nullptr);
  CHECK(file.find("__metadata__") == nullptr);
}

TEST_CASE("safetensors: files with nothing in them") {
  const TemporaryFolder folder;
  CHECK(open_bytes(folder, safetensors("{}")).tensors().empty());
  CHECK(open_bytes(folder, safetensors("{}      ")).tensors().empty());
  CHECK(open_bytes(folder, safetensors(R"({"__metadata__":{}})")).metadata().empty());
  CHECK(contains(error_of([&] { open_bytes(folder, safetensors("{}")).at("a"); }),
                 "the file holds no tensors"));
}

TEST_CASE("safetensors: extents of zero hold no bytes and may stand anywhere") {
  const TemporaryFolder folder;
  const auto file = open_bytes(folder, safetensors(R"({"full":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},
      "start":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}, "end":{"dtype":"F32","shape":[3,0,5],"data_offsets":[2,2]}})",
                                                   "\x01\x02"));
  REQUIRE(file.tensors().size() == 3);
  CHECK(file.at("end").count() == 0);
  CHECK(file.at("end").to_floats().empty());
  CHECK(contains(error_of([&] { file.at("end").to_tensor(); }), "'end' has the shape [3, 0, 5]"));
  CHECK(contains(error_of([&] { file.weight(file.at("end")); }), file.path()));
}

TEST_CASE("safetensors: float dtypes, at an address that no float may have") {
  const TemporaryFolder folder;
  const auto floats = [&](const std::string& dtype, const std::string& data) {
    const std::string count = std::to_string(data.size() / (dtype == "F64" ? 8 : dtype == "F32" ? 4 : 2));
    for (const char* padding : {"", " ", "  ", "   "}) {  // the data start at four addresses in a row
      const auto file = open_bytes(
          folder, safetensors(R"({"t":{"dtype":")" + dtype + R"(","shape":[)" + count +
                                  R"(],"data_offsets":[0,)" + std::to_string(data.size()) + "]}}" + padding,
                              data));
      const auto values = file.at("t").to_floats();
      CHECK_CLOSE(file.at("t").to_tensor(), Tensor({std::stoll(count)}, values), 0);
      if (dtype != "F64") {
        const Weight weight = file.weight(file.at("t"));
        const WeightValues read = weight.f32();
        for (size_t i = 0; i < values.size(); ++i) CHECK(read[static_cast<int64_t>(i)] == values[i]);
      }
      if (*padding == '\0') continue;
      return values;
    }
    return std::vector<float>();
  };
  CHECK(floats("F32", bytes_of(1.1F) + bytes_of(-INFINITY)) == std::vector<float>{1.1F, -INFINITY});
  CHECK(floats("F16", bytes_of(uint16_t{0x3C00}) + bytes_of(uint16_t{0xC100}) + bytes_of(uint16_t{0x0001})) ==
        std::vector<float>{1, -2.5F, 0x1p-24F});
  CHECK(floats("BF16", bytes_of(uint16_t{0x3F80}) + bytes_of(uint16_t{0xC020})) ==
        std::vector<float>{1, -2.5F});
  CHECK(floats("F64", bytes_of(1.1) + bytes_of(-3e300)) == std::vector<float>{1.1F, -INFINITY});
}

TEST_CASE("safetensors: integer dtypes") {
  const TemporaryFolder folder;
  const auto integers = [&](const std::string& dtype, const std::string& data) {
    return open_bytes(folder, one_tensor(dtype, "[2]", data)).at("t").to_integers();
  };
  using Integers = std::vector<int64_t>;
  CHECK(integers("I64", bytes_of(int64_t{-5}) + bytes_of(std::numeric_limits<int64_t>::max())) ==
        Integers{-5, std::numeric_limits<int64_t>::max()});
  CHECK(integers("I32", bytes_of(int32_t{-7}) + bytes_of(int32_t{49407})) == Integers{-7, 49407});
  CHECK(integers("I16", bytes_of(int16_t{-300}) + bytes_of(int16_t{300})) == Integers{-300, 300});
  CHECK(integers("I8", "\xFF\x7F") == Integers{-1, 127});
  CHECK(integers("U8", "\xFF\x7F") == Integers{255, 127});
  CHECK(integers("BOOL", std::string("\0\1", 2)) == Integers{0, 1});
  CHECK(integers("U16", bytes_of(uint16_t{65535}) + bytes_of(uint16_t{1})) == Integers{65535, 1});
  CHECK(integers("U32", bytes_of(uint32_t{4294967295}) + bytes_of(uint32_t{1})) == Integers{4294967295, 1});
  CHECK(integers("U64", bytes_of(uint64_t{3}) + bytes_of(uint64_t{4})) == Integers{3, 4});
  CHECK(contains(error_of([&] { integers("U64", bytes_of(uint64_t{3}) + bytes_of(~uint64_t{0})); }),
                 "'t' holds 18446744073709551615"));
}

TEST_CASE("safetensors: the wrong kind of numbers is refused, not converted") {
  const TemporaryFolder folder;
  const auto floats = open_bytes(folder, one_tensor("F32", "[1]", bytes_of(1.0F)));
  CHECK(error_of([&] { floats.at("t").to_integers(); }) ==
        "the tensor 't' has the dtype F32 where whole numbers are expected");
  const auto integers = open_bytes(folder, one_tensor("I64", "[1]", bytes_of(int64_t{1})));
  CHECK(contains(error_of([&] { integers.at("t").to_tensor(); }),
                 "'t' has the dtype I64 where F32, F16, BF16 or F64"));
  CHECK(contains(error_of([&] { integers.at("t").to_floats(); }), "'t' has the dtype I64"));
  CHECK(contains(error_of([&] { integers.weight(integers.at("t")); }),
                 "where a weight needs F32, F16, BF16 or Q8_0"));
  const auto doubles = open_bytes(folder, one_tensor("F64", "[1]", bytes_of(1.0)));
  CHECK(contains(error_of([&] { doubles.weight(doubles.at("t")); }), folder / "x.safetensors"));
  const auto eights = open_bytes(folder, one_tensor("F8_E4M3", "[1]", "x"));
  CHECK(contains(error_of([&] { eights.at("t").to_floats(); }), "'t' has the dtype F8_E4M3"));
  const auto fours = open_bytes(folder, one_tensor("F4", "[4]", "xx"));  // two values in each byte
  CHECK(fours.at("t").count() == 4);
}

TEST_CASE("safetensors: more than four extents can be read, but are no Tensor") {
  const TemporaryFolder folder;
  const auto file = open_bytes(folder, one_tensor("F32", "[1,1,2,1,1]", bytes_of(1.0F) + bytes_of(2.0F)));
  CHECK(file.at("t").to_floats() == std::vector<float>{1, 2});
  CHECK(contains(error_of([&] { file.at("t").to_tensor(); }),
                 "'t' has the shape [1, 1, 2, 1, 1] where at most four"));
  CHECK(contains(error_of([&] { file.weight(file.at("t")); }), "at most four extents"));
}

TEST_CASE("safetensors: a name that is not there is answered with the nearest ones") {
  const TemporaryFolder folder;
  const Tensor t = Tensor::filled({1}, 0);
  write_safetensors(
      folder / "x",
      {{"unet.conv_in.weight", t}, {"unet.conv_in.bias", t}, {"unet.conv_out.weight", t}, {"vae.q", t}});
  const auto file = SafetensorsFile::open(folder / "x");
  CHECK(error_of([&] { file.at("unet.conv_im.weight"); }) ==
        folder / "x" +
            " holds no tensor 'unet.conv_im.weight'; the nearest names are 'unet.conv_in.weight', "
            "'unet.conv_out.weight', 'unet.conv_in.bias'");
  CHECK(
      contains(error_of([&] { file.at("conv_in.weight"); }), "the nearest names are 'unet.conv_in.weight'"));
}

TEST_CASE("safetensors: a weight keeps the file alive") {
  const TemporaryFolder folder;
  write_safetensors(folder / "x", {{"w", random_tensor({300, 40}, 5)}});
  Weight weight;
  {
    const auto file = SafetensorsFile::open(folder / "x");
    weight = file.weight(file.at("w"));
  }
  std::filesystem::remove(folder / "x");
  CHECK(weight.name == "w");
  CHECK(weight.shape == Shape{300, 40});
  CHECK_CLOSE(Tensor(weight.shape, {weight.f32().data(), 12000}), random_tensor({300, 40}, 5), 0);
}

TEST_CASE("write_safetensors: byte for byte") {
  const TemporaryFolder folder;
  const float values[] = {1, 2};
  write_safetensors(folder / "x", {{"b", Tensor({2}, values)}, {"a", Tensor(Shape{}, std::span(values, 1))}},
                    {{"k", "v\n"}});
  const std::string header =
      R"({"__metadata__":{"k":"v\n"},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
      R"("a":{"dtype":"F32","shape":[],"data_offsets":[8,12]}})";
  const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
  CHECK(read_bytes(folder / "x") == safetensors(padded, bytes_of(1.0F) + bytes_of(2.0F) + bytes_of(1.0F)));
}

TEST_CASE("write_safetensors: what is written is read back, and aligned") {
  const TemporaryFolder folder;
  std::vector<NamedTensor> tensors;
  for (uint32_t i = 0; i < 20; ++i) {
    tensors.push_back(
        {"layer." + std::string(i, 'x') + "\xE7\x8C\xAB\"\n", random_tensor({1 + i % 3, 2, i + 1}, i)});
    write_safetensors(folder / "x", tensors, {{"format", "pt"}, {"prompt", "\xC3\xA9"}});
    const auto file = SafetensorsFile::open(folder / "x");
    REQUIRE(file.tensors().size() == tensors.size());
    CHECK(file.metadata() == std::map<std::string, std::string>{{"format", "pt"}, {"prompt", "\xC3\xA9"}});
    for (size_t k = 0; k < tensors.size(); ++k) {
      CHECK(file.tensors()[k].name == tensors[k].name);
      CHECK_CLOSE(file.tensors()[k].to_tensor(), tensors[k].tensor, 0);
    }
    CHECK(reinterpret_cast<uintptr_t>(file.tensors()[0].bytes.data()) % 8 == 0);
  }
  write_safetensors(folder / "x", {});
  CHECK(SafetensorsFile::open(folder / "x").tensors().empty());
}

TEST_CASE("write_safetensors: errors leave no file") {
  const TemporaryFolder folder;
  const Tensor t = Tensor::filled({1}, 0);
  const auto message = [&](const std::vector<NamedTensor>& tensors,
                           const std::map<std::string, std::string>& metadata) {
    return error_of([&] { write_safetensors(folder / "x", tensors, metadata); });
  };
  CHECK(message({{"a", t}, {"b", t}, {"a", t}}, {}) ==
        "cannot write " + folder / "x" + ": two tensors have the name 'a'");
  CHECK(contains(message({{"a", Tensor()}}, {}), "the tensor 'a' holds no numbers"));
  CHECK(contains(message({{"__metadata__", t}}, {}), "no tensor may have the name"));
  CHECK(contains(message({{"\xFF", t}}, {}), "'\\xff' is not UTF-8"));
  CHECK(contains(message({{"a", t}}, {{"k", "\xFF"}}), "is not UTF-8"));
  CHECK(contains(message({{"a", t}}, {{"\xFF", "v"}}), "is not UTF-8"));
  CHECK(contains(message({{std::string(5000, 'a'), t}}, {}), "is longer than 4096 bytes"));
  CHECK(contains(message({{"a", t}}, {{"k", std::string(17 << 20, 'v')}}), "is longer than"));
  CHECK(contains(error_of([&] { write_safetensors(folder / "none/x", {{"a", t}}); }), "does not exist"));
  CHECK(contains(error_of([&] { write_safetensors("/dev/full", {{"a", t}}); }), "No space left on device"));
  CHECK(folder.entries() == 0);
}
