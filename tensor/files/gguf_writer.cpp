#include <set>

#include "tensor/error.h"
#include "tensor/files/file_writer.h"
#include "tensor/files/gguf.h"
#include "tensor/files/safetensors_header.h"
#include "tensor/files/text.h"

namespace cutaway {
namespace {

constexpr uint64_t alignment = 32;  // what a file has that does not say otherwise
constexpr uint32_t text_type = 8;

uint32_t type_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return 0;
    case DType::f16:
      return 1;
    case DType::bf16:
      return 30;
    case DType::q8_0:
      return 8;
  }
  return 0;
}

uint64_t padding_after(uint64_t size) { return (alignment - size % alignment) % alignment; }

template <class Number>
void append(std::string& bytes, Number number) {
  bytes.append(reinterpret_cast<const char*>(&number), sizeof number);
}

void append_text(std::string& bytes, const std::string& text) {
  append(bytes, uint64_t{text.size()});
  bytes += text;
}

void check(const NamedWeight& named, std::set<std::string_view>& names, const std::string& sentence) {
  const std::string name = in_quotes(named.name);
  if (!is_utf8(named.name) || named.name.size() > safetensors_limits::name)
    throw Error(sentence + "the name " + name + " is not UTF-8 or too long");
  if (!names.insert(named.name).second) throw Error(sentence + "two tensors have the name " + name);
  if (!named.weight.loaded()) throw Error(sentence + "the tensor " + name + " holds no numbers");
  const Shape& shape = named.weight.shape;
  if (named.dtype == DType::q8_0 && (shape.rank() == 0 || shape[-1] % q8_0_block != 0)) {
    throw Error(sentence + "the rows of the tensor " + name + " of shape " + to_string(shape) +
                " are no multiple of 32, as q8_0 needs");
  }
}

std::string header_of(const std::string& sentence, const std::vector<NamedWeight>& weights,
                      const std::map<std::string, std::string>& metadata) {
  std::string header = "GGUF";
  append(header, uint32_t{3});  // version
  append(header, uint64_t{weights.size()});
  append(header, uint64_t{metadata.size()});
  for (const auto& [key, text] : metadata) {
    append_text(header, key);
    append(header, text_type);
    append_text(header, text);
  }
  std::set<std::string_view> names;
  uint64_t place = 0;
  for (const NamedWeight& named : weights) {
    check(named, names, sentence);
    const Shape& shape = named.weight.shape;
    append_text(header, named.name);
    append(header, static_cast<uint32_t>(shape.rank()));
    for (int axis = shape.rank() - 1; axis >= 0; --axis) append(header, static_cast<uint64_t>(shape[axis]));
    append(header, type_of(named.dtype));
    append(header, place);
    place += static_cast<uint64_t>(stored_bytes(named.dtype, shape.count()));
    place += padding_after(place);
  }
  return header.append(padding_after(header.size()), '\0');
}

}  // namespace

void write_gguf(const std::string& path, const std::vector<NamedWeight>& weights,
                const std::map<std::string, std::string>& metadata) {
  const std::string header = header_of("cannot write " + path + ": ", weights, metadata);
  FileWriter file(path);
  file.write(header);
  for (const NamedWeight& named : weights) {
    write_numbers(file, named, path);
    const auto size = static_cast<uint64_t>(stored_bytes(named.dtype, named.weight.shape.count()));
    file.write(std::string(padding_after(size), '\0'));
  }
  file.commit();
}

}  // namespace cutaway
