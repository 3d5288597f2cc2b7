// The pickle in a checkpoint of PyTorch; the zip file around it is right.
#include "tensor/error.h"
#include "tensor/files/torch_file.h"
#include "tests/fuzz/fuzz.h"
#include "tests/tensor/files/torch_bytes.h"

using namespace cutaway;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string zip = test::checkpoint(std::string(fuzz::text_of(data, size)));
  const auto file = std::as_bytes(std::span(zip.data(), zip.size()));
  try {
    fuzz::check_tensors(read_torch_tensors("input", file), file);
  } catch (const Error& error) {
    fuzz::check_refusal(error.what(), "input");
  }
  return 0;
}
