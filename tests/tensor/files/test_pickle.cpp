#include <doctest/doctest.h>

#include "tensor/files/tensor_file.h"
#include "tests/check.h"
#include "tests/tensor/files/broken_files.h"
#include "tests/tensor/files/cut_and_flip.h"
#include "tests/tensor/files/files.h"
#include "tests/tensor/files/torch_bytes.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

TensorFile opened(const TemporaryFolder& folder, const std::string& bytes) {
  const std::string path = folder / "file.ckpt";
  write_bytes(path, bytes);
  return TensorFile::open(path);
}

void check_refused(const std::vector<Wrong>& cases) { check_each_refused(cases, "file.ckpt"); }

std::string with(const TensorBytes& tensor) { return checkpoint(dict_of(tensor.pickle())); }
std::string value(const std::string& pickle) { return checkpoint(dict_of(pickle)); }

// A dict of `width` dicts, which are one and the same dict of `width` dicts, and so on, seven times.
std::string tower(int width) {
  std::string all = "}q\x00"s;
  for (char level = 1; level < 8; ++level) {
    all += "0}q"s + level;
    for (int i = 0; i < width; ++i)
      all += "K"s + static_cast<char>(i) + "h" + static_cast<char>(level - 1) + "s";
  }
  return all;
}

// A dict with a thousand numbers, two thousand times.
std::string many_notes() {
  std::string all = "}q\x00"s;
  for (uint32_t i = 0; i < 1000; ++i) all += "K\x00K\x00s"s;
  all += "0}(";
  for (uint32_t i = 0; i < 2000; ++i) all += "M" + number_as(i, 2) + "h\x00"s;
  return all + "u";
}

// {name: {0: tensor, 1: the same tensor, ...}}
std::string many_long_names(const std::string& name) {
  std::string all = "}" + text(name) + "}" + integer(0) + TensorBytes{}.pickle() + "q\x00s("s;
  for (uint32_t i = 1; i < 3000; ++i) all += "M" + number_as(i, 2) + "h\x00"s;
  return all + "us";
}

// The layout before PyTorch 1.6.
std::string row(const std::string& tensors, const std::string& after) {
  const std::string magic = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."s;
  return magic + "\x80\x02" + integer(1001) + ".\x80\x02}" + text("little_endian") + "\x88s." + tensors +
         after;
}

}  // namespace

TEST_CASE("a checkpoint of PyTorch: names, shapes, dtypes and numbers, left in the file") {
  const TemporaryFolder folder;
  const TensorFile file = opened(folder, with({}));
  CHECK(std::string(file.format()) == "pickle");
  REQUIRE(file.tensors().size() == 1);
  const StoredTensor& w = file.tensors()[0];
  CHECK(w.name == "w");
  CHECK(w.dtype == "F32");
  CHECK(w.shape == std::vector<int64_t>{2, 3});
  const Tensor expected({2, 3}, std::vector<float>{0, 1, 2, 3, 4, 5});
  CHECK_CLOSE(w.to_tensor(), expected, 0);
  const Weight weight = file.weight(w);
  CHECK(weight.data == w.bytes.data());
  CHECK(weight.f32()[5] == 5);
}

TEST_CASE("a tensor is a part of its storage, and several may share one") {
  const TemporaryFolder folder;
  const std::string both = "\x80\x02}(" + text("all") + TensorBytes{}.pickle() + text("last") +
                           TensorBytes{.offset = 4, .shape = {2}, .strides = {1}}.pickle() + text("one") +
                           TensorBytes{.offset = 5, .shape = {}, .strides = {}}.pickle() + "u.";
  const TensorFile file = opened(folder, checkpoint(both));
  REQUIRE(file.tensors().size() == 3);
  CHECK(file.tensors()[1].to_floats() == std::vector<float>{4, 5});
  CHECK(file.tensors()[2].to_floats() == std::vector<float>{5});
}

