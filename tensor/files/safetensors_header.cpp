#include "tensor/files/safetensors_header.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>
#include <tuple>

#include "tensor/error.h"
#include "tensor/files/text.h"

namespace cutaway {
namespace {

using nlohmann::json;

namespace limits = safetensors_limits;

std::string start_of_sentence(const std::string& path) {
  return path + " is not a usable safetensors file: ";
}

// nlohmann::json calls this for every piece of the header as it reads, and no tree of the header is ever
// built. All checks of single tensors happen here; the first one that fails throws.
class HeaderReader : public nlohmann::json_sax<json> {
 public:
  HeaderReader(const std::string& path, std::span<const std::byte> data) : path_(path), data_(data) {}

  SafetensorsHeader take() { return std::move(header_); }

  bool key(std::string& name) override {
    count_text(name);
    switch (place_) {
      case Place::root:
        return begin_entry(name);
      case Place::tensor:
        return begin_field(name);
      default:
        return begin_metadata(name);
    }
  }

  bool start_object(size_t) override {
    if (place_ == Place::file) {
      place_ = Place::root;
    } else if (place_ == Place::root) {
      place_ = entry_ == "__metadata__" ? Place::metadata : Place::tensor;
    } else {
      misplaced("an object");
    }
    return true;
  }

  bool end_object() override {
    if (place_ == Place::tensor) end_tensor();
    place_ = Place::root;  // after the root's own end nothing may follow, which the parser sees to
    return true;
  }

  bool start_array(size_t) override {
    if (place_ != Place::tensor || field_ == Field::dtype) misplaced("an array");
    place_ = field_ == Field::shape ? Place::shape : Place::offsets;
    return true;
  }

  bool end_array() override {
    if (place_ == Place::offsets && offsets_.size() != 2) {
      fail(entry_text() + " has " + std::to_string(offsets_.size()) + " data_offsets where 2 belong");
    }
    place_ = Place::tensor;
    return true;
  }

  bool string(std::string& text) override {
    count_text(text);
    if (place_ == Place::metadata) {
      header_.metadata[metadata_key_] = std::move(text);
    } else if (place_ == Place::tensor && field_ == Field::dtype) {
      if (safetensors_bits(text) == 0) fail(entry_text() + " has the unknown dtype " + in_quotes(text));
      tensor_.dtype = std::move(text);
    } else {
      misplaced("text");
    }
    return true;
  }

  bool number_unsigned(uint64_t number) override {
    if (place_ == Place::shape) {
      if (tensor_.shape.size() == limits::extents) {
        fail(entry_text() + " has more than " + std::to_string(limits::extents) + " extents");
      }
      if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        fail(entry_text() + " has the extent " + std::to_string(number) + ", which is too large");
      }
      tensor_.shape.push_back(static_cast<int64_t>(number));
    } else if (place_ == Place::offsets) {
      if (offsets_.size() == 2) fail(entry_text() + " has more than 2 data_offsets");
      offsets_.push_back(number);
    } else {
      misplaced("a number");
    }
    return true;
  }

  bool number_integer(int64_t) override { misplaced("a negative number"); }
  bool number_float(double, const std::string&) override { misplaced("a fraction or a number too large"); }
  bool boolean(bool) override { misplaced("true or false"); }
  bool null() override { misplaced("null"); }
  bool binary(json::binary_t&) override { misplaced("binary data"); }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    const std::string_view what =
        error.what();  // "[json.exception...] parse error at line 1, column 2: what is wrong"
    const size_t colon = what.find(": ");
    fail("its header is not valid JSON at byte " + std::to_string(position) + " of the header, " +
         in_quotes(colon == std::string_view::npos ? what : what.substr(colon + 2)));
  }

 private:
  enum class Place { file, root, metadata, tensor, shape, offsets };
  enum class Field { dtype, shape, offsets };

  [[noreturn]] void fail(const std::string& what) const { throw Error(start_of_sentence(path_) + what); }

  void count_text(const std::string& text) {
    text_ += text.size();
    if (text_ > limits::text) {
      fail("its names and metadata have more than " + std::to_string(limits::text) + " bytes");
    }
  }

  std::string entry_text() const { return "the tensor " + in_quotes(entry_); }

  // A value that does not belong where it stands.
  [[noreturn]] void misplaced(const char* found) const {
    const std::string is = std::string(" is ") + found + " where ";
    switch (place_) {
      case Place::file:
        fail(std::string("its header") + is + "an object belongs");
      case Place::root:
        fail("the entry " + in_quotes(entry_) + is + "an object belongs");
      case Place::metadata:
        fail("the __metadata__ entry " + in_quotes(metadata_key_) + is + "text belongs");
      case Place::shape:
        fail("an extent of " + entry_text() + is + "a whole number of at least 0 belongs");
      case Place::offsets:
        fail("a data_offset of " + entry_text() + is + "a whole number of at least 0 belongs");
      case Place::tensor:
        break;
    }
    if (field_ == Field::dtype) fail("the dtype of " + entry_text() + is + "text belongs");
    fail((field_ == Field::shape ? "the shape of " : "the data_offsets of ") + entry_text() + is +
         "an array belongs");
  }

