#include "tensor/files/png_reader.h"

#include <spng.h>

#include <memory>
#include <span>
#include <string_view>

#include "tensor/error.h"
#include "tensor/files/mapped_file.h"
#include "tensor/files/text.h"

namespace cutaway {
namespace {

using Bytes = std::span<const std::byte>;

[[noreturn]] void refuse(const std::string& path, const std::string& reason) {
  throw Error("cannot read the picture " + path + ": " + reason);
}

// By its first bytes, which tell the common kinds of pictures apart.
void must_be_png(const std::string& path, Bytes bytes) {
  const std::string_view start(reinterpret_cast<const char*>(bytes.data()),
                               std::min<size_t>(bytes.size(), 12));
  const std::string_view png = "\x89PNG\r\n\x1A\n";
  if (start.substr(0, 8) == png.substr(0, start.size())) return;  // one that is cut here is told later
  std::string kind;
  if (start.starts_with("\xFF\xD8\xFF")) kind = "JPEG";
  if (start.starts_with("GIF8")) kind = "GIF";
  if (start.starts_with("RIFF") && start.ends_with("WEBP")) kind = "WebP";
  if (start.starts_with("BM")) kind = "BMP";
  refuse(path, kind.empty() ? "it is no PNG file" : "it is a " + kind + " file, and only PNG files are read");
}

// libspng's reasons in the words of the format, for the usual ones.
std::string reason_of(int error) {
  switch (error) {
    case SPNG_EMEM:
      return "there is not enough memory for it";
    case SPNG_IO_EOF:
    case SPNG_EIDAT_TOO_SHORT:
      return "it ends in the middle; was it copied or downloaded whole?";
    case SPNG_ECHUNK_CRC:
      return "it is damaged: a checksum is wrong";
    case SPNG_EIDAT_STREAM:
    case SPNG_EZLIB:
      return "it is damaged: its packed data cannot be unpacked";
    case SPNG_ENOPLTE:
      return "it is damaged: the palette (PLTE) that its colours come from is missing";
    case SPNG_EPLTE_IDX:
      return "it is damaged: a pixel has a colour that is not in the palette";
    case SPNG_EFILTER:
      return "it is damaged: a row has a filter that does not exist";
    case SPNG_ECHUNK_LIMITS:
      return "its texts or profiles are longer than " + std::to_string(most_png_text >> 20) + " MiB";
    default:
      return std::string("it is damaged: ") + spng_strerror(error);
  }
}

class Decoder {
 public:
  Decoder(const std::string& path, Bytes bytes) : path_(path), context_(spng_ctx_new(0)) {
    check(context_ ? SPNG_OK : SPNG_EMEM);
    spng_ctx* c = context_.get();
    check(spng_set_crc_action(c, SPNG_CRC_ERROR, SPNG_CRC_ERROR));
    check(spng_set_chunk_limits(c, static_cast<size_t>(most_png_text), static_cast<size_t>(most_png_texts)));
    check(spng_set_png_buffer(c, bytes.data(), bytes.size()));
    spng_ihdr header = {};
    check(spng_get_ihdr(c, &header));
    width = header.width;
    height = header.height;
    if (width > longest_png_side || height > longest_png_side) {
      refuse(path_, "it is " + std::to_string(width) + " x " + std::to_string(height) +
                        " pixels, and sides are read up to " + std::to_string(longest_png_side));
    }
    if (width * height > most_png_pixels) {
      refuse(path_, "it is " + std::to_string(width) + " x " + std::to_string(height) +
                        " pixels, more than the " + std::to_string(most_png_pixels) + " that are read");
    }
  }

  int64_t width = 0;
  int64_t height = 0;

  /// Unpacks row after row; row y goes to place(y). Interlaced, a row comes
  /// several times, each time with more pixels.
  template <class Place>
  void each_row(Place place) {
    spng_ctx* c = context_.get();
    check(spng_decode_image(c, nullptr, 0, SPNG_FMT_RGBA8, SPNG_DECODE_PROGRESSIVE | SPNG_DECODE_TRNS));
    for (int result = SPNG_OK; result != SPNG_EOI;) {
      spng_row_info row = {};
      check(spng_get_row_info(c, &row));
      result = spng_decode_row(c, place(static_cast<int64_t>(row.row_num)), static_cast<size_t>(width) * 4);
      if (result != SPNG_EOI) check(result);
    }
    check(spng_decode_chunks(c));  // what follows the pixels, to the end mark
  }

  std::vector<PngText> texts() {
    uint32_t count = 0;
    const int result = spng_get_text(context_.get(), nullptr, &count);
    if (result == SPNG_ECHUNKAVAIL) return {};
    check(result);
    std::vector<spng_text> found(count);
    check(spng_get_text(context_.get(), found.data(), &count));
    std::vector<PngText> texts;
    for (const spng_text& text : found) {
      const std::string_view content(text.text, text.length);
      const bool utf8 = text.type == SPNG_ITXT && is_utf8(content);
      texts.push_back({from_latin1(text.keyword), utf8 ? std::string(content) : from_latin1(content)});
    }
    return texts;
  }

 private:
  struct Free {
    void operator()(spng_ctx* context) const { spng_ctx_free(context); }
  };

  void check(int result) const {
    if (result != SPNG_OK) refuse(path_, reason_of(result));
  }

  static std::string from_latin1(std::string_view text) {
    std::string utf8;
    for (const char c : text) {
      const auto code = static_cast<unsigned char>(c);
      if (code < 0x80) {
        utf8 += c;
      } else {
        utf8 += static_cast<char>(0xC0 | code >> 6);
        utf8 += static_cast<char>(0x80 | (code & 0x3F));
      }
    }
    return utf8;
  }

  const std::string& path_;
  std::unique_ptr<spng_ctx, Free> context_;
};

}  // namespace

PngPicture read_png(const std::string& path) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  return read_png(path, file->bytes());
}

PngPicture read_png(const std::string& path, Bytes file) {
  must_be_png(path, file);
  // Once for nothing, into one row: a file of some bytes may claim a picture of hundreds of megabytes, and
  // only a file that holds all of it gets the memory.
  Decoder dry_run(path, file);
  std::vector<unsigned char> row(static_cast<size_t>(dry_run.width) * 4);
  dry_run.each_row([&](int64_t) { return row.data(); });

  Decoder decoder(path, file);
  PngPicture picture{.width = decoder.width, .height = decoder.height, .rgba = {}, .texts = {}};
  picture.rgba.resize(static_cast<size_t>(picture.width * picture.height) * 4);
  decoder.each_row([&](int64_t y) { return picture.rgba.data() + y * picture.width * 4; });
  picture.texts = decoder.texts();
  return picture;
}

}  // namespace cutaway