TEST_CASE("extents of 1 may have any stride, as PyTorch writes them") {
  const TemporaryFolder folder;
  const TensorFile file = opened(folder, with({.shape = {1, 6, 1}, .strides = {77, 1, 5}}));
  CHECK(file.tensors()[0].shape == std::vector<int64_t>{1, 6, 1});
}

TEST_CASE("dicts in dicts become names with dots, and state_dict goes before a training's notes") {
  const TemporaryFolder folder;
  const std::string tensor = TensorBytes{}.pickle();
  const std::string inner = "}" + text("b") + tensor + "s" + text("c") + integer(3) + "s";
  CHECK(opened(folder, value(inner)).tensors()[0].name == "w.b");
  const std::string noted = "\x80\x02}" + text("state_dict") + inner + "s" + text("other") + tensor + "s.";
  const TensorFile file = opened(folder, checkpoint(noted));
  REQUIRE(file.tensors().size() == 1);
  CHECK(file.tensors()[0].name == "b");
}

TEST_CASE("zip files with 64-bit sizes and with a comment are read") {
  const TemporaryFolder folder;
  const std::vector<ZipPart> parts = {{"a/data.pkl", dict_of(TensorBytes{}.pickle())},
                                      {"a/data/0", six_floats()}};
  for (const ZipEnd& end : {ZipEnd{.wide = true}, ZipEnd{.comment = "PK\x05\x06 and more"}}) {
    CHECK(opened(folder, zip(parts, end)).tensors()[0].to_floats().back() == 5);
  }
}

TEST_CASE("the layout before PyTorch 1.6 is read") {
  const TemporaryFolder folder;
  const std::string id =
      tuple({text("storage"), name("torch", "FloatStorage"), text("0"), text("cpu"), integer(6), "N"}) + "Q";
  const std::string tensor = name("torch._utils", "_rebuild_tensor_v2") +
                             tuple({id, integer(0), integers({2, 3}), integers({3, 1}), "\x89", "N"}) + "R";
  const std::string keys = "\x80\x02](" + text("0") + "e.";
  const std::string good = row(dict_of(tensor), keys + little_endian(6) + six_floats());
  CHECK(opened(folder, good).tensors()[0].to_floats() == std::vector<float>{0, 1, 2, 3, 4, 5});
  check_refused({
      {"cut short", good.substr(0, good.size() - 1), "ends within"},
      {"no keys", row(dict_of(tensor), ""), "ends within"},
      {"keys are no list", row(dict_of(tensor), "\x80\x02}."), "list of storages"},
      {"a storage without an end", row(dict_of(tensor), keys + little_endian(~0ULL) + six_floats()),
       "beyond the file"},
      {"a key that no tensor uses", row(dict_of(tensor), "\x80\x02](" + text("7") + "e." + little_endian(6)),
       "'7'"},
      {"a missing storage", row(dict_of(tensor), "\x80\x02]."), "missing"},
      {"big-endian",
       "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02"s + integer(1001) + ".\x80\x02}" +
           text("little_endian") + "\x89s.",
       "big-endian"},
      {"a dict that stands in so many places that a walk through all would not end",
       row("\x80\x02" + tower(30) + ".", "\x80\x02]."), "too many"},
      {"another pickle", "\x80\x02\x8a\x0a" + std::string(10, 'x') + ".", "not one that PyTorch wrote"},
  });
}

TEST_CASE("nothing but tensors is built") {
  // What Python would do: os.system("true"), a class with a __reduce__, a file that is opened.
  check_refused({
      {"a function is called", value(name("posix", "system") + tuple({text("true")}) + "R"),
       "'posix.system'"},
      {"a function is only named", value(name("builtins", "eval")), "'builtins.eval'"},
      {"by the newer instruction", value(text("os") + text("system") + "\x93"), "'os.system'"},
      {"a name that begins as a known one", value(name("torch._utils", "_rebuild_tensor_v2x")), "v2x"},
      {"an object of a class", value(name("torch.nn.modules.linear", "Linear") + ")\x81"), "Linear"},
      {"a storage is called", value(name("torch", "FloatStorage") + ")R"), "describes no tensor"},
      {"a note of a training is called", value(name("pytorch_lightning.callbacks", "ModelCheckpoint") + ")R"),
       "describes no tensor"},
      {"attributes of a tensor", value(TensorBytes{}.pickle() + "}b"), "a dict belongs"},
      {"an extension", value("\x82\x01"), "instruction 130"},
      {"an old instruction", value("I1\n"), "instruction 73"},
      {"INST", value("(ios\nsystem\n"), "instruction 105"},
  });
}

