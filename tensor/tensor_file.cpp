#include "tensor/tensor_file.h"

#include <fstream>

#include "tensor/error.h"

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
  return TensorFile(SafetensorsFile::open(path));
}

const std::string& TensorFile::path() const {
  return std::visit([](const auto& file) -> const std::string& { return file.path(); }, file_);
}

const char* TensorFile::format() const { return "safetensors"; }

const std::vector<StoredTensor>& TensorFile::tensors() const {
  return std::visit([](const auto& file) -> const std::vector<StoredTensor>& { return file.tensors(); },
                    file_);
}

const std::map<std::string, std::string>& TensorFile::metadata() const {
  return std::visit(
      [](const auto& file) -> const std::map<std::string, std::string>& { return file.metadata(); }, file_);
}

Weight TensorFile::weight(const StoredTensor& stored) const {
  return std::visit([&](const auto& file) { return file.weight(stored); }, file_);
}

}  // namespace cutaway
