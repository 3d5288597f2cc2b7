// A checkpoint of PyTorch before 1.6: a row of pickles, with the storages behind.
#include "tensor/error.h"
#include "tensor/files/torch_file.h"
#include "tests/fuzz/fuzz.h"

using namespace cutaway;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = fuzz::bytes_of(data, size);
  try {
    fuzz::check_tensors(read_torch_tensors("input", file), file);
  } catch (const Error& error) {
    fuzz::check_refusal(error.what(), "input");
  }
  return 0;
}