TEST_CASE("broken pickles are refused") {
  std::string many = "\x80\x02";
  for (int i = 0; i < 400000; ++i) many += "]";
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "}" + text("k");
  deep += "}" + std::string(100, 's');
  const std::string self = "}q\x00"s + text("k") + "h\x00s"s;  // a dict that holds itself
  const std::string long_name(4000, 'n');
  check_refused({
      {"a dict that stands in so many places that a walk through all would not end", value(tower(30)),
       "too many"},
      {"the same with notes only, which are no tensors", value(many_notes()), "too many items"},
      {"names that are short in the file and long in all", value(many_long_names(long_name)),
       "too long in all"},
      {"empty", checkpoint(""), "ends within"},
      {"no STOP", checkpoint("\x80\x02}"), "ends within"},
      {"nothing on the stack", checkpoint("\x80\x02."), "empty stack"},
      {"an unknown version", checkpoint("\x80\x09}."), "version 9"},
      {"a mark is missing", value("t"), "mark"},
      {"a value below the mark", value("(2s"), "instruction 50"},
      {"taken from below a mark", value("]K\x01(a"), "empty stack"},
      {"a key without a value", value("}(K\x01u"), "without a value"},
      {"items into a number", value("K\x01K\x02K\x03s"), "a dict belongs"},
      {"append to a dict",
       value("}K\x01"
             "a"),
       "a list belongs"},
      {"a memo that was never made", value("h\x07"), "never remembered"},
      {"a text without an end",
       checkpoint("\x80\x02X\xff\xff\xff\xff"
                  "abc"),
       "ends within"},
      {"a long text without an end",
       checkpoint("\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
                  "abc"),
       "ends within"},
      {"a number without an end", checkpoint("\x80\x02\x8b\xff\xff\xff\x7f"), "too long"},
      {"a name without an end",
       checkpoint("\x80\x02"
                  "cos"),
       "does not end"},
      {"too many values", checkpoint(many), "values"},
      {"nested too deep", value(deep), "nested deeper"},
      {"a dict in itself", value(self), "nested deeper"},
      {"no dict", checkpoint("\x80\x02]."), "no dict of tensors"},
      {"no tensors", checkpoint("\x80\x02}."), "no tensors"},
      {"the same name twice",
       checkpoint("\x80\x02}(" + text("w") + TensorBytes{}.pickle() + text("w") + TensorBytes{}.pickle() +
                  "u."),
       "occurs twice"},
  });
}

