#include "apps/pictures/images.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string_view>

#include "nn/formula_weights.h"
#include "tensor/error.h"
#include "tensor/files/png_reader.h"

namespace cutaway::pictures {
namespace {

// Where a picture is transparent, `paper` shows through.
RgbPicture read_rgb(const std::string& path, int paper) {
  const PngPicture png = read_png(path);
  RgbPicture picture{png.width, png.height, {}};
  picture.rgb.reserve(png.rgba.size() / 4 * 3);
  for (size_t pixel = 0; pixel < png.rgba.size(); pixel += 4) {
    const int alpha = png.rgba[pixel + 3];
    for (size_t channel = 0; channel < 3; ++channel) {
      const int mixed = png.rgba[pixel + channel] * alpha + paper * (255 - alpha);
      picture.rgb.push_back(static_cast<unsigned char>((mixed + 127) / 255));
    }
  }
  return picture;
}

std::string size_of(int64_t width, int64_t height) {
  return std::to_string(width) + " x " + std::to_string(height);
}

std::string hash_of(const RgbPicture& picture) {
  if (picture.rgb.empty()) return "";
  const std::string bytes =
      size_of(picture.width, picture.height) + ":" + std::string(picture.rgb.begin(), picture.rgb.end());
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(fnv1a64(bytes)));
  return text;
}

// The nearest multiple of `by` to so many pixels, at least one.
int64_t rounded_to(double pixels, int64_t by) {
  return std::max(std::llround(pixels / static_cast<double>(by)), 1LL) * by;
}

// A picture of this shape with about the area that the model was trained at.
std::string suggested_size(const RgbPicture& image, int64_t trained, int64_t by) {
  const double ratio = std::sqrt(static_cast<double>(image.width) / static_cast<double>(image.height));
  const auto side = static_cast<double>(trained);
  return "--width " + std::to_string(rounded_to(side * ratio, by)) + " --height " +
         std::to_string(rounded_to(side / ratio, by));
}

}  // namespace

void add_image_options(CLI::App& command, ImageOptions& options) {
  command.option_defaults()->group("From a picture");
  command
      .add_option(
          "--init-image", options.init_image,
          "Start from this picture instead of noise; the result has its size unless --width or --height "
          "say otherwise")
      ->type_name("FILE.png");
  command
      .add_option("--strength", options.strength,
                  "How far to go away from --init-image: above 0 to 1; 0.8 when left out, 1 with --mask")
      ->type_name("NUMBER");
  command
      .add_option(
          "--mask", options.mask,
          "Repaint only what is white in this picture, and keep what is black; as large as --init-image")
      ->type_name("FILE.png");
}

GivenImages::GivenImages(const ImageOptions& options) : options_(options) {
  if (options.init_image.empty() && !options.mask.empty())
    throw Error("--mask says what to repaint of a picture: give the picture as --init-image");
  if (options.init_image.empty() && options.strength)
    throw Error("--strength says how far to go away from a picture: give the picture as --init-image");
  if (options.init_image.empty()) return;
  image_ = read_rgb(options.init_image, 255);
  if (options.mask.empty()) return;
  mask_ = read_rgb(options.mask, 0);
  if (mask_.width != image_.width || mask_.height != image_.height) {
    throw Error("the mask " + options.mask + " is " + size_of(mask_.width, mask_.height) + " pixels, but " +
                options.init_image + " is " + size_of(image_.width, image_.height) +
                ": the two must have the same size");
  }
}

void GivenImages::add_to(GenerateOptions& options, const StableDiffusion& model,
                         const std::function<void(const std::string&)>& warning) const {
  options.strength = options_.strength;
  if (image_.rgb.empty()) return;
  const int64_t by = model.vae.config.scale(), trained = model.sample_size * by;
  const auto width = static_cast<double>(image_.width), height = static_cast<double>(image_.height);
  const bool chosen = options.width > 0 || options.height > 0, both = options.width > 0 && options.height > 0;
  if (!chosen && image_.width * image_.height > 4 * trained * trained) {
    throw Error(options_.init_image + " is " + size_of(image_.width, image_.height) +
                " pixels, more than four times what the model was trained at (" + size_of(trained, trained) +
                "): choose a size, such as " + suggested_size(image_, trained, by));
  }
  if (!chosen) {
    options.width = std::max(image_.width / by, int64_t{1}) * by;
    options.height = std::max(image_.height / by, int64_t{1}) * by;
  } else if (options.width == 0) {
    options.width = rounded_to(static_cast<double>(options.height) * width / height, by);
  } else if (options.height == 0) {
    options.height = rounded_to(static_cast<double>(options.width) * height / width, by);
  }
  for (const int64_t side : {options.width, options.height}) {
    if (side < by || side > 8192) return;  // told by the model, in its own words
  }
  const double stretch =
      static_cast<double>(options.width) / static_cast<double>(options.height) * height / width;
  if (both && std::fabs(std::log(stretch)) > 0.05 && warning) {
    warning(options_.init_image + " is " + size_of(image_.width, image_.height) +
            " pixels and is stretched to " + size_of(options.width, options.height) +
            "; with only one of --width and --height it keeps its shape");
  }
  options.image = to_picture(resized(image_, options.width, options.height));
  if (!mask_.rgb.empty()) options.mask = to_mask(resized(mask_, options.width, options.height));
}

std::string GivenImages::image_hash() const { return hash_of(image_); }
std::string GivenImages::mask_hash() const { return hash_of(mask_); }

Tensor to_picture(const RgbPicture& rgb) {
  const int64_t plane = rgb.width * rgb.height;
  Tensor picture({1, 3, rgb.height, rgb.width});
  float* values = picture.mutable_data();
  for (int64_t pixel = 0; pixel < plane; ++pixel) {
    for (int64_t channel = 0; channel < 3; ++channel) {
      const float level = static_cast<float>(rgb.rgb[static_cast<size_t>(pixel * 3 + channel)]) / 255;
      values[channel * plane + pixel] = 2 * level - 1;
    }
  }
  return picture;
}

Tensor to_mask(const RgbPicture& rgb) {
  Tensor mask({1, 1, rgb.height, rgb.width});
  float* values = mask.mutable_data();
  for (int64_t pixel = 0; pixel < mask.count(); ++pixel) {
    const unsigned char* p = rgb.rgb.data() + pixel * 3;
    const double brightness = 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];  // ITU-R BT.601
    values[pixel] = brightness >= 127.5 ? 1.0F : 0.0F;
  }
  return mask;
}

}  // namespace cutaway::pictures
