// TensorSet: all tensors of one network or one checkpoint, in one file or in several.
// Doc: docs/checkpoints.md
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "tensor/files/tensor_file.h"

namespace cutaway {

/// The tensors of a model part, whether they lie in one file or in several.
class TensorSet {
 public:
  /// A file of tensors, or a list of shards (NAME.safetensors.index.json) with the files that
  /// it names. Throws Error when a file is missing or broken, a shard lies outside of the
  /// list's folder, or list and shards disagree.
  static TensorSet of_file(const std::string& path);
  /// The weights in a folder such as unet/, under the names that diffusers and transformers write: whole or
  /// in shards, of a `variant` such as "fp16" or, when that is "", of any variant if there is no plain one.
  /// Throws Error when there are none.
  static TensorSet of_folder(const std::string& folder, const std::string& variant = "");
  /// Are there any such weights in the folder?
  static bool has_weights(const std::string& folder);

  /// What was opened: the file, or the list of the shards.
  const std::string& path() const { return path_; }
  /// "safetensors", "pickle" or "gguf"
  const char* format() const { return files_.front()->format(); }
  size_t files() const { return files_.size(); }
  const std::map<std::string, std::string>& metadata() const { return files_.front()->metadata(); }
  const std::vector<const StoredTensor*>& tensors() const { return tensors_; }
  /// Null when there is none of this name.
  const StoredTensor* find(const std::string& name) const;
  /// As SafetensorsFile::weight; `stored` is one of tensors().
  Weight weight(const StoredTensor& stored) const;

 private:
  void add(TensorFile file);

  std::string path_;
  std::vector<std::shared_ptr<const TensorFile>> files_;
  std::vector<const StoredTensor*> tensors_;
  struct Place {
    const StoredTensor* stored;
    const TensorFile* file;
  };
  std::unordered_map<std::string, Place> by_name_;
};

}  // namespace cutaway
