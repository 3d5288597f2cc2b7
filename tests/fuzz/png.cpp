// A PNG file.
#include "tensor/files/png_reader.h"

#include "tensor/error.h"
#include "tests/fuzz/fuzz.h"

using namespace cutaway;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const PngPicture picture = read_png("input", fuzz::bytes_of(data, size));
    const bool whole = picture.width > 0 && picture.height > 0 &&
                       picture.rgba.size() == static_cast<size_t>(picture.width * picture.height * 4);
    if (!whole) fuzz::fail("a picture without all its pixels");
  } catch (const Error& error) {
    fuzz::check_refusal(error.what(), "input");
  }
  return 0;
}
