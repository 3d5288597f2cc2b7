#include "tensor/tensor_file.h"

#include <algorithm>

#include "tensor/error.h"
#include "tensor/text.h"

namespace cutaway {
namespace {

std::string first_bytes(const std::string& path) {
  const auto map = MappedFile::open(path);
  const auto bytes = map->bytes();
  return std::string(reinterpret_cast<const char*>(bytes.data()), std::min<size_t>(bytes.size(), 24));
}

Weight weight_of(const StoredTensor& stored, const std::shared_ptr<const MappedFile>& map) {
  const std::string where = "the tensor " + in_quotes(stored.name) + " in " + map->path();
  const bool has_zero = std::find(stored.shape.begin(), stored.shape.end(), 0) != stored.shape.end();
  if (stored.shape.size() > Shape::max_rank || has_zero) {
    throw Error(where + " has the shape " + to_string(stored.shape) +
                " where at most four extents are expected, none of them 0");
  }
  if (stored.dtype == "Q8_0") return Weight::of(q8_0_to_f32(stored), stored.name);
  Weight weight{Shape(std::span<const int64_t>(stored.shape))};
  if (stored.dtype == "F32") {
    weight.dtype = DType::f32;
  } else if (stored.dtype == "F16") {
    weight.dtype = DType::f16;
  } else if (stored.dtype == "BF16") {
    weight.dtype = DType::bf16;
  } else {
    throw Error(where + " has the dtype " + stored.dtype + " where a weight needs F32, F16, BF16 or Q8_0");
  }
  weight.name = stored.name;
  weight.data = stored.bytes.data();
  weight.owner = map;
  return weight;
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
  if (const auto* file = std::get_if<SafetensorsFile>(&file_)) return file->weight(stored);
  if (const auto* file = std::get_if<TorchFile>(&file_)) return weight_of(stored, file->map());
  return weight_of(stored, std::get<GgufFile>(file_).map());
}

}  // namespace cutaway
