// Builds zip files and pickles byte by byte, the wrong ones too.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tests/tensor/files/safetensors_bytes.h"

namespace cutaway::test {

using namespace std::string_literals;

// ---- Pickle

inline std::string number_as(uint64_t value, size_t bytes) { return little_endian(value).substr(0, bytes); }
inline std::string text(const std::string& value) { return "X" + number_as(value.size(), 4) + value; }
inline std::string integer(uint32_t value) { return "J" + number_as(value, 4); }
inline std::string name(const std::string& module, const std::string& what) {
  return "c" + module + "\n" + what + "\n";
}
inline std::string tuple(const std::vector<std::string>& items) {
  std::string all = "(";
  for (const std::string& item : items) all += item;
  return all + "t";
}
inline std::string integers(const std::vector<uint32_t>& values) {
  std::vector<std::string> items;
  for (const uint32_t value : values) items.push_back(integer(value));
  return tuple(items);
}

struct TensorBytes {
  std::string storage = "FloatStorage", key = "0";
  uint32_t numbers = 6, offset = 0;
  std::vector<uint32_t> shape = {2, 3}, strides = {3, 1};

  std::string id() const {
    return tuple({text("storage"), name("torch", storage), text(key), text("cpu"), integer(numbers)}) + "Q";
  }
  std::string pickle() const {
    return name("torch._utils", "_rebuild_tensor_v2") +
           tuple({id(), integer(offset), integers(shape), integers(strides), "\x89",
                  name("collections", "OrderedDict") + ")R"}) +
           "R";
  }
};

/// {"w": value}
inline std::string dict_of(const std::string& value, const std::string& key = "w") {
  return "\x80\x02}" + text(key) + value + "s.";
}

// ---- Zip

struct ZipPart {
  std::string name, data;
  // What is said of it, where that differs from what it is.
  uint16_t flags = 0, method = 0;
  int64_t size_said = -1, header_said = -1;
  std::string name_in_header = "";
};

struct ZipEnd {
  int64_t count_said = -1, size_said = -1, start_said = -1;
  std::string comment = "";
  bool wide = false;  // with a 64-bit end record
};

inline std::string zip(const std::vector<ZipPart>& parts, const ZipEnd& end = {}) {
  const auto said = [](int64_t value, size_t truth) {
    return value < 0 ? truth : static_cast<uint64_t>(value);
  };
  std::string file, directory;
  for (const ZipPart& part : parts) {
    const uint64_t header = file.size(), size = said(part.size_said, part.data.size());
    const std::string& own = part.name_in_header.empty() ? part.name : part.name_in_header;
    const std::string sizes = number_as(size, 4) + number_as(size, 4);
    file += "PK\x03\x04"s + number_as(20, 2) + number_as(part.flags, 2) + number_as(part.method, 2) +
            std::string(8, '\0') + sizes + number_as(own.size(), 2) + number_as(0, 2) + own + part.data;
    directory += "PK\x01\x02"s + number_as(20, 2) + number_as(20, 2) + number_as(part.flags, 2) +
                 number_as(part.method, 2) + std::string(8, '\0') + sizes + number_as(part.name.size(), 2) +
                 std::string(12, '\0') + number_as(said(part.header_said, header), 4) + part.name;
  }
  const uint64_t start = said(end.start_said, file.size()), size = said(end.size_said, directory.size()),
                 count = said(end.count_said, parts.size());
  const size_t end64 = file.size() + directory.size();
  file += directory;
  if (end.wide) {
    file += "PK\x06\x06"s + number_as(44, 8) + number_as(45, 2) + number_as(45, 2) + std::string(8, '\0') +
            number_as(count, 8) + number_as(count, 8) + number_as(size, 8) + number_as(start, 8);
    file += "PK\x06\x07"s + number_as(0, 4) + number_as(end64, 8) + number_as(1, 4);
  }
  const std::string narrow = end.wide ? "\xff\xff\xff\xff"s : number_as(size, 4);
  return file + "PK\x05\x06"s + std::string(4, '\0') + number_as(count, 2) + number_as(count, 2) + narrow +
         (end.wide ? "\xff\xff\xff\xff"s : number_as(start, 4)) + number_as(end.comment.size(), 2) +
         end.comment;
}

/// The six floats 0 to 5.
inline std::string six_floats() {
  std::string bytes;
  for (int i = 0; i < 6; ++i) bytes += bytes_of(static_cast<float>(i));
  return bytes;
}

/// A checkpoint with one storage.
inline std::string checkpoint(const std::string& pickle, const std::string& data = six_floats()) {
  return zip({{"a/data.pkl", pickle}, {"a/data/0", data}, {"a/version", "3\n"}});
}

}  // namespace cutaway::test
