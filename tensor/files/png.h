// .png: pictures for the eye.   The format: https://www.w3.org/TR/png-3/
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace cutaway {

/// A text inside a PNG, such as the prompt under the keyword "parameters". Both are UTF-8.
struct PngText {
  std::string keyword;  // 1 to 79 printable Latin-1 characters, no space at either end or next to another
  std::string text;     // anything without a zero byte
};

/// Writes 8-bit rows of 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA) channels, all or nothing. Texts are
/// stored before the picture, as tEXt where they are Latin-1 and as iTXt where not. Throws Error when the
/// number of pixels is not width * height * channels, a side is not 1 to 65535, a text breaks the rules, or
/// the file cannot be written.
void write_png(const std::string& path, int64_t width, int64_t height, int64_t channels,
               std::span<const unsigned char> pixels, const std::vector<PngText>& texts = {});

/// One image of a [N, 3, H, W] batch with values in [-1, 1] as rows of RGB: round(clamp((x + 1) / 2, 0, 1) *
/// 255), halves to the even number as in NumPy. Throws Error on another shape, when there is no such image,
/// or on a NaN.
std::vector<unsigned char> to_rgb8(const Tensor& picture, int64_t image = 0);

}  // namespace cutaway
