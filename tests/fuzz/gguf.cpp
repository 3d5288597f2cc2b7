// The header of a GGUF file.
#include "tensor/files/gguf.h"
#include "tensor/error.h"
#include "tests/fuzz/fuzz.h"

using namespace cutaway;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = fuzz::bytes_of(data, size);
  try {
    const GgufHeader header = read_gguf_header("input", file);
    fuzz::check_tensors(header.tensors, file);
  } catch (const Error& error) {
    fuzz::check_refusal(error.what(), "input");
  }
  return 0;
}
