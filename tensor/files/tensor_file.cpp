#include "tensor/files/tensor_file.h"

#include <algorithm>

#include "tensor/error.h"
#include "tensor/files/text.h"

namespace cutaway {
namespace {

std::string first_bytes(const std::string& path) {
  const auto map = MappedFile::open(path);
  const auto bytes = map->bytes();
  return std::string(reinterpret_cast<const char*>(bytes.data()), std::min<size_t>(bytes.size(), 24));
}

}  // namespace

TensorFile TensorFile::open(const std::string& path) {
  const std::string start = first_bytes(path);
  if (start.starts_with("version https://git-lfs")) {
    throw Error(path + " is only a pointer of Git LFS, not the file itself: fetch it with git lfs pull");
  }
  if (TorchFile::looks_like_one(start)) return TensorFile(TorchFile::open(path));
  if (GgufFile::looks_like_one(start)) return TensorFile(GgufFile::open(path));
  return TensorFile(SafetensorsFile::open(path));
}

const std::string& TensorFile::path() const {
  return std::visit([](const auto& file) -> const std::string& { return file.path(); }, file_);
}

const char* TensorFile::format() const {
  static constexpr const char* names[] = {"safetensors", "pickle", "gguf"};
  return names[file_.index()];
}

const std::vector<StoredTensor>& TensorFile::tensors() const {
  return std::visit([](const auto& file) -> const std::vector<StoredTensor>& { return file.tensors(); },
                    file_);
}

const std::map<std::string, std::string>& TensorFile::metadata() const {
  static const std::map<std::string, std::string> none;
  if (const auto* file = std::get_if<SafetensorsFile>(&file_)) return file->metadata();
  if (const auto* file = std::get_if<GgufFile>(&file_)) return file->metadata();
  return none;
}

Weight TensorFile::weight(const StoredTensor& stored) const {
  return std::visit([&](const auto& file) { return stored.to_weight(file.map()); }, file_);
}

}  // namespace cutaway
