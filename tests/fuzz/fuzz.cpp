#include "tests/fuzz/fuzz.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace cutaway::fuzz {

void fail(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::abort();
}

Folder::Folder() : path_((std::filesystem::temp_directory_path() / "cutaway-fuzz-XXXXXX").string()) {
  if (::mkdtemp(path_.data()) == nullptr) fail("no temporary folder can be made");
}

Folder::~Folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void Folder::put(const std::string& name, std::string_view bytes) const {
  std::ofstream file(path_ + "/" + name, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!file.flush()) fail("cannot write " + name);
}

void check_refusal(const std::string& message, const std::string& path) {
  if (message.find(path) == std::string::npos) fail("the file is not named: " + message);
  if (message.find('\n') != std::string::npos) fail("more than one line: " + message);
  if (message.size() > 900) fail("too long a sentence: " + message);
}

void check_tensors(const std::vector<StoredTensor>& tensors, std::span<const std::byte> file) {
  float sum = 0;
  for (const StoredTensor& tensor : tensors) {
    const bool within =
        tensor.bytes.empty() || (tensor.bytes.data() >= file.data() &&
                                 tensor.bytes.data() + tensor.bytes.size() <= file.data() + file.size());
    if (!within) fail("the tensor " + tensor.name + " reaches beyond the file");
    for (const std::byte b : tensor.bytes) sum += static_cast<float>(b);
    if (tensor.shape.size() > Shape::max_rank) continue;
    if (tensor.dtype == "F32" || tensor.dtype == "F16" || tensor.dtype == "BF16") {
      const std::vector<float> values = tensor.to_floats();
      if (static_cast<int64_t>(values.size()) != tensor.count()) fail("numbers are missing");
    }
  }
  [[maybe_unused]] static volatile float kept;
  kept = sum;  // so that the reads are not left out
}

}  // namespace cutaway::fuzz
