// PNG files made by hand, of every kind and in every way broken. Straight from the PNG specification.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/tensor/files/png_reader.h"

namespace cutaway::test {

inline std::string be32(uint32_t number) {
  return {static_cast<char>(number >> 24), static_cast<char>(number >> 16), static_cast<char>(number >> 8),
          static_cast<char>(number)};
}

inline std::string png_chunk(std::string_view type, std::string_view content) {
  const std::string body = std::string(type).append(content);
  return be32(static_cast<uint32_t>(content.size())) + body + be32(slow_crc(body));
}

/// A zlib stream of stored blocks.
inline std::string stored_zlib(std::string_view data) {
  std::string stream = "\x78\x01";
  uint32_t a = 1, b = 0;
  for (const char c : data) {
    a = (a + static_cast<unsigned char>(c)) % 65521;
    b = (b + a) % 65521;
  }
  do {
    const std::string_view block = data.substr(0, 65535);
    data.remove_prefix(block.size());
    const auto size = static_cast<uint32_t>(block.size());
    stream += data.empty() ? '\1' : '\0';
    for (const uint32_t number : {size, ~size})
      stream += {static_cast<char>(number & 0xFF), static_cast<char>(number >> 8 & 0xFF)};
    stream += block;
  } while (!data.empty());
  return stream + be32(b << 16 | a);
}

/// The kind of a picture, as IHDR has it.
struct PngKind {
  uint32_t width = 5, height = 3;
  int depth = 8;
  int colour = 2;  // 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA
  int interlace = 0;

  int channels() const { return colour == 2 ? 3 : colour == 4 ? 2 : colour == 6 ? 4 : 1; }
  std::string header() const {
    return be32(width) + be32(height) +
           std::string{static_cast<char>(depth), static_cast<char>(colour), 0, 0,
                       static_cast<char>(interlace)};
  }
};

using Sample = std::function<uint32_t(uint32_t x, uint32_t y, int channel)>;

// The pixels x0, x0 + dx, ... of the rows y0, y0 + dy, ..., each row behind a byte for its filter (0, none).
inline std::string png_rows(const PngKind& kind, const Sample& sample, uint32_t x0, uint32_t y0, uint32_t dx,
                            uint32_t dy) {
  std::string rows;
  if (x0 >= kind.width) return rows;
  for (uint32_t y = y0; y < kind.height; y += dy) {
    rows += '\0';
    uint32_t bits = 0;
    int filled = 0;
    for (uint32_t x = x0; x < kind.width; x += dx) {
      for (int channel = 0; channel < kind.channels(); ++channel) {
        bits = bits << kind.depth | sample(x, y, channel);
        for (filled += kind.depth; filled >= 8; filled -= 8) rows += static_cast<char>(bits >> (filled - 8));
      }
    }
    if (filled > 0) rows += static_cast<char>(bits << (8 - filled));
  }
  return rows;
}

inline std::string png_rows(const PngKind& kind, const Sample& sample) {
  if (kind.interlace == 0) return png_rows(kind, sample, 0, 0, 1, 1);
  constexpr uint32_t passes[7][4] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                     {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
  std::string rows;
  for (const auto& pass : passes) rows += png_rows(kind, sample, pass[0], pass[1], pass[2], pass[3]);
  return rows;
}

inline const std::string png_signature = "\x89PNG\r\n\x1A\n";

/// The whole file; `more` are chunks between IHDR and IDAT.
inline std::string png_bytes(const PngKind& kind, const Sample& sample, const std::string& more = "") {
  return png_signature + png_chunk("IHDR", kind.header()) + more +
         png_chunk("IDAT", stored_zlib(png_rows(kind, sample))) + png_chunk("IEND", "");
}

}  // namespace cutaway::test
