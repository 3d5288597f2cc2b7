// PNG files read: every kind of picture, texts, and files that are broken or meant to harm.
#include "tensor/files/png_reader.h"

#include "tests/check.h"
#include "tests/tensor/files/files.h"
#include "tests/tensor/files/png_bytes.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

using Pixel = std::vector<int>;

uint32_t mixed(uint32_t x, uint32_t y, int channel) {
  return (x * 37 + y * 101 + static_cast<uint32_t>(channel) * 59 + 11) % 251;
}

PngPicture read(const std::string& bytes) {
  const TemporaryFolder folder;
  write_bytes(folder / "x.png", bytes);
  return read_png(folder / "x.png");
}

std::string error_for(const std::string& bytes) {
  const TemporaryFolder folder;
  write_bytes(folder / "x.png", bytes);
  const std::string message = error_of([&] { read_png(folder / "x.png"); });
  CHECK((message.empty() || contains(message, "x.png")));
  CHECK(message.find('\n') == std::string::npos);
  return message;
}

Pixel pixel(const PngPicture& picture, int64_t x, int64_t y) {
  const auto at = picture.rgba.begin() + (y * picture.width + x) * 4;
  return {at, at + 4};
}

const PngKind rgb;
const std::string header = png_signature + png_chunk("IHDR", rgb.header());
const std::string end = png_chunk("IEND", "");
std::string idat(const std::string& rows) { return png_chunk("IDAT", stored_zlib(rows)); }
std::string rows() { return png_rows(rgb, mixed); }
std::string good() { return header + idat(rows()) + end; }

}  // namespace

TEST_CASE("PNG reader: every colour type, depth and interlacing") {
  for (const int interlace : {0, 1}) {
    for (const uint32_t side : {1U, 3U, 8U, 13U}) {
      CAPTURE(interlace);
      CAPTURE(side);
      const PngKind kind{.width = side, .height = side + 1, .interlace = interlace};
      const auto with = [kind](int colour, int depth) {
        PngKind other = kind;
        other.colour = colour;
        other.depth = depth;
        return other;
      };
      const PngPicture colour = read(png_bytes(kind, mixed));
      REQUIRE(colour.width == side);
      REQUIRE(colour.height == side + 1);
      const PngPicture grey = read(png_bytes(with(0, 8), mixed)),
                       grey_alpha = read(png_bytes(with(4, 8), mixed)),
                       rgba = read(png_bytes(with(6, 8), mixed));
      const auto wide = [](uint32_t x, uint32_t y, int c) { return mixed(x, y, c) * 256 + 77; };
      const PngPicture deep = read(png_bytes(with(6, 16), wide));
      const auto bit = [](uint32_t x, uint32_t y, int) { return (x + y) % 2; };
      const PngPicture bits = read(png_bytes(with(0, 1), bit));
      const auto index = [](uint32_t x, uint32_t y, int) { return (x + 2 * y) % 3; };
      const std::string palette =
          png_chunk("PLTE", "abcdefghi") + png_chunk("tRNS", std::string("\x10\xFF", 2));
      const PngPicture indexed = read(png_bytes(with(3, 2), index, palette));
      for (uint32_t y = 0; y <= side; ++y) {
        for (uint32_t x = 0; x < side; ++x) {
          const auto at = [x, y](int channel) { return static_cast<int>(mixed(x, y, channel)); };
          CHECK((pixel(colour, x, y) == Pixel{at(0), at(1), at(2), 255}));
          CHECK((pixel(grey, x, y) == Pixel{at(0), at(0), at(0), 255}));
          CHECK((pixel(grey_alpha, x, y) == Pixel{at(0), at(0), at(0), at(1)}));
          CHECK((pixel(rgba, x, y) == Pixel{at(0), at(1), at(2), at(3)}));
          CHECK((pixel(deep, x, y) == Pixel{at(0), at(1), at(2), at(3)}));
          const int level = (x + y) % 2 == 1 ? 255 : 0;
          CHECK((pixel(bits, x, y) == Pixel{level, level, level, 255}));
          const int i = static_cast<int>((x + 2 * y) % 3), first = 'a' + 3 * i;
          CHECK((pixel(indexed, x, y) == Pixel{first, first + 1, first + 2, i == 0 ? 16 : 255}));
        }
      }
    }
  }
}

