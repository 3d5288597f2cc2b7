#include "apps/verify/manifest.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "tensor/error.h"
#include "tensor/files/json.h"
#include "tensor/files/text.h"

namespace cutaway::verify {

using nlohmann::json;
using nlohmann::ordered_json;

// ---- Params

Params::Params(nlohmann::json values, std::string where)
    : values_(std::move(values)), where_(std::move(where)) {
  if (!values_.is_object()) throw Error(where_ + " must be a JSON object");
}

const json* Params::find(const std::string& key) const {
  const auto found = values_.find(key);
  return found == values_.end() || found->is_null() ? nullptr : &*found;
}

bool Params::has(const std::string& key) const { return find(key) != nullptr; }

void Params::refuse(const std::string& key, const std::string& rule) const {
  const json* value = find(key);
  throw Error(where_ + ": " + in_quotes(key) + " is " + (value ? in_quotes(value->dump()) : "absent") +
              ", but " + rule);
}

int64_t Params::integer(const std::string& key, int64_t otherwise) const {
  const json* value = find(key);
  if (!value) return otherwise;
  if (!value->is_number_integer()) refuse(key, "must be a whole number");
  return value->get<int64_t>();
}

double Params::number(const std::string& key, double otherwise) const {
  const json* value = find(key);
  if (!value) return otherwise;
  if (!value->is_number()) refuse(key, "must be a number");
  return value->get<double>();
}

bool Params::flag(const std::string& key, bool otherwise) const {
  const json* value = find(key);
  if (!value) return otherwise;
  if (!value->is_boolean()) refuse(key, "must be true or false");
  return value->get<bool>();
}

std::string Params::text(const std::string& key, const std::string& otherwise) const {
  const json* value = find(key);
  if (!value) return otherwise;
  if (!value->is_string()) refuse(key, "must be a text");
  return value->get<std::string>();
}

std::string Params::text(const std::string& key) const {
  if (!has(key)) refuse(key, "is needed");
  return text(key, "");
}

std::vector<int64_t> Params::integers(const std::string& key) const {
  std::vector<int64_t> list;
  const json* value = find(key);
  if (!value) return list;
  if (!value->is_array()) refuse(key, "must be a list of whole numbers");
  for (const json& item : *value) {
    if (!item.is_number_integer()) refuse(key, "must be a list of whole numbers");
    list.push_back(item.get<int64_t>());
  }
  return list;
}

std::vector<std::string> Params::texts(const std::string& key) const {
  std::vector<std::string> list;
  const json* value = find(key);
  if (!value) return list;
  if (!value->is_array()) refuse(key, "must be a list of texts");
  for (const json& item : *value) {
    if (!item.is_string()) refuse(key, "must be a list of texts");
    list.push_back(item.get<std::string>());
  }
  return list;
}

Params Params::object(const std::string& key) const {
  const json* value = find(key);
  return {value ? *value : json::object(), where_ + ": " + in_quotes(key)};
}

std::vector<std::string> Params::keys() const {
  std::vector<std::string> list;
  for (const auto& [key, value] : values_.items()) list.push_back(key);
  return list;
}

// ---- Manifest

namespace {

Role role_named(const std::string& name, const Params& of) {
  if (name == "weight") return Role::weight;
  if (name == "in") return Role::input;
  if (name == "out") return Role::output;
  if (name == "trace") return Role::trace;
  of.refuse("role", "must be weight, in, out or trace");
}

TensorEntry tensor_entry(const std::string& name, const ordered_json& values, const std::string& where) {
  const Params params(values, where + ": " + in_quotes(name));
  TensorEntry entry{.name = name,
                    .role = role_named(params.text("role"), params),
                    .shape = params.integers("shape"),
                    .dtype = params.text("dtype", "F32"),
                    .atol = std::nullopt};
  if (params.has("atol")) {
    entry.atol = params.number("atol", 0);
    if (!(*entry.atol >= 0)) params.refuse("atol", "must be a number not below 0");
  }
  return entry;
}

// Files are named below the folder; a name that leads out of it is no case of this folder.
void check_file_name(const std::string& file, const std::string& where) {
  const std::filesystem::path path(file);
  const bool leads_out = path.is_absolute() || std::find(path.begin(), path.end(), "..") != path.end();
  if (file.empty() || leads_out || file.find('\0') != std::string::npos) {
    throw Error(where + " lists " + in_quotes(file) + ", which is no file below the folder");
  }
}

FileEntry file_entry(const std::string& file, const ordered_json& values, const std::string& where) {
  check_file_name(file, where);
  const std::string here = where + ": " + in_quotes(file);
  const Params fields(values, here);
  FileEntry entry{.file = file,
                  .kind = fields.text("kind"),
                  .weights = fields.text("weights", "none"),
                  .params = Params(fields.object("params").values(), here + ": 'params'"),
                  .tensors = {}};
  if (!fields.has("tensors")) return entry;
  if (!values["tensors"].is_object()) fields.refuse("tensors", "must be an object");
  for (const auto& [name, tensor] : values["tensors"].items()) {
    entry.tensors.push_back(tensor_entry(name, tensor, here));
  }
  return entry;
}

}  // namespace

const TensorEntry* FileEntry::find(std::string_view name) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const TensorEntry& tensor) { return tensor.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

Manifest Manifest::read(const std::string& folder) {
  if (!std::filesystem::is_directory(folder)) {
    throw Error("there is no folder " + in_quotes(folder) + " with reference tensors");
  }
  Manifest manifest{.folder = folder, .files = {}};
  const std::string path = manifest.path_of("manifest.json");
  if (!std::filesystem::exists(path)) {
    throw Error("the folder " + in_quotes(folder) +
                " has no manifest.json, which says what its reference tensors are");
  }
  read_json_file(path);  // every check of a JSON file; below once more for the order of the keys
  std::ifstream stream(path);
  const ordered_json files = ordered_json::parse(stream);
  if (!files.is_object()) throw Error(path + " must be a JSON object with one entry for each file");
  for (const auto& [file, values] : files.items()) manifest.files.push_back(file_entry(file, values, path));
  if (manifest.files.empty()) throw Error(path + " lists no files");
  return manifest;
}

const FileEntry* Manifest::find(std::string_view file) const {
  const auto found =
      std::find_if(files.begin(), files.end(), [&](const FileEntry& entry) { return entry.file == file; });
  return found == files.end() ? nullptr : &*found;
}

NameParts parts_of(const std::string& name) {
  size_t begin = 0;
  while (begin <= name.size()) {
    const size_t end = std::min(name.find('/', begin), name.size());
    const std::string part = name.substr(begin, end - begin);
    if (part == "in" || part == "out" || part == "trace" || part == "act") {
      return {.tag = begin == 0 ? "" : name.substr(0, begin - 1),
              .section = part,
              .rest = end == name.size() ? "" : name.substr(end + 1)};
    }
    begin = end + 1;
  }
  return {.tag = "", .section = "", .rest = name};
}

}  // namespace cutaway::verify
