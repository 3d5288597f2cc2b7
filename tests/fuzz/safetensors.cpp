// The header of a safetensors file, in a buffer of its exact size.
#include "tensor/error.h"
#include "tensor/files/safetensors_header.h"
#include "tests/fuzz/fuzz.h"

using namespace cutaway;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = fuzz::bytes_of(data, size);
  try {
    const SafetensorsHeader header = read_safetensors_header("input", file);
    fuzz::check_tensors(header.tensors, file);
    size_t bytes = 8;
    for (const StoredTensor& tensor : header.tensors) bytes += tensor.bytes.size();
    if (bytes > size) fuzz::fail("the tensors have more bytes than the file");
  } catch (const Error& error) {
    fuzz::check_refusal(error.what(), "input");
  }
  return 0;
}
