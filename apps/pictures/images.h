// --init-image, --mask and --strength: pictures that a run takes in.   Doc: docs/workflows.md
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>

#include "apps/pictures/resize.h"
#include "models/stable_diffusion.h"

namespace cutaway::pictures {

struct ImageOptions {
  std::string init_image;  // a PNG file, "" for none
  std::string mask;
  std::optional<double> strength;
};
void add_image_options(CLI::App& command, ImageOptions& options);

/// The pictures as their files have them.
class GivenImages {
 public:
  /// Reads the files. Throws Error when one cannot be read, or a mask has another size than its picture.
  explicit GivenImages(const ImageOptions& options);

  /// Puts picture, mask and strength into the options, and where no size is given the picture's own. Throws
  /// Error when the picture is so much larger than what the model was trained at that a size must be chosen.
  void add_to(GenerateOptions& options, const StableDiffusion& model,
              const std::function<void(const std::string&)>& warning) const;

  /// What tells one picture from another: 16 hexadecimal digits, "" where there is none.
  std::string image_hash() const;
  std::string mask_hash() const;

 private:
  const ImageOptions options_;
  RgbPicture image_, mask_;
};

/// Rows of RGB as [1, 3, H, W] from -1 to 1.
Tensor to_picture(const RgbPicture& rgb);
/// [1, 1, H, W]: 1 where the picture is at least half bright, else 0.
Tensor to_mask(const RgbPicture& rgb);

}  // namespace cutaway::pictures
