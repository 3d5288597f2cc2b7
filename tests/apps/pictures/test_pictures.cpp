// Pictures that a run takes in, previews, and what a picture says of itself.
#include <algorithm>
#include <set>

#include "apps/commands/commands.h"
#include "apps/pictures/images.h"
#include "apps/pictures/picture_record.h"
#include "apps/pictures/preview.h"
#include "tensor/ops.h"
#include "tests/check.h"
#include "tests/tensor/files/files.h"

using namespace cutaway;
using namespace cutaway::test;
using namespace cutaway::pictures;

namespace {

RgbPicture patterned(int64_t width, int64_t height) {
  RgbPicture picture{width, height, {}};
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      for (int64_t c = 0; c < 3; ++c)
        picture.rgb.push_back(static_cast<unsigned char>((x * 37 + y * 101 + c * 59 + 11) * (x + 1) % 256));
    }
  }
  return picture;
}

double mean_square(const Tensor& x) {
  double sum = 0;
  for (const float value : x.values()) sum += double{value} * value;
  return sum / static_cast<double>(x.count());
}

}  // namespace

TEST_CASE("resized: the bytes of Pillow 9.4's LANCZOS") {
  const RgbPicture picture = patterned(7, 5);
  using Bytes = std::vector<unsigned char>;
  CHECK((resized(picture, 3, 2).rgb ==
         Bytes{115, 136, 134, 103, 141, 138, 114, 156, 100, 161, 122, 143, 101, 87, 117, 120, 65, 127}));
  CHECK((resized(picture, 9, 5).rgb ==
         Bytes{9,   60,  133, 48,  168, 95,  177, 211, 66,  255, 184, 122, 232, 212, 192, 48,  77,
               129, 84,  152, 77,  151, 255, 115, 89,  248, 157, 117, 173, 246, 69,  154, 81,  23,
               198, 52,  69,  210, 151, 124, 104, 84,  15,  61,  80,  164, 58,  164, 198, 129, 162,
               16,  197, 84,  208, 8,   65,  247, 91,  176, 190, 49,  224, 64,  57,  198, 16,  252,
               232, 8,   88,  126, 32,  106, 37,  143, 183, 23,  237, 124, 33,  49,  121, 178, 149,
               76,  162, 181, 35,  211, 145, 84,  226, 164, 144, 124, 19,  71,  85,  86,  12,  85,
               197, 38,  161, 164, 73,  232, 162, 213, 13,  135, 255, 91,  173, 202, 94,  157, 80,
               13,  56,  36,  16,  237, 24,  51,  133, 98,  166, 17,  85,  208, 118, 0,   159}));
  CHECK((resized(picture, 7, 11).rgb ==
         Bytes{1,   50,  109, 112, 219, 92,  255, 161, 92,  243, 233, 213, 28,  67,  106, 132, 255, 72,
               111, 255, 159, 20,  90,  149, 81,  209, 61,  226, 191, 101, 223, 192, 172, 26,  65,  104,
               171, 224, 111, 79,  246, 148, 57,  151, 210, 40,  185, 20,  124, 229, 122, 182, 127, 107,
               23,  62,  101, 229, 136, 169, 35,  220, 128, 129, 166, 224, 53,  154, 33,  34,  212, 149,
               107, 109, 89,  19,  58,  97,  240, 87,  180, 44,  184, 80,  204, 87,  139, 155, 134, 135,
               41,  106, 165, 28,  184, 164, 23,  55,  94,  151, 142, 98,  142, 154, 25,  213, 16,  75,
               244, 106, 224, 93,  14,  191, 16,  252, 232, 13,  52,  91,  84,  182, 24,  229, 130, 31,
               142, 25,  118, 253, 52,  233, 119, 2,   243, 84,  240, 220, 0,   49,  88,  124, 115, 31,
               235, 106, 118, 63,  100, 176, 201, 41,  181, 135, 50,  250, 159, 161, 141, 0,   46,  85,
               179, 26,  102, 180, 76,  216, 78,  172, 131, 157, 126, 137, 162, 90,  160, 141, 86,  66,
               103, 42,  81,  130, 37,  169, 132, 40,  225, 139, 209, 46,  140, 225, 120, 183, 104, 58,
               76,  45,  25,  222, 39,  78,  42,  95,  204, 112, 14,  181, 179, 228, 0,   131, 255, 111,
               192, 113, 0,   35,  25,  5,   255, 37,  76,  0,   134, 221, 101, 2,   149}));
  CHECK((resized(picture, 7, 5).rgb == picture.rgb));
}

