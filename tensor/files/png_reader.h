// .png files read, by libspng, within limits.   Doc: docs/workflows.md#png-files
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tensor/files/png.h"

namespace cutaway {

/// A picture for the eye: rows of red, green, blue and alpha, 0 to 255. Alpha 255 hides what lies behind.
struct PngPicture {
  int64_t width = 0;
  int64_t height = 0;
  std::vector<unsigned char> rgba;  // height rows of width pixels
  std::vector<PngText> texts;       // as UTF-8, in the file's order
};

/// The most that is read: a picture of so many pixels (8192 x 8192), its sides so long, and so many bytes of
/// one text chunk and of all together, unpacked.
constexpr int64_t most_png_pixels = int64_t{1} << 26;
constexpr int64_t longest_png_side = 1 << 15;
constexpr int64_t most_png_text = int64_t{1} << 22;
constexpr int64_t most_png_texts = int64_t{1} << 24;

/// Reads a PNG of any kind: 1 to 16 bits, grey, colour or palette, with or without alpha,
/// interlaced or not. Of 16 bits the upper 8 are kept. Colours are taken as they are stored; gAMA
/// and iCCP are not looked at. Throws Error, in one sentence with the path, when the file is no
/// PNG, is damaged anywhere (checksums included), or is beyond the limits. A damaged file costs no
/// memory for its pixels, whatever size it claims.
PngPicture read_png(const std::string& path);
/// The same for a whole file in memory; `path` is for messages.
PngPicture read_png(const std::string& path, std::span<const std::byte> file);

}  // namespace cutaway