  bool begin_entry(std::string& name) {
    if (name == "__metadata__") {
      if (has_metadata_) fail("it has two entries __metadata__");
      has_metadata_ = true;
    } else if (header_.tensors.size() == limits::tensors) {
      fail("it has more than " + std::to_string(limits::tensors) + " tensors");
    } else if (name.size() > limits::name) {
      fail("a name is longer than " + std::to_string(limits::name) + " bytes: " + in_quotes(name));
    }
    entry_ = std::move(name);
    tensor_ = {};
    offsets_.clear();
    has_dtype_ = has_shape_ = has_offsets_ = false;
    return true;
  }

  bool begin_field(const std::string& name) {
    bool* seen = nullptr;
    if (name == "dtype") {
      field_ = Field::dtype;
      seen = &has_dtype_;
    } else if (name == "shape") {
      field_ = Field::shape;
      seen = &has_shape_;
    } else if (name == "data_offsets") {
      field_ = Field::offsets;
      seen = &has_offsets_;
    } else {
      fail(entry_text() + " has the unknown field " + in_quotes(name));
    }
    if (*seen) fail(entry_text() + " has the field " + name + " twice");
    *seen = true;
    return true;
  }

  bool begin_metadata(std::string& name) {
    if (header_.metadata.contains(name)) fail("the __metadata__ entry " + in_quotes(name) + " occurs twice");
    if (header_.metadata.size() == limits::metadata) {
      fail("it has more than " + std::to_string(limits::metadata) + " __metadata__ entries");
    }
    metadata_key_ = std::move(name);
    return true;
  }

  void end_tensor() {
    const char* missing = !has_dtype_     ? "dtype"
                          : !has_shape_   ? "shape"
                          : !has_offsets_ ? "data_offsets"
                                          : nullptr;
    if (missing != nullptr) fail(entry_text() + " has no " + missing);
    const uint64_t begin = offsets_[0], end = offsets_[1];
    const std::string span = "[" + std::to_string(begin) + ", " + std::to_string(end) + "]";
    if (begin > end) fail(entry_text() + " has the data_offsets " + span + ", which run backwards");
    if (end > data_.size()) {
      fail(entry_text() + " has the data_offsets " + span + ", but the file holds only " +
           std::to_string(data_.size()) + " bytes of data: it may be cut short, so fetch it again");
    }
    const uint64_t needed = bytes_needed();
    if (end - begin != needed) {
      fail(entry_text() + " of shape " + to_string(tensor_.shape) + " and dtype " + tensor_.dtype +
           " needs " + std::to_string(needed) + " bytes, but its data_offsets " + span + " hold " +
           std::to_string(end - begin));
    }
    tensor_.bytes = data_.subspan(begin, end - begin);
    tensor_.name = std::move(entry_);
    header_.tensors.push_back(std::move(tensor_));
  }

  uint64_t bytes_needed() const {
    int64_t bits = safetensors_bits(tensor_.dtype);
    for (const int64_t extent : tensor_.shape) {
      if (__builtin_mul_overflow(bits, extent, &bits)) {
        fail(entry_text() + " has the shape " + to_string(tensor_.shape) +
             ", which is more than memory can address");
      }
    }
    if (bits % 8 != 0) fail(entry_text() + " of dtype " + tensor_.dtype + " does not fill whole bytes");
    return static_cast<uint64_t>(bits) / 8;
  }

  const std::string& path_;
  std::span<const std::byte> data_;
  SafetensorsHeader header_;
  Place place_ = Place::file;
  bool has_metadata_ = false;
  size_t text_ = 0;
  std::string metadata_key_;
  // The tensor that is being read:
  std::string entry_;
  StoredTensor tensor_;
  std::vector<uint64_t> offsets_;
  Field field_ = Field::dtype;
  bool has_dtype_ = false, has_shape_ = false, has_offsets_ = false;
};

// What else a file may be, from its first bytes; "" when nothing known fits.
std::string hint(std::string_view start) {
  if (start.starts_with("version https://git-lfs")) {
    return "; it is a pointer of Git LFS, so fetch the real file with: git lfs pull";
  }
  if (start.starts_with("PK\x03\x04") || start.starts_with("\x80\x02")) {
    return "; it looks like a PyTorch pickle (.ckpt, .bin, .pt), so convert it to safetensors first";
  }
  if (start.starts_with("GGUF")) return "; it is a GGUF file";
  if (start.starts_with("<")) return "; it looks like a web page, so download it again";
  return "";
}

