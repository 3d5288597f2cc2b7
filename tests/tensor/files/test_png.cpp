// PNG files: chunks, texts and pixels, read back by other code.
#include <algorithm>
#include <array>
#include <limits>
#include <random>

#include "tensor/files/png.h"
#include "tests/check.h"
#include "tests/tensor/files/files.h"
#include "tests/tensor/files/png_reader.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

std::vector<unsigned char> random_pixels(int64_t count, uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<unsigned char> pixels(static_cast<size_t>(count));
  for (unsigned char& p : pixels) p = static_cast<unsigned char>(generator());
  return pixels;
}

std::string message_of_text(const PngText& text) {
  const TemporaryFolder folder;
  const unsigned char pixel[] = {1, 2, 3};
  const std::string message = error_of([&] { write_png(folder / "x.png", 1, 1, 3, pixel, {text}); });
  CHECK(folder.entries() == (message.empty() ? 1 : 0));
  return message;
}

}  // namespace

TEST_CASE("the CRC of the test itself: the check value of CRC-32") {
  CHECK(slow_crc("123456789") == 0xCBF43926U);
}

TEST_CASE("PNG: pixels come back, for every number of channels") {
  const TemporaryFolder folder;
  for (int channels = 1; channels <= 4; ++channels) {
    for (const auto& [width, height] : {std::pair{1, 1}, {3, 2}, {2, 3}, {64, 48}, {1, 300}, {300, 1}}) {
      CAPTURE(channels);
      auto pixels = random_pixels(int64_t{width} * height * channels, 7);
      if (width == 64) {  // something to compress: a ramp, then flat colour
        for (size_t i = 0; i < pixels.size(); ++i)
          pixels[i] = static_cast<unsigned char>(std::min<size_t>(i / 16, 200));
      }
      write_png(folder / "x.png", width, height, channels, pixels);
      const auto chunks = chunks_of(read_bytes(folder / "x.png"));
      CHECK(big_endian(chunks.at(0).content, 0) == static_cast<uint32_t>(width));
      CHECK(big_endian(chunks.at(0).content, 4) == static_cast<uint32_t>(height));
      CHECK((pixels_of(chunks) == pixels));
    }
  }
}

