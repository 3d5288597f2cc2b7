#include "models/checkpoints/tensor_set.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "tensor/error.h"
#include "tensor/files/json.h"
#include "tensor/files/text.h"

namespace cutaway {
namespace {

namespace fs = std::filesystem;

// A shard's name comes from a file that anyone may have written: it must stay in the folder. Links may lead
// elsewhere only when the list is a link to the same folder, as in the cache of Hugging Face's programs.
std::string shard_path(const std::string& index, const std::string& name) {
  const fs::path folder = fs::path(index).parent_path();
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos ||
      name.find('\\') != std::string::npos || name.find('\0') != std::string::npos) {
    throw Error(index + " names the shard " + in_quotes(name) +
                ", which is not a plain file name in its folder");
  }
  std::error_code error;
  const std::string path = (folder / name).string();
  if (!fs::exists(path, error))
    throw Error(index + " names the shard " + in_quotes(name) + ", which is missing");
  const fs::path real = fs::canonical(path, error).parent_path();
  const fs::path here = fs::canonical(folder.empty() ? fs::path(".") : folder, error);
  if (real != here && real != fs::canonical(index, error).parent_path()) {
    throw Error(index + " names the shard " + in_quotes(name) + ", which is a link out of its folder");
  }
  return path;
}

// weight_map of an index.json: the shard of each tensor.
std::map<std::string, std::string> weight_map(const std::string& index) {
  const nlohmann::json json = read_json_file(index);
  if (!json.is_object() || !json.contains("weight_map") || !json.at("weight_map").is_object()) {
    throw Error(index + " is no list of shards: it must be a JSON object with a weight_map");
  }
  std::map<std::string, std::string> shards;
  for (const auto& [name, shard] : json.at("weight_map").items()) {
    if (!shard.is_string()) throw Error(index + ": the shard of " + in_quotes(name) + " is no text");
    shards[name] = shard.get<std::string>();
  }
  if (shards.empty()) throw Error(index + " is a list of shards with nothing in it");
  return shards;
}

struct Found {
  std::string path, variant;
  int rank;  // the lower, the better
};

// What a file in a folder is to us: "diffusion_pytorch_model.fp16.safetensors" is the variant fp16.
std::optional<Found> weights_file(const std::string& name) {
  std::string rest;
  for (const char* stem : {"diffusion_pytorch_model", "model", "pytorch_model"}) {
    if (name.starts_with(std::string(stem) + ".")) rest = name.substr(std::string(stem).size());
  }
  const auto between = [&](const std::string& front, const std::string& back) -> std::optional<std::string> {
    if (rest.size() < front.size() + back.size() || !rest.starts_with(front) || !rest.ends_with(back)) {
      return std::nullopt;
    }
    const std::string inner = rest.substr(front.size(), rest.size() - front.size() - back.size());
    if (inner.empty()) return inner;
    if (inner.size() < 2 || inner[0] != '.' || inner.find('.', 1) != std::string::npos) return std::nullopt;
    return inner.substr(1);
  };
  int rank = 0;
  for (const std::string kind : {".safetensors", ".bin"}) {
    if (const auto variant = between("", kind)) return Found{name, *variant, rank};
    if (const auto variant = between(kind + ".index", ".json")) return Found{name, *variant, rank + 1};
    rank += 2;
  }
  return std::nullopt;
}

std::vector<Found> weights_in(const std::string& folder) {
  std::vector<Found> found;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (auto file = weights_file(entry.path().filename().string())) {
      file->path = entry.path().string();
      found.push_back(*file);
    }
  }
  std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) {
    return std::tuple(a.variant, a.rank, a.path) < std::tuple(b.variant, b.rank, b.path);
  });
  return found;
}

}  // namespace

void TensorSet::add(TensorFile opened) {
  const auto file = std::make_shared<const TensorFile>(std::move(opened));
  files_.push_back(file);
  for (const StoredTensor& stored : file->tensors()) {
    if (!by_name_.emplace(stored.name, Place{&stored, file.get()}).second) {
      throw Error(path_ + ": the tensor " + in_quotes(stored.name) + " occurs twice");
    }
    tensors_.push_back(&stored);
  }
}

TensorSet TensorSet::of_file(const std::string& path) {
  TensorSet set;
  set.path_ = path;
  if (!path.ends_with(".json")) {
    set.add(TensorFile::open(path));
    return set;
  }
  const std::map<std::string, std::string> shards = weight_map(path);
  std::set<std::string> names;
  for (const auto& [name, shard] : shards) names.insert(shard);
  std::map<std::string, std::string> paths;
  for (const std::string& name : names) paths[name] = shard_path(path, name);
  for (const auto& [name, shard] : paths) set.add(TensorFile::open(shard));
  for (const auto& [name, shard] : shards) {
    const auto place = set.by_name_.find(name);
    if (place == set.by_name_.end() || place->second.file->path() != paths.at(shard)) {
      throw Error(path + " says that the tensor " + in_quotes(name) + " is in " + in_quotes(shard) +
                  ", but it is not");
    }
  }
  return set;
}

TensorSet TensorSet::of_folder(const std::string& folder, const std::string& variant) {
  const std::vector<Found> found = weights_in(folder);
  if (found.empty()) {
    throw Error("there are no weights in " + folder +
                ": diffusion_pytorch_model.safetensors or model.safetensors must be there, or one with a "
                "variant such as fp16 in its name, in shards, or as .bin");
  }
  // Plain files sort first; a variant that was not asked for is better than nothing.
  const auto wanted =
      std::find_if(found.begin(), found.end(), [&](const Found& file) { return file.variant == variant; });
  if (wanted != found.end()) return of_file(wanted->path);
  if (variant.empty() || found.front().variant.empty()) return of_file(found.front().path);
  throw Error("there are no weights of the variant " + in_quotes(variant) + " in " + folder +
              "; there is the variant " + in_quotes(found.front().variant));
}

bool TensorSet::has_weights(const std::string& folder) { return !weights_in(folder).empty(); }

const StoredTensor* TensorSet::find(const std::string& name) const {
  const auto place = by_name_.find(name);
  return place == by_name_.end() ? nullptr : place->second.stored;
}

Weight TensorSet::weight(const StoredTensor& stored) const {
  return by_name_.at(stored.name).file->weight(stored);
}

}  // namespace cutaway
