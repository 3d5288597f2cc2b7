// tensor/files/: bytes that come from a disk or go there: weights, pictures, JSON, and the pages of memory
// behind them.
//
// TensorFile: a file of tensors in whichever format it is.   Doc: docs/checkpoints.md
#pragma once

#include <map>
#include <string>
#include <variant>
#include <vector>

#include "tensor/files/gguf.h"
#include "tensor/files/safetensors.h"
#include "tensor/files/torch_file.h"

namespace cutaway {

/// A safetensors file, a checkpoint of PyTorch or a GGUF file. Which it is, its first bytes tell, whatever it
/// is called. Opening reads names, shapes and dtypes, no numbers.
class TensorFile {
 public:
  /// Throws Error when the file cannot be read or breaks a rule of its format.
  static TensorFile open(const std::string& path);

  const std::string& path() const;
  /// "safetensors", "pickle" or "gguf"
  const char* format() const;
  const std::vector<StoredTensor>& tensors() const;
  /// Free text about the file; empty where the format has none.
  const std::map<std::string, std::string>& metadata() const;
  /// As StoredTensor::to_weight.
  Weight weight(const StoredTensor& stored) const;

 private:
  using Any = std::variant<SafetensorsFile, TorchFile, GgufFile>;
  explicit TensorFile(Any file) : file_(std::move(file)) {}

  Any file_;
};

}  // namespace cutaway
