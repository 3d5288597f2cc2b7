// Pictures of 8 bits in another size.   Doc: docs/workflows.md#from-a-picture
#pragma once

#include <cstdint>
#include <vector>

namespace cutaway::pictures {

/// Rows of red, green and blue, 0 to 255.
struct RgbPicture {
  int64_t width = 0;
  int64_t height = 0;
  std::vector<unsigned char> rgb;
};

/// Lanczos' filter with three lobes, widened where the picture shrinks, so that no detail is left between the
/// pixels; first the rows, then the columns, each rounded to 8 bits. The same bytes as Pillow's
/// Image.resize(size, LANCZOS), with which diffusers prepares its pictures.
RgbPicture resized(const RgbPicture& picture, int64_t width, int64_t height);

}  // namespace cutaway::pictures
