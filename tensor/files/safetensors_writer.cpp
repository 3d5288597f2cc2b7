#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "tensor/error.h"
#include "tensor/files/file_writer.h"
#include "tensor/files/safetensors.h"
#include "tensor/files/safetensors_header.h"
#include "tensor/files/text.h"

namespace cutaway {
namespace {

// The text as JSON has it, between double quotes.
std::string json_text(const std::string& path, const std::string& text) {
  if (!is_utf8(text)) throw Error("cannot write " + path + ": the text " + in_quotes(text) + " is not UTF-8");
  std::string json = nlohmann::json(text).dump();
  if (json.size() > safetensors_limits::piece) {
    throw Error("cannot write " + path + ": the text " + in_quotes(text) + " is longer than " +
                std::to_string(safetensors_limits::piece) + " bytes");
  }
  return json;
}

// What the header says of one tensor.
struct Entry {
  std::string_view name;
  Shape shape;
  DType dtype;
  bool empty;
};

std::string header_entry(const std::string& path, const Entry& entry, int64_t begin, int64_t end) {
  std::string shape;
  for (int axis = 0; axis < entry.shape.rank(); ++axis) {
    if (axis > 0) shape += ',';
    shape += std::to_string(entry.shape[axis]);
  }
  const char* dtype = entry.dtype == DType::f32 ? "F32" : entry.dtype == DType::f16 ? "F16" : "BF16";
  return json_text(path, std::string(entry.name)) + R"(:{"dtype":")" + dtype + R"(","shape":[)" + shape +
         R"(],"data_offsets":[)" + std::to_string(begin) + "," + std::to_string(end) + "]}";
}

std::string header_of(const std::string& path, const std::vector<Entry>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  std::string header = "{";
  if (!metadata.empty()) {
    header += R"("__metadata__":{)";
    for (const auto& [key, text] : metadata) {
      if (header.back() != '{') header += ",";
      header += json_text(path, key) + ":" + json_text(path, text);
    }
    header += "}";
  }
  std::set<std::string_view> names;
  int64_t end = 0;
  const std::string sentence = "cannot write " + path + ": ";
  for (const Entry& named : tensors) {
    const std::string name = in_quotes(named.name);
    if (named.name.size() > safetensors_limits::name) {
      throw Error(sentence + "the name " + name + " is longer than " +
                  std::to_string(safetensors_limits::name) + " bytes");
    }
    if (named.empty) throw Error(sentence + "the tensor " + name + " holds no numbers");
    if (named.dtype == DType::q8_0)
      throw Error(sentence + "the tensor " + name + " is to be q8_0, which only a GGUF file can hold");
    if (named.name == "__metadata__") throw Error(sentence + "no tensor may have the name '__metadata__'");
    if (!names.insert(named.name).second) throw Error(sentence + "two tensors have the name " + name);
    const int64_t begin = end;
    end += stored_bytes(named.dtype, named.shape.count());
    if (header.size() > 1) header += ",";
    header += header_entry(path, named, begin, end);
  }
  header += "}";
  if (tensors.size() > safetensors_limits::tensors || metadata.size() > safetensors_limits::metadata ||
      header.size() + 8 > safetensors_limits::header) {
    throw Error(sentence + std::to_string(tensors.size()) + " tensors and " +
                std::to_string(metadata.size()) + " metadata entries are more than such a file can describe");
  }
  header.append((8 - header.size() % 8) % 8, ' ');  // so that the data are aligned
  return header;
}

void begin_file(FileWriter& file, const std::string& header) {
  const uint64_t length = header.size();
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(header);
}

}  // namespace

void write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<Entry> entries;
  for (const NamedTensor& named : tensors) {
    entries.push_back({named.name, named.tensor.shape(), DType::f32, named.tensor.empty()});
  }
  const std::string header = header_of(path, entries, metadata);
  FileWriter file(path);
  begin_file(file, header);
  for (const NamedTensor& named : tensors) file.write(std::as_bytes(named.tensor.values()));
  file.commit();
}

void write_weights(const std::string& path, const std::vector<NamedWeight>& weights,
                   const std::map<std::string, std::string>& metadata) {
  std::vector<Entry> entries;
  for (const NamedWeight& named : weights) {
    entries.push_back({named.name, named.weight.shape, named.dtype, !named.weight.loaded()});
  }
  const std::string header = header_of(path, entries, metadata);
  FileWriter file(path);
  begin_file(file, header);
  for (const NamedWeight& named : weights) write_numbers(file, named, path);
  file.commit();
}

}  // namespace cutaway