TEST_CASE("PNG: order of the chunks, and texts") {
  const TemporaryFolder folder;
  const auto pixels = random_pixels(5 * 4 * 3, 3);
  const std::string long_text(100'000, 'p');
  write_png(folder / "x.png", 5, 4, 3, pixels,
            {{"parameters", "a cat\nSteps: 20"},
             {"Comment", "caf\xC3\xA9"},
             {"prompt", "\xE7\x8C\xAB"},
             {"Na\xC3\xAFve key", ""},
             {"long", long_text}});
  const auto chunks = chunks_of(read_bytes(folder / "x.png"));
  REQUIRE(chunks.size() == 8);
  CHECK(chunks[0].type == "IHDR");
  CHECK(big_endian(chunks[0].content, 0) == 5);
  CHECK(big_endian(chunks[0].content, 4) == 4);
  CHECK(chunks[0].content.substr(8) == std::string("\x08\x02\x00\x00\x00", 5));
  CHECK(chunks[1].type == "tEXt");
  CHECK(chunks[1].content == std::string("parameters\0a cat\nSteps: 20", 26));
  CHECK(chunks[2].type == "tEXt");
  CHECK(chunks[2].content ==
        std::string("Comment\0caf\xE9", 12));  // Latin-1: UTF-8's two bytes would be wrong
  CHECK(chunks[3].type == "iTXt");
  CHECK(chunks[3].content == std::string("prompt\0\0\0\0\0\xE7\x8C\xAB", 14));
  CHECK(chunks[4].type == "tEXt");
  CHECK(chunks[4].content == std::string("Na\xEFve key\0", 10));
  CHECK(chunks[5].content == std::string("long\0", 5) + long_text);
  CHECK(chunks[6].type == "IDAT");
  CHECK(chunks[7].type == "IEND");
  CHECK(chunks[7].content.empty());
}

TEST_CASE("PNG: texts that the format does not allow") {
  CHECK(message_of_text({std::string(79, 'k'), "x"}).empty());
  CHECK(contains(message_of_text({std::string(80, 'k'), "x"}), "1 to 79"));
  CHECK(contains(message_of_text({"", "x"}), "1 to 79"));
  CHECK(contains(message_of_text({" key", "x"}), "no space at either end"));
  CHECK(contains(message_of_text({"key ", "x"}), "no space at either end"));
  CHECK(contains(message_of_text({"a  b", "x"}), "no two in a row"));
  CHECK(contains(message_of_text({"a\nb", "x"}), "printable"));
  CHECK(contains(message_of_text({"a\xC2\xA0"
                                  "b",
                                  "x"}),
                 "printable"));
  CHECK(contains(message_of_text({"\xE7\x8C\xAB", "x"}), "Latin-1"));
  CHECK(contains(message_of_text({"\xFF", "x"}), "Latin-1"));
  CHECK(contains(message_of_text({"key", "\xFF"}), "not UTF-8"));
  CHECK(contains(message_of_text({"key", std::string("a\0b", 3)}), "zero byte"));
}

TEST_CASE("PNG: sizes and places that cannot be") {
  const TemporaryFolder folder;
  const auto pixels = random_pixels(12, 1);
  const auto message = [&](int64_t width, int64_t height, int64_t channels) {
    return error_of([&] { write_png(folder / "x.png", width, height, channels, pixels); });
  };
  CHECK(contains(message(2, 2, 4), "needs 16 bytes, but 12 were given"));
  CHECK(contains(message(1, 1, 3), "needs 3 bytes, but 12 were given"));
  for (const auto& [width, height, channels] : {std::array<int64_t, 3>{0, 4, 3},
                                                {4, 0, 3},
                                                {-2, -2, 3},
                                                {4, 3, 0},
                                                {2, 1, 6},
                                                {65536, 1, 3},
                                                {1, 65536, 3},
                                                {60000, 60000, 3},
                                                {int64_t{1} << 62, 4, 3},
                                                {std::numeric_limits<int64_t>::max(), 1, 1}}) {
    CHECK(contains(message(width, height, channels), "is not possible"));
  }
  CHECK(contains(error_of([&] { write_png(folder / "a/x.png", 2, 2, 3, pixels); }), "does not exist"));
  CHECK(contains(error_of([&] { write_png(folder.path(), 2, 2, 3, pixels); }), "it is a folder"));
  CHECK(contains(error_of([&] { write_png("/dev/full", 2, 2, 3, pixels); }), "No space left on device"));
  CHECK(folder.entries() == 0);
}

TEST_CASE("to_rgb8: from planes of [-1, 1] to rows of RGB") {
  // Two images of 1 x 2 pixels: six planes.
  const float values[] = {-1, 1, 0, 0.5F, -0.5F, 0.25F, 2, -3, INFINITY, -INFINITY, 0.999F, -0.999F};
  const Tensor picture({2, 3, 1, 2}, values);
  const std::vector<unsigned char> first = {0, 128, 64, 255, 191, 159};
  CHECK(to_rgb8(picture) == first);
  const std::vector<unsigned char> second = {255, 255, 255, 0, 0, 0};
  CHECK(to_rgb8(picture, 1) == second);

  // Wrong twins: planes left as they are, and the fraction cut off instead of rounded.
  const std::vector<unsigned char> planes = {0, 255, 128, 191, 64, 159};
  const std::vector<unsigned char> cut = {0, 127, 63, 255, 191, 159};
  CHECK(to_rgb8(picture) != planes);
  CHECK(to_rgb8(picture) != cut);
}

TEST_CASE("to_rgb8: each of the 256 levels comes back") {
  std::vector<float> values;
  for (int level = 0; level < 256; ++level) values.push_back(static_cast<float>(level) / 255 * 2 - 1);
  for (int i = 0; i < 512; ++i) values.push_back(0);
  const auto rgb = to_rgb8(Tensor({1, 3, 16, 16}, values));
  for (size_t level = 0; level < 256; ++level) CHECK(rgb[3 * level] == level);
}

TEST_CASE("to_rgb8: errors") {
  CHECK(contains(error_of([] { to_rgb8(Tensor()); }), "must be [N, 3, H, W]"));
  CHECK(contains(error_of([] { to_rgb8(Tensor::filled({3, 2, 2}, 0)); }), "must be [N, 3, H, W]"));
  CHECK(contains(error_of([] { to_rgb8(Tensor::filled({1, 4, 2, 2}, 0)); }), "must be [N, 3, H, W]"));
  const Tensor picture = Tensor::filled({2, 3, 2, 5}, 0);
  CHECK(contains(error_of([&] { to_rgb8(picture, 2); }), "there is no image 2"));
  CHECK(contains(error_of([&] { to_rgb8(picture, -1); }), "there is no image -1"));
  Tensor broken = Tensor::filled({1, 3, 2, 5}, 0);
  broken.mutable_data()[10 + 7] = NAN;
  CHECK(contains(error_of([&] { to_rgb8(broken); }), "row 1, column 2"));
}