TEST_CASE("tensors that do not fit their storage are refused") {
  const auto call = [](const std::vector<std::string>& arguments) {
    return value(name("torch._utils", "_rebuild_tensor_v2") + tuple(arguments) + "R");
  };
  check_refused({
      {"beyond the end", with({.offset = 1}), "beyond its storage"},
      {"an offset beyond the end", with({.offset = 7, .shape = {}, .strides = {}}), "beyond its storage"},
      {"a negative offset", with({.offset = ~0U}), "beyond its storage"},
      {"too large", with({.shape = {3, 3}}), "beyond its storage"},
      {"so large that sizes overflow",
       with({.shape = {0x7fffffff, 0x7fffffff, 0x7fffffff}, .strides = {1, 1, 1}}), "tensor"},
      {"a negative extent", with({.shape = {2, 0xfffffffdU}}), "whole numbers"},
      {"too few strides", with({.strides = {1}}), "strides"},
      {"turned around", with({.strides = {1, 2}}), ".contiguous()"},
      {"one number for all", with({.strides = {0, 0}}), ".contiguous()"},
      {"a storage of another length", with({.numbers = 5, .shape = {5}, .strides = {1}}), "24 bytes"},
      {"a storage of another dtype", with({.storage = "HalfStorage"}), "24 bytes"},
      {"a storage that claims too much", with({.numbers = 0x7fffffff}), "24 bytes"},
      {"a negative storage", with({.numbers = ~0U}), "not described as PyTorch"},
      {"an unknown storage", with({.storage = "ComplexFloatStorage"}), "ComplexFloatStorage"},
      {"a missing storage", with({.key = "1"}), "'1' is missing"},
      {"a storage elsewhere", with({.key = "../data.pkl"}), "is missing"},
      {"too few arguments", call({TensorBytes{}.id(), integer(0)}), "describes no tensor"},
      {"a text for a shape", call({TensorBytes{}.id(), integer(0), text("2"), integers({1}), "N", "N"}),
       "a tuple belongs"},
      {"a number for a storage", call({integer(0), integer(0), integers({1}), integers({1}), "N", "N"}),
       "a storage belongs"},
      {"no persistent id", value(integer(1) + "Q"), "a tuple belongs"},
      {"an id of another kind", value(tuple({text("module"), text("x")}) + "Q"), "not described as PyTorch"},
  });
}

TEST_CASE("broken zip files are refused") {
  const std::string good = with({});
  const ZipPart pickle{"a/data.pkl", dict_of(TensorBytes{}.pickle())}, data{"a/data/0", six_floats()};
  const auto changed = [](ZipPart part, auto change) {
    change(part);
    return part;
  };
  check_refused({
      {"only a beginning", "PK\x03\x04", "too short"},
      {"no directory", good.substr(0, good.size() - 30), "cut short"},
      {"nothing in it", zip({}) + "", "safetensors"},
      {"no pickle", zip({data}), "data.pkl"},
      {"two pickles", zip({pickle, data, changed(pickle, [](ZipPart& p) { p.name = "b/data.pkl"; })}),
       "two data.pkl"},
      {"the same name twice", zip({pickle, data, data}), "occurs twice"},
      {"compressed", zip({changed(pickle, [](ZipPart& p) { p.method = 8; }), data}), "compressed"},
      {"encrypted", zip({changed(pickle, [](ZipPart& p) { p.flags = 1; }), data}), "encrypted"},
      {"without a name", zip({pickle, changed(data, [](ZipPart& p) { p.name = ""; })}), "name"},
      {"another name in the header", zip({pickle, changed(data, [](ZipPart& p) { p.name_in_header = "b"; })}),
       "another name"},
      {"too long an entry", zip({pickle, changed(data, [](ZipPart& p) { p.size_said = 4000; })}),
       "reaches into"},
      {"an entry beyond the file", zip({pickle, changed(data, [](ZipPart& p) { p.header_said = 1 << 30; })}),
       "outside"},
      {"an entry without a header", zip({pickle, changed(data, [](ZipPart& p) { p.header_said = 1; })}),
       "no header"},
      {"entries that overlap",
       zip({pickle, changed(data, [](ZipPart& p) { p.header_said = 0, p.name_in_header = "a/data/0"; })}),
       "another name"},
      {"more entries than there are", zip({pickle, data}, {.count_said = 3}), "ends within"},
      {"fewer entries than there are", zip({pickle, data}, {.count_said = 1}), "longer than its entries"},
      {"a directory beyond the file", zip({pickle, data}, {.start_said = 1 << 30}), "outside"},
      {"a directory elsewhere", zip({pickle, data}, {.start_said = 0}), "damaged"},
      {"a huge directory", zip({pickle, data}, {.size_said = 1 << 30}), "outside"},
      {"big-endian", zip({pickle, data, {"a/byteorder", "big"}}), "big-endian"},
  });
}

TEST_CASE("a checkpoint cut at any byte, or with any bit turned, is read or refused") {
  const TemporaryFolder folder;
  const std::string good = with({});
  check_cut_and_flipped(good, 1, [&](const std::string& bytes) { return opened(folder, bytes); });
}