// The header's text, without the spaces that pad it.
std::string_view header_text(const std::string& path, std::string_view file) {
  const std::string sentence = start_of_sentence(path);
  if (file.size() < 8) {
    throw Error(sentence + "it has " + std::to_string(file.size()) +
                " bytes, and the header's length alone takes 8" + hint(file));
  }
  uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof length);
  if (length > limits::header || length > file.size() - 8) {
    throw Error(sentence + "its first 8 bytes promise a header of " + std::to_string(length) +
                " bytes, but " +
                (length > limits::header ? "the format allows only " + std::to_string(limits::header)
                                         : "only " + std::to_string(file.size() - 8) + " follow") +
                hint(file));
  }
  std::string_view text = file.substr(8, length);
  if (!text.starts_with('{')) throw Error(sentence + "its header does not start with {" + hint(file));
  text.remove_suffix(text.size() - 1 - text.find_last_not_of(' '));
  return text;
}

// The parser holds one string, number or run of white space in memory several times over, so none may be
// huge. It also takes a zero byte for the end of the text, so that what follows would go unseen.
void check_pieces(const std::string& path, std::string_view text) {
  size_t piece = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i, ++piece) {
    const char c = text[i];
    if (c == '\0')
      throw Error(start_of_sentence(path) + "its header has a zero byte at " + std::to_string(i));
    if (c == '"') {
      in_string = !in_string;
      piece = 0;
    } else if (in_string && c == '\\') {
      ++i;
    } else if (!in_string && std::strchr("{}[]:,", c) != nullptr) {
      piece = 0;
    }
    if (piece > limits::piece) {
      throw Error(start_of_sentence(path) + "its header has a piece longer than " +
                  std::to_string(limits::piece) + " bytes before byte " + std::to_string(i));
    }
  }
}

void check_layout(const std::string& path, const std::vector<StoredTensor>& tensors,
                  std::span<const std::byte> data) {
  const std::byte* end = data.data();
  const std::string* before = nullptr;
  for (const StoredTensor& tensor : tensors) {
    if (tensor.bytes.data() != end) {
      const bool hole = tensor.bytes.data() > end;
      throw Error(start_of_sentence(path) + "the data of the tensor " + in_quotes(tensor.name) +
                  (hole ? " start " + std::to_string(tensor.bytes.data() - end) + " bytes after the end of "
                        : " overlap those of ") +
                  (before != nullptr ? "the tensor " + in_quotes(*before) : "the header"));
    }
    end = tensor.bytes.data() + tensor.bytes.size();
    before = &tensor.name;
  }
  const auto used = static_cast<size_t>(end - data.data());
  if (used != data.size()) {
    throw Error(start_of_sentence(path) + "its tensors end after " + std::to_string(used) +
                " bytes of data, but the file holds " + std::to_string(data.size()));
  }
}

}  // namespace

SafetensorsHeader read_safetensors_header(const std::string& path, std::span<const std::byte> file) {
  const std::string_view all(reinterpret_cast<const char*>(file.data()), file.size());
  const std::string_view text = header_text(path, all);
  check_pieces(path, text);
  uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof length);
  const auto data = file.subspan(8 + length);

  HeaderReader reader(path, data);
  json::sax_parse(text.begin(), text.end(), &reader);
  SafetensorsHeader header = reader.take();
  std::sort(header.tensors.begin(), header.tensors.end(), [](const StoredTensor& a, const StoredTensor& b) {
    return std::tuple(a.bytes.data(), a.bytes.size(), std::string_view(a.name)) <
           std::tuple(b.bytes.data(), b.bytes.size(), std::string_view(b.name));
  });
  check_layout(path, header.tensors, data);
  return header;
}

int64_t safetensors_bits(std::string_view dtype) {
  struct Known {
    std::string_view dtype;
    int64_t bits;
  };
  static constexpr Known known[] = {
      {"BOOL", 8},    {"U8", 8},   {"I8", 8},      {"F8_E5M2", 8}, {"F8_E4M3", 8},
      {"F8_E8M0", 8}, {"F4", 4},   {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"I16", 16},
      {"U16", 16},    {"F16", 16}, {"BF16", 16},   {"I32", 32},    {"U32", 32},
      {"F32", 32},    {"I64", 64}, {"U64", 64},    {"F64", 64},    {"C64", 64},
  };
  for (const Known& k : known) {
    if (k.dtype == dtype) return k.bits;
  }
  return 0;
}

}  // namespace cutaway