TEST_CASE("to_picture and to_mask: levels, and what counts as white") {
  const RgbPicture picture{2, 1, {0, 255, 51, 204, 102, 153}};
  const Tensor expected({1, 3, 1, 2}, std::vector<float>{-1, 0.6F, 1, -0.2F, -0.6F, 0.2F});
  CHECK_CLOSE(to_picture(picture), expected, 1e-6);
  const RgbPicture greys{4, 1, {127, 127, 127, 128, 128, 128, 0, 255, 0, 255, 0, 0}};
  const Tensor mask({1, 1, 1, 4}, std::vector<float>{0, 1, 1, 0});  // green is bright, red is not
  CHECK_CLOSE(to_mask(greys), mask, 0);
}

TEST_CASE("previews: the colours fitted to the demo model's VAE are those of its pictures") {
  const StableDiffusion model = StableDiffusion::load(CUTAWAY_SOURCE_DIR "/weights/demo");
  const LatentColours colours = fit_latent_colours(model.vae);
  Tensor picture({1, 3, 64, 64});  // a soft one that the fit has not seen
  for (int64_t i = 0; i < picture.count(); ++i) {
    const auto x = static_cast<double>(i % 64), y = static_cast<double>(i / 64 % 64);
    const auto c = static_cast<double>(i / 4096);
    picture.mutable_data()[i] = static_cast<float>(0.8 * std::sin(x / 11 + c) * std::cos(y / 13 - c));
  }
  const Tensor latent = scale(model.vae.encode(picture).mean, model.vae.config.scaling_factor);
  const Tensor seen = colours(latent), expected = avg_pool(picture, 4);
  REQUIRE(seen.shape() == Shape{1, 3, 16, 16});
  const double off = std::sqrt(mean_square(sub(seen, expected)) / mean_square(expected));
  CAPTURE(off);
  CHECK(off < 0.35);  // most of the picture, with five numbers a colour
}

TEST_CASE("every option of generate is in the record, or known to change no picture") {
  const std::set<std::string> changes_nothing = {
      "help",         "from",   "out",     "quiet",        "save-latents",
      "threads",      "isa",    "preview", "preview-with", "check-finite",
      "max-memory",    // the tiles that it may choose are in the record
      "prompts-file",  // each picture says its prompt
      "seeds",         // and its seed
      "shard",        "resume",
      "split",  // how many bands of rows there were is in the record, but cannot be chosen again
  };
  CLI::App program;
  int exit_code = 0;
  add_generate_command(program, exit_code);
  const CLI::App* command = program.get_subcommand("generate");
  std::set<std::string> recorded;
  for (const RecordEntry& entry : record_entries()) recorded.insert(entry.option);
  for (const CLI::Option* option : command->get_options()) {
    for (const std::string& name : option->get_lnames()) {
      const std::string hint =
          "--" + name +
          " needs a line in apps/pictures/picture_record.cpp, or in the list here if it changes no picture";
      CHECK_MESSAGE(recorded.contains("--" + name) != changes_nothing.contains(name), hint);
    }
  }
  for (const RecordEntry& entry : record_entries()) {
    if (*entry.option != '\0') CHECK(command->get_option_no_throw(entry.option) != nullptr);
  }
}
