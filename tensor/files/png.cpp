#include "tensor/files/png.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

// Everything of the library's header stays inside this file.
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>

#include "tensor/error.h"
#include "tensor/files/file_writer.h"
#include "tensor/files/text.h"

namespace cutaway {
namespace {

constexpr int64_t longest_side = 65535;
constexpr int64_t most_bytes = int64_t{1} << 29;  // stb_image_write counts bytes in int and doubles them

// The CRC of PNG, annex D: polynomial 0xEDB88320, reflected, starting and ending with all bits turned.
uint32_t crc32(std::string_view bytes) {
  static const auto table = [] {
    std::array<uint32_t, 256> t{};
    for (uint32_t i = 0; i < 256; ++i) {
      t[i] = i;
      for (int bit = 0; bit < 8; ++bit) t[i] = (t[i] & 1U) != 0 ? t[i] >> 1 ^ 0xEDB88320U : t[i] >> 1;
    }
    return t;
  }();
  uint32_t crc = 0xFFFFFFFFU;
  for (const char c : bytes) crc = table[(crc ^ static_cast<unsigned char>(c)) & 0xFFU] ^ crc >> 8;
  return ~crc;
}

std::string big_endian(uint32_t number) {
  return {static_cast<char>(number >> 24), static_cast<char>(number >> 16), static_cast<char>(number >> 8),
          static_cast<char>(number)};
}

// Length, type, content, CRC of type and content.
std::string chunk(std::string_view type, std::string_view content) {
  const std::string body = std::string(type).append(content);
  return big_endian(static_cast<uint32_t>(content.size())) + body + big_endian(crc32(body));
}

// UTF-8 as Latin-1, one byte a character; nothing when a character is not in it.
std::optional<std::string> latin1(std::string_view text) {
  std::string bytes;
  for (size_t at = 0; at < text.size();) {
    const auto code = next_code_point(text, at);
    if (!code || *code > 0xFF) return std::nullopt;
    bytes += static_cast<char>(*code);
  }
  return bytes;
}

bool is_keyword(std::string_view keyword) {
  const auto printable = [](char c) {
    const auto code = static_cast<unsigned char>(c);
    return (code >= 32 && code <= 126) || code >= 161;
  };
  return !keyword.empty() && keyword.size() <= 79 && std::all_of(keyword.begin(), keyword.end(), printable) &&
         keyword.front() != ' ' && keyword.back() != ' ' && keyword.find("  ") == std::string_view::npos;
}

std::string text_chunk(const std::string& path, const PngText& text) {
  const auto keyword = latin1(text.keyword);
  if (!keyword || !is_keyword(*keyword)) {
    throw Error(
        "cannot write " + path + ": the keyword " + in_quotes(text.keyword) +
        " must be 1 to 79 printable Latin-1 characters, with no space at either end and no two in a row");
  }
  const std::string place = "cannot write " + path + ": the text under " + in_quotes(text.keyword);
  if (!is_utf8(text.text)) throw Error(place + " is not UTF-8");
  if (text.text.find('\0') != std::string::npos)
    throw Error(place + " has a zero byte, which PNG does not allow");
  if (text.text.size() > (size_t{1} << 30)) throw Error(place + " is longer than 1 GiB");
  const std::string head = *keyword + '\0';
  if (const auto plain = latin1(text.text)) return chunk("tEXt", head + *plain);
  // iTXt: not compressed (0, method 0), no language, no translated keyword.
  return chunk("iTXt", head + std::string(4, '\0') + text.text);
}

std::string encoded(int64_t width, int64_t height, int64_t channels, std::span<const unsigned char> pixels) {
  std::string png;
  const auto collect = [](void* context, void* data, int size) {
    static_cast<std::string*>(context)->append(static_cast<const char*>(data), static_cast<size_t>(size));
  };
  const int done =
      stbi_write_png_to_func(collect, &png, static_cast<int>(width), static_cast<int>(height),
                             static_cast<int>(channels), pixels.data(), static_cast<int>(width * channels));
  if (done == 0)
    throw Error("not enough memory to encode a picture of " + std::to_string(width) + " x " +
                std::to_string(height));
  return png;
}

}  // namespace

void write_png(const std::string& path, int64_t width, int64_t height, int64_t channels,
               std::span<const unsigned char> pixels, const std::vector<PngText>& texts) {
  const auto between = [](int64_t x, int64_t least, int64_t most) { return x >= least && x <= most; };
  const std::string size = std::to_string(width) + " x " + std::to_string(height) + " with " +
                           std::to_string(channels) + " channels";
  if (!between(width, 1, longest_side) || !between(height, 1, longest_side) || !between(channels, 1, 4) ||
      (width * channels + 1) * height > most_bytes) {
    throw Error(
        "cannot write " + path + ": a picture of " + size +
        " is not possible; sides are 1 to 65535, channels 1 to 4, and all bytes together at most 512 MiB");
  }
  if (static_cast<int64_t>(pixels.size()) != width * height * channels) {
    throw Error("cannot write " + path + ": a picture of " + size + " needs " +
                std::to_string(width * height * channels) + " bytes, but " + std::to_string(pixels.size()) +
                " were given");
  }
  std::string text_chunks;
  for (const PngText& text : texts) text_chunks += text_chunk(path, text);

  const std::string png = encoded(width, height, channels, pixels);
  constexpr size_t header = 8 + 12 + 13;  // the signature and the chunk IHDR, which must come first
  FileWriter file(path);
  file.write(std::string_view(png).substr(0, header));
  file.write(text_chunks);
  file.write(std::string_view(png).substr(header));
  file.commit();
}

std::vector<unsigned char> to_rgb8(const Tensor& picture, int64_t image) {
  const Shape& shape = picture.shape();
  if (picture.empty() || shape.rank() != 4 || shape[1] != 3) {
    throw Error("a picture tensor must be [N, 3, H, W], but this one is " + to_string(shape));
  }
  if (image < 0 || image >= shape[0]) {
    throw Error("there is no image " + std::to_string(image) + " in a batch of shape " + to_string(shape));
  }
  const int64_t plane = shape[2] * shape[3];
  const float* values = picture.data() + image * 3 * plane;
  std::vector<unsigned char> rgb(static_cast<size_t>(3 * plane));
  for (int64_t pixel = 0; pixel < plane; ++pixel) {
    for (int64_t channel = 0; channel < 3; ++channel) {
      const float x = values[channel * plane + pixel];
      if (std::isnan(x)) {
        throw Error("the picture has no colour at row " + std::to_string(pixel / shape[3]) + ", column " +
                    std::to_string(pixel % shape[3]) + ": the value there is NaN");
      }
      const float level = std::clamp((x + 1) / 2, 0.0F, 1.0F) * 255;
      rgb[static_cast<size_t>(pixel * 3 + channel)] = static_cast<unsigned char>(std::nearbyint(level));
    }
  }
  return rgb;
}

}  // namespace cutaway
