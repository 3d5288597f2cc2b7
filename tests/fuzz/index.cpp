// A list of shards beside two shards of one tensor each, and a folder above it with a third file.
#include "models/checkpoints/tensor_set.h"
#include "tensor/error.h"
#include "tests/fuzz/fuzz.h"
#include "tests/tensor/files/safetensors_bytes.h"

using namespace cutaway;

namespace {

struct Shards {
  Shards() {
    for (const std::string name : {"a", "b"}) {
      const std::string header = R"({")" + name + R"(":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})";
      folder.put(name, test::safetensors(header, "data"));
    }
  }
  fuzz::Folder folder;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Shards shards;
  shards.folder.put("index.json", fuzz::text_of(data, size));
  const std::string path = shards.folder.path() + "/index.json";
  try {
    const TensorSet set = TensorSet::of_file(path);
    if (set.tensors().empty() || set.files() > 2) fuzz::fail("shards that are not there");
  } catch (const Error& error) {
    // Of a shard that is wrong itself, the shard is named.
    fuzz::check_refusal(error.what(), shards.folder.path());
  }
  return 0;
}
