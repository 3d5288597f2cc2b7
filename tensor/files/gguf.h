// GGUF: ggml's file format of weights, as stable-diffusion.cpp writes it.   Doc: docs/checkpoints.md
// The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tensor/files/safetensors.h"

namespace cutaway {

/// Opening reads names, shapes and dtypes, no numbers. Shapes are turned around: GGUF lists the fastest
/// extent first. Dtypes are called as in safetensors, and the packed ones as in ggml: "Q8_0", "Q4_K".
class GgufFile {
 public:
  static bool looks_like_one(std::string_view first_bytes) { return first_bytes.starts_with("GGUF"); }
  /// Throws Error when the file cannot be read or breaks a rule of the format.
  static GgufFile open(const std::string& path);

  const std::string& path() const { return map_->path(); }
  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  /// The short texts among its key-value pairs.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  std::shared_ptr<const MappedFile> map() const { return map_; }

 private:
  std::shared_ptr<const MappedFile> map_;
  std::vector<StoredTensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

/// All of a GGUF file but the numbers, which `tensors` point to.
struct GgufHeader {
  std::vector<StoredTensor> tensors;
  std::map<std::string, std::string> metadata;
};

/// The header of a whole file in memory; `path` is for messages. Throws Error as GgufFile::open does.
GgufHeader read_gguf_header(const std::string& path, std::span<const std::byte> file);

/// Writes the weights, each in the dtype given, and `metadata` as texts; all or nothing. Rows of q8_0 must be
/// a multiple of 32 long. Throws Error when two have the same name, a row does not fit, a number is too large
/// for its dtype, or the file cannot be written.
void write_gguf(const std::string& path, const std::vector<NamedWeight>& weights,
                const std::map<std::string, std::string>& metadata = {});

}  // namespace cutaway
