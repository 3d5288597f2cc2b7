// safetensors: the file format of weights. 8 bytes of header length, a JSON header, then the numbers.
// The format: https://huggingface.co/docs/safetensors
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/files/mapped_file.h"
#include "tensor/files/named_weight.h"
#include "tensor/tensor.h"
#include "tensor/weight.h"

namespace cutaway {

/// One tensor of a SafetensorsFile. Its bytes stay in the mapped file and
/// live as long as the SafetensorsFile does.
struct StoredTensor {
  std::string name;
  std::string dtype;  // as the file says: "F32", "F16", "BF16", "F64", "I64", "I32", "U8", "BOOL", ...
  std::vector<int64_t> shape;        // any rank: [] is one number, and an extent may be 0
  std::span<const std::byte> bytes;  // may be unaligned

  /// How many numbers it holds.
  int64_t count() const;
  /// The numbers as float32. Throws Error unless the dtype is F32, F16, BF16 or F64, there are at most four
  /// extents, and none is 0.
  Tensor to_tensor() const;
  /// The same for any rank.
  std::vector<float> to_floats() const;
  /// Throws Error unless the dtype is an integer or BOOL (0 and 1), or when a number does not fit int64.
  std::vector<int64_t> to_integers() const;
  /// As a Weight that points into the file it came from and keeps it mapped. Throws Error unless the dtype is
  /// F32, F16, BF16 or Q8_0, there are at most four extents, and none is 0.
  Weight to_weight(const std::shared_ptr<const MappedFile>& map) const;

 private:
  Shape weight_shape(const std::string& where) const;  // `where` follows the tensor's name in messages
};

/// The dtype that a weight has in memory, for a dtype's name in a file;
/// nothing for those that no weight can have.
std::optional<DType> weight_dtype(std::string_view stored);

/// "[320, 4, 3, 3]"
std::string to_string(const std::vector<int64_t>& shape);

/// A safetensors file, mapped into memory: opening reads the header only.
class SafetensorsFile {
 public:
  /// Throws Error when the file cannot be read or breaks any rule of the format.
  static SafetensorsFile open(const std::string& path);

  const std::string& path() const { return map_->path(); }
  /// In the order of their data.
  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  /// Null when there is none of this name.
  const StoredTensor* find(std::string_view name) const;
  /// Throws Error when there is none of this name, and says which names are near.
  const StoredTensor& at(std::string_view name) const;
  /// The free text pairs under __metadata__.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  std::shared_ptr<const MappedFile> map() const { return map_; }

  /// As StoredTensor::to_weight.
  Weight weight(const StoredTensor& stored) const;

 private:
  std::shared_ptr<const MappedFile> map_;
  std::vector<StoredTensor> tensors_;
  std::vector<uint32_t> by_name_;  // places in tensors_, sorted by name
  std::map<std::string, std::string> metadata_;
};

/// A tensor to be written, with its name in the file.
struct NamedTensor {
  std::string name;
  Tensor tensor;
};

/// Writes the tensors as F32, in the given order, all or nothing. Throws Error when two have the same name, a
/// name is not UTF-8, a tensor has no numbers, or the file cannot be written.
void write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

/// The same for weights, each in the dtype given. Throws Error also when a number is too large for f16, and
/// for q8_0, which the format does not know.
void write_weights(const std::string& path, const std::vector<NamedWeight>& weights,
                   const std::map<std::string, std::string>& metadata = {});

}  // namespace cutaway