TEST_CASE("PNG reader: what write_png wrote, texts included") {
  const TemporaryFolder folder;
  const std::vector<PngText> texts = {{"prompt", "caf\xC3\xA9, \xE7\x8C\xAB\nnext line"},
                                      {"prompt", "a second one"},
                                      {"Na\xC3\xAFve", "\xC3\xBC"},
                                      {"long", std::string(100'000, 'p')}};
  std::vector<unsigned char> pixels;
  for (uint32_t i = 0; i < 7 * 5 * 3; ++i) pixels.push_back(static_cast<unsigned char>(mixed(i, 0, 0)));
  write_png(folder / "x.png", 7, 5, 3, pixels, texts);
  const PngPicture picture = read_png(folder / "x.png");
  for (size_t i = 0; i < pixels.size() / 3; ++i) {
    for (size_t channel = 0; channel < 3; ++channel)
      CHECK(picture.rgba[4 * i + channel] == pixels[3 * i + channel]);
  }
  REQUIRE(picture.texts.size() == texts.size());
  for (const PngText& text : texts) {
    bool found = false;
    for (const PngText& read_text : picture.texts)
      found = found || (read_text.keyword == text.keyword && read_text.text == text.text);
    CHECK(found);
  }
  // Texts behind the pixels count as well, and packed ones.
  const std::string packed = std::string("k\0\0", 3) + stored_zlib("packed");
  const PngPicture behind = read(header + idat(rows()) + png_chunk("zTXt", packed) +
                                 png_chunk("tEXt", std::string("a\0b", 3)) + end);
  REQUIRE(behind.texts.size() == 2);
  CHECK(behind.texts[0].text == "packed");
  CHECK(behind.texts[1].text == "b");
}

TEST_CASE("PNG reader: files that are no PNG") {
  CHECK(error_for(good()).empty());
  CHECK(contains(error_for(""), "is empty"));
  CHECK(contains(error_for("hello, this is text"), "it is no PNG file"));
  CHECK(contains(error_for("\xFF\xD8\xFF\xE0 a JPEG by another name"), "it is a JPEG file"));
  CHECK(contains(error_for("GIF89a.................."), "it is a GIF file"));
  CHECK(contains(error_for("RIFF\x10\x10\x10\x10WEBPVP8 ...."), "it is a WebP file"));
  CHECK(contains(error_for("BM.........................."), "it is a BMP file"));
  const TemporaryFolder folder;
  CHECK(contains(error_of([&] { read_png(folder.path()); }), "it is a folder"));
  CHECK(contains(error_of([&] { read_png(folder / "none.png"); }), "none.png"));
  CHECK(contains(error_of([&] { read_png("/dev/zero"); }), "device"));
}

TEST_CASE("PNG reader: headers that lie") {
  const auto with = [](PngKind kind) {
    return error_for(png_signature + png_chunk("IHDR", kind.header()) + idat(rows()) + end);
  };
  CHECK(!with({.width = 0}).empty());
  CHECK(!with({.height = 0}).empty());
  CHECK(!with({.width = 0x80000000U}).empty());
  CHECK(contains(with({.width = 20'000, .height = 20'000}), "more than the 67108864 that are read"));
  CHECK(!with({.width = 0x7FFFFFFFU, .height = 1}).empty());
  CHECK(contains(with({.width = 40'000, .height = 1}), "sides are read up to 32768"));
  CHECK(contains(with({.width = 8000, .height = 8000}), "ends in the middle"));  // no memory for its 256 MB
  CHECK(!with({.depth = 3}).empty());
  CHECK(!with({.depth = 4, .colour = 2}).empty());
  CHECK(!with({.colour = 5}).empty());
  CHECK(!with({.interlace = 2}).empty());
  CHECK(!error_for(png_signature + png_chunk("IHDR", "short") + idat(rows()) + end).empty());
  CHECK(!error_for(png_signature + idat(rows()) + end).empty());                             // no IHDR
  CHECK(!error_for(header + png_chunk("IHDR", rgb.header()) + idat(rows()) + end).empty());  // two
}

TEST_CASE("PNG reader: pixels that are missing or damaged") {
  CHECK(!error_for(header + end).empty());  // no IDAT
  CHECK(contains(error_for(header + png_chunk("IDAT", "") + end), "ends in the middle"));
  CHECK(
      contains(error_for(header + idat(rows().substr(0, 20)) + end), "ends in the middle"));  // too few rows
  CHECK(!error_for(header + png_chunk("IDAT", "no zlib at all") + end).empty());
  std::string bad_filter = rows();
  bad_filter[0] = 5;
  CHECK(contains(error_for(header + idat(bad_filter) + end), "filter"));
  std::string zlib = stored_zlib(rows());
  zlib.back() ^= 1;  // its checksum, Adler-32
  CHECK(!error_for(header + png_chunk("IDAT", zlib) + end).empty());
  std::string bad_crc = good();
  bad_crc[bad_crc.size() - 14] ^= 1;  // the last byte of IDAT's CRC
  CHECK(contains(error_for(bad_crc), "checksum"));
  bad_crc = header + png_chunk("tEXt", std::string("a\0b", 3)) + idat(rows()) + end;
  bad_crc[header.size() + 9] ^= 1;
  CHECK(contains(error_for(bad_crc), "checksum"));
  std::string long_chunk = good();
  long_chunk[header.size()] = 0x7F;  // IDAT claims 2 GB
  CHECK(!error_for(long_chunk).empty());
  CHECK(!error_for(header + idat(rows())).empty());  // no IEND
  CHECK(!error_for(header + png_chunk("XXXX", "critical and unknown") + idat(rows()) + end).empty());
}

TEST_CASE("PNG reader: palettes") {
  const PngKind indexed{.depth = 8, .colour = 3};
  const auto index = [](uint32_t x, uint32_t, int) { return x; };
  CHECK(contains(error_for(png_bytes(indexed, index)), "palette"));  // no PLTE
  // 2 of 5 colours: the others are black, as in other programs.
  const PngPicture few = read(png_bytes(indexed, index, png_chunk("PLTE", "abcdef")));
  CHECK((pixel(few, 1, 0) == Pixel{'d', 'e', 'f', 255}));
  CHECK((pixel(few, 2, 0) == Pixel{0, 0, 0, 255}));
  CHECK(!error_for(png_bytes(indexed, index, png_chunk("PLTE", "abcd"))).empty());  // no multiple of 3
  CHECK(!error_for(png_bytes(indexed, index, png_chunk("PLTE", std::string(257 * 3, 'x')))).empty());
}

TEST_CASE("PNG reader: bombs") {
  // 8192 x 8192 pixels promised, and a stream of 60 kB that unpacks to no more than that.
  const std::string few = stored_zlib(std::string(60'000, '\0'));
  const PngKind large{.width = 8192, .height = 8192};
  CHECK(contains(error_for(png_signature + png_chunk("IHDR", large.header()) + png_chunk("IDAT", few) + end),
                 "ends in the middle"));
  // More data than the picture has room for.
  const std::string more = stored_zlib(rows() + std::string(10'000'000, '\0'));
  CHECK_NOTHROW(read(good()));
  const std::string message = error_for(header + png_chunk("IDAT", more) + end);
  CHECK((message.empty() || contains(message, "damaged")));
  // Texts: one that unpacks to too much, and many that are too long together.
  const std::string packed = std::string("k\0\0", 3) + stored_zlib(std::string(size_t{5} << 20, 'x'));
  CHECK(contains(error_for(header + png_chunk("zTXt", packed) + idat(rows()) + end), "4 MiB"));
  std::string many;
  for (int i = 0; i < 8; ++i)
    many += png_chunk("tEXt", std::string("k\0", 2) + std::string(size_t{3} << 20, 'x'));
  CHECK(contains(error_for(header + many + idat(rows()) + end), "MiB"));
}

// But for the checksum of the end mark, which libspng does not look at: by then the picture is whole.
TEST_CASE("PNG reader: cut at every byte, and every byte changed") {
  const std::string file = png_bytes(
      {.colour = 3}, [](uint32_t x, uint32_t, int) { return x; },
      png_chunk("PLTE", "abcdefghijklmno") + png_chunk("tEXt", std::string("a\0b", 3)));
  const TemporaryFolder folder;
  for (size_t size = 1; size + 4 < file.size(); ++size) {
    write_bytes(folder / "x.png", file.substr(0, size));
    CHECK(!error_of([&] { read_png(folder / "x.png"); }).empty());
  }
  for (size_t at = 0; at < file.size(); ++at) {
    for (const int flip : {1, 128}) {
      std::string changed = file;
      changed[at] = static_cast<char>(changed[at] ^ flip);
      write_bytes(folder / "x.png", changed);
      CHECK(!error_of([&] { read_png(folder / "x.png"); }).empty());  // every byte is under a checksum
    }
  }
}
