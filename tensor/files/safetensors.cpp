#include "tensor/files/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <type_traits>
#include <utility>

#include "tensor/error.h"
#include "tensor/files/safetensors_header.h"
#include "tensor/files/text.h"

namespace cutaway {
namespace {

static_assert(std::endian::native == std::endian::little, "the format stores little-endian numbers");

// How much of two names is the same at their start and at their end: names are paths, so this finds a missing
// prefix, another suffix and a slip in between.
size_t likeness(std::string_view a, std::string_view b) {
  const size_t shorter = std::min(a.size(), b.size());
  size_t front = 0, back = 0;
  while (front < shorter && a[front] == b[front]) ++front;
  while (back < shorter - front && a[a.size() - 1 - back] == b[b.size() - 1 - back]) ++back;
  return front + back;
}

std::string nearest_names(const std::vector<StoredTensor>& tensors, std::string_view name) {
  if (tensors.empty()) return "the file holds no tensors";
  std::vector<std::pair<size_t, const std::string*>> near;
  for (const StoredTensor& tensor : tensors) near.emplace_back(likeness(tensor.name, name), &tensor.name);
  const size_t shown = std::min<size_t>(3, near.size());
  std::partial_sort(near.begin(), near.begin() + static_cast<std::ptrdiff_t>(shown), near.end(),
                    [](const auto& a, const auto& b) {
                      return a.first != b.first ? a.first > b.first : *a.second < *b.second;
                    });
  std::string text = shown == 1 ? "its only name is " : "the nearest names are ";
  for (size_t i = 0; i < shown; ++i) text += (i == 0 ? "" : ", ") + in_quotes(*near[i].second);
  return text;
}

template <class Stored, class Out>
std::vector<Out> converted(const StoredTensor& tensor) {
  std::vector<Out> out(static_cast<size_t>(tensor.count()));
  for (size_t i = 0; i < out.size(); ++i) {
    Stored value;
    std::memcpy(&value, tensor.bytes.data() + i * sizeof value, sizeof value);  // may be unaligned
    if constexpr (std::is_integral_v<Out>) {
      if (!std::in_range<Out>(value)) {
        throw Error("the tensor " + in_quotes(tensor.name) + " holds " + std::to_string(value) +
                    ", which is too large");
      }
    }
    out[i] = static_cast<Out>(value);
  }
  return out;
}

void read_floats(const StoredTensor& tensor, float* out) {
  if (tensor.dtype == "F64") {
    const auto values = converted<double, float>(tensor);
    std::copy(values.begin(), values.end(), out);
    return;
  }
  const std::optional<DType> dtype = weight_dtype(tensor.dtype);
  if (!dtype) {
    throw Error("the tensor " + in_quotes(tensor.name) + " has the dtype " + tensor.dtype +
                " where F32, F16, BF16 or F64 is expected");
  }
  if (tensor.bytes.empty()) return;
  Weight weight;
  weight.dtype = *dtype;
  weight.data = tensor.bytes.data();
  weight.read(0, tensor.count(), out);
}

}  // namespace

std::optional<DType> weight_dtype(std::string_view stored) {
  if (stored == "F32") return DType::f32;
  if (stored == "F16") return DType::f16;
  if (stored == "BF16") return DType::bf16;
  if (stored == "Q8_0") return DType::q8_0;
  return std::nullopt;
}

std::string to_string(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

int64_t StoredTensor::count() const {
  // First, since the others of such a shape may be as large as they like.
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

Shape StoredTensor::weight_shape(const std::string& where) const {
  const bool has_zero = std::find(shape.begin(), shape.end(), 0) != shape.end();
  if (shape.size() > Shape::max_rank || has_zero) {
    throw Error("the tensor " + in_quotes(name) + where + " has the shape " + to_string(shape) +
                " where at most four extents are expected, none of them 0");
  }
  return Shape(std::span<const int64_t>(shape));
}

Weight StoredTensor::to_weight(const std::shared_ptr<const MappedFile>& map) const {
  const std::string where = " in " + map->path();
  Weight weight(weight_shape(where));
  const std::optional<DType> stored = weight_dtype(dtype);
  if (!stored) {
    throw Error("the tensor " + in_quotes(name) + where + " has the dtype " + dtype +
                " where a weight needs F32, F16, BF16 or Q8_0");
  }
  weight.name = name;
  weight.dtype = *stored;
  weight.data = bytes.data();
  weight.owner = map;
  return weight;
}

Tensor StoredTensor::to_tensor() const {
  Tensor y(weight_shape(""));
  read_floats(*this, y.mutable_data());
  return y;
}

std::vector<float> StoredTensor::to_floats() const {
  std::vector<float> values(static_cast<size_t>(count()));
  read_floats(*this, values.data());
  return values;
}

std::vector<int64_t> StoredTensor::to_integers() const {
  if (dtype == "I64") return converted<int64_t, int64_t>(*this);
  if (dtype == "I32") return converted<int32_t, int64_t>(*this);
  if (dtype == "I16") return converted<int16_t, int64_t>(*this);
  if (dtype == "I8") return converted<int8_t, int64_t>(*this);
  if (dtype == "U64") return converted<uint64_t, int64_t>(*this);
  if (dtype == "U32") return converted<uint32_t, int64_t>(*this);
  if (dtype == "U16") return converted<uint16_t, int64_t>(*this);
  if (dtype == "U8" || dtype == "BOOL") return converted<uint8_t, int64_t>(*this);
  throw Error("the tensor " + in_quotes(name) + " has the dtype " + dtype +
              " where whole numbers are expected");
}

SafetensorsFile SafetensorsFile::open(const std::string& path) {
  SafetensorsFile file;
  file.map_ = MappedFile::open(path);
  SafetensorsHeader header = read_safetensors_header(path, file.map_->bytes());
  file.tensors_ = std::move(header.tensors);
  file.metadata_ = std::move(header.metadata);
  const auto name = [&](uint32_t i) -> const std::string& { return file.tensors_[i].name; };
  file.by_name_.resize(file.tensors_.size());
  std::iota(file.by_name_.begin(), file.by_name_.end(), uint32_t{0});
  std::sort(file.by_name_.begin(), file.by_name_.end(),
            [&](uint32_t a, uint32_t b) { return name(a) < name(b); });
  const auto twin = std::adjacent_find(file.by_name_.begin(), file.by_name_.end(),
                                       [&](uint32_t a, uint32_t b) { return name(a) == name(b); });
  if (twin != file.by_name_.end()) {
    throw Error(path + " is not a usable safetensors file: the tensor " + in_quotes(name(*twin)) +
                " occurs twice");
  }
  return file;
}

const StoredTensor* SafetensorsFile::find(std::string_view name) const {
  const auto place =
      std::lower_bound(by_name_.begin(), by_name_.end(), name,
                       [&](uint32_t i, std::string_view key) { return tensors_[i].name < key; });
  if (place == by_name_.end() || tensors_[*place].name != name) return nullptr;
  return &tensors_[*place];
}

const StoredTensor& SafetensorsFile::at(std::string_view name) const {
  if (const StoredTensor* found = find(name)) return *found;
  throw Error(path() + " holds no tensor " + in_quotes(name) + "; " + nearest_names(tensors_, name));
}

Weight SafetensorsFile::weight(const StoredTensor& stored) const { return stored.to_weight(map_); }

}  // namespace cutaway
