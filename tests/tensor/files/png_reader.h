// A small PNG reader for the tests, straight from the PNG specification and RFC 1950 and
// 1951. It knows 8-bit pixels without interlacing, and zlib streams of stored blocks and of
// fixed codes, as stb_image_write makes them.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace cutaway::test {

struct PngChunk {
  std::string type, content;
};

inline uint32_t big_endian(std::string_view bytes, size_t at) {
  uint32_t number = 0;
  for (size_t i = 0; i < 4; ++i) number = number << 8 | static_cast<unsigned char>(bytes[at + i]);
  return number;
}

/// Bit by bit, as the division of polynomials that a CRC is.
inline uint32_t slow_crc(std::string_view bytes) {
  uint32_t crc = 0xFFFFFFFFU;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1U) * 0xEDB88320U);
  }
  return ~crc;
}

/// All chunks, their CRCs checked.
inline std::vector<PngChunk> chunks_of(const std::string& png) {
  REQUIRE(png.substr(0, 8) == "\x89PNG\r\n\x1A\n");
  std::vector<PngChunk> chunks;
  for (size_t at = 8; at < png.size();) {
    REQUIRE(at + 12 <= png.size());
    const size_t length = big_endian(png, at);
    REQUIRE(at + 12 + length <= png.size());
    CHECK(big_endian(png, at + 8 + length) == slow_crc(std::string_view(png).substr(at + 4, 4 + length)));
    chunks.push_back({png.substr(at + 4, 4), png.substr(at + 8, length)});
    at += 12 + length;
  }
  return chunks;
}

/// Takes a zlib stream apart.
class Inflater {
 public:
  explicit Inflater(std::string_view stream) : stream_(stream) {}

  std::string inflate() {
    const uint32_t method = bits(8), flags = bits(8);
    REQUIRE(method % 16 == 8);
    REQUIRE((method * 256 + flags) % 31 == 0);
    for (bool last = false; !last;) {
      last = bits(1) == 1;
      const uint32_t kind = bits(2);
      REQUIRE(kind <= 1);
      kind == 0 ? stored_block() : fixed_block();
    }
    uint32_t a = 1, b = 0;  // Adler-32
    for (const char c : out_) {
      a = (a + static_cast<unsigned char>(c)) % 65521;
      b = (b + a) % 65521;
    }
    at_ = (at_ + 7) / 8 * 8;
    REQUIRE(at_ / 8 + 4 == stream_.size());
    CHECK(big_endian(stream_, at_ / 8) == b * 65536 + a);
    return out_;
  }

 private:
  // A number of so many bits, its lowest bit first.
  uint32_t bits(uint32_t count) {
    uint32_t number = 0;
    for (uint32_t i = 0; i < count; ++i, ++at_) {
      REQUIRE(at_ / 8 < stream_.size());
      number |= (static_cast<unsigned char>(stream_[at_ / 8]) >> at_ % 8 & 1U) << i;
    }
    return number;
  }

  // Bits of a code come highest first.
  uint32_t more_code(uint32_t code, int count) {
    for (int i = 0; i < count; ++i) code = code << 1 | bits(1);
    return code;
  }

  uint32_t fixed_symbol() {
    uint32_t code = more_code(0, 7);
    if (code < 24) return 256 + code;
    code = more_code(code, 1);
    if (code >= 48 && code < 192) return code - 48;
    if (code >= 192 && code < 200) return code - 192 + 280;
    code = more_code(code, 1);
    return code - 400 + 144;
  }

  void stored_block() {
    at_ = (at_ + 7) / 8 * 8;
    const uint32_t length = bits(16);
    REQUIRE(bits(16) == (length ^ 0xFFFFU));
    for (uint32_t i = 0; i < length; ++i) out_ += static_cast<char>(bits(8));
  }

  void fixed_block() {
    for (uint32_t symbol = fixed_symbol(); symbol != 256; symbol = fixed_symbol()) {
      if (symbol < 256) {
        out_ += static_cast<char>(symbol);
        continue;
      }
      REQUIRE(symbol <= 285);
      const uint32_t length = symbol == 285 ? 258 : 3 + steps(symbol - 257, 4);
      const size_t distance = 1 + steps(more_code(0, 5), 2);
      REQUIRE(distance <= out_.size());
      for (uint32_t i = 0; i < length; ++i) out_ += out_[out_.size() - distance];
    }
  }

  // The tables of lengths and distances (RFC 1951, 3.2.5): the first 2 * group codes stand for themselves,
  // and then every `group` codes take one more extra bit.
  uint32_t steps(uint32_t code, uint32_t group) {
    if (code < 2 * group) return code;
    const uint32_t extra = code / group - 1;
    return ((group + code % group) << extra) + bits(extra);
  }

  std::string_view stream_;
  size_t at_ = 0;  // in bits
  std::string out_;
};

/// The pixels of a picture, row by row.
inline std::vector<unsigned char> pixels_of(const std::vector<PngChunk>& chunks) {
  const auto width = static_cast<size_t>(big_endian(chunks.at(0).content, 0));
  const auto height = static_cast<size_t>(big_endian(chunks.at(0).content, 4));
  constexpr size_t channels_of_type[] = {1, 0, 3, 0, 2, 0, 4};
  const size_t channels = channels_of_type[static_cast<size_t>(chunks.at(0).content.at(9))];
  std::string stream;
  for (const PngChunk& chunk : chunks) {
    if (chunk.type == "IDAT") stream += chunk.content;
  }
  const std::string lines = Inflater(stream).inflate();
  const size_t row = width * channels;
  REQUIRE(lines.size() == (row + 1) * height);
  std::vector<unsigned char> pixels(row * height);
  for (size_t i = 0; i < pixels.size(); ++i) {
    const size_t y = i / row, x = i % row;
    const int left = x >= channels ? pixels[i - channels] : 0;
    const int up = y > 0 ? pixels[i - row] : 0;
    const int corner = x >= channels && y > 0 ? pixels[i - row - channels] : 0;
    const int guess = left + up - corner;
    const int to_left = std::abs(guess - left), to_up = std::abs(guess - up),
              to_corner = std::abs(guess - corner);
    const int paeth = to_left <= to_up && to_left <= to_corner ? left : to_up <= to_corner ? up : corner;
    const int predicted[] = {0, left, up, (left + up) / 2, paeth};
    const auto filter = static_cast<size_t>(lines[y * (row + 1)]);
    REQUIRE(filter < 5);
    pixels[i] = static_cast<unsigned char>(lines[y * (row + 1) + 1 + x] + predicted[filter]);
  }
  return pixels;
}

}  // namespace cutaway::test
