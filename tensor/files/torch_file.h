// TorchFile: a checkpoint as PyTorch's own torch.save writes it, .ckpt, .pt, .pth or .bin.
// Doc: docs/checkpoints.md
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tensor/files/safetensors.h"

namespace cutaway {

/// Both layouts: a zip file with data.pkl and a file for each storage (PyTorch 1.6 and later), and before
/// that a row of pickles with the storages behind. Nothing in the file is run, see tensor/files/pickle.h.
/// Opening reads the pickle, no numbers; they stay in the mapped file.
class TorchFile {
 public:
  /// Does a file that begins with these bytes look like one?
  static bool looks_like_one(std::string_view first_bytes);
  /// Dicts in dicts become one name with dots; of a training's notes only what is under state_dict is read.
  /// Throws Error when the file cannot be read, is damaged, holds anything but tensors, or a tensor's numbers
  /// do not stand one after another.
  static TorchFile open(const std::string& path);

  const std::string& path() const { return map_->path(); }
  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  std::shared_ptr<const MappedFile> map() const { return map_; }

 private:
  std::shared_ptr<const MappedFile> map_;
  std::vector<StoredTensor> tensors_;
};

/// The tensors of a whole file in memory; `path` is for messages. Throws Error as TorchFile::open does.
std::vector<StoredTensor> read_torch_tensors(const std::string& path, std::span<const std::byte> file);

}  // namespace cutaway
