// What cannot be drawn is refused before any work.
#include "models/pipeline/options.h"

#include <cmath>

#include "models/pipeline/img2img.h"
#include "models/stable_diffusion.h"
#include "tensor/dispatch/row_bands.h"
#include "tensor/error.h"

namespace cutaway {
namespace {

void must_be_multiple(const char* name, int64_t pixels, int64_t by) {
  if (pixels % by == 0) return;
  const int64_t below = pixels / by * by;
  throw Error(std::string("the ") + name + " is " + std::to_string(pixels) +
              " pixels, but must be a multiple of " + std::to_string(by) + ": take " +
              (below > 0 ? std::to_string(below) + " or " : "") + std::to_string(below + by));
}

// Levels of the UNet halve the rows, and no row may belong to two bands.
void must_divide_into_bands(const GenerateOptions& options, int count, int64_t pixels_of_unit) {
  const int64_t units = options.height / pixels_of_unit;
  must_be_multiple("height of a picture in bands of rows", options.height, pixels_of_unit);
  if (units < count) {
    throw Error("a picture " + std::to_string(options.height) + " pixels high has at most " +
                std::to_string(units) + " bands of at least " + std::to_string(pixels_of_unit) +
                " rows, but there are " + std::to_string(count) +
                " programs to draw it: start fewer, or take a larger height");
  }
}

}  // namespace

bool Execution::decodes() const {
  return (!partner || partner->has_prompt) && (neighbours == nullptr || neighbours->place() == 0);
}

GenerateOptions StableDiffusion::checked(GenerateOptions options, const Execution& how) const {
  const int64_t scale = vae.config.scale();
  if (options.width == 0) options.width = sample_size * scale;
  if (options.height == 0) options.height = sample_size * scale;
  for (const auto& [name, pixels] :
       {std::pair{"width", options.width}, std::pair{"height", options.height}}) {
    if (pixels < scale || pixels > 8192) {
      throw Error(std::string("the ") + name + " is " + std::to_string(pixels) +
                  " pixels, but must be from " + std::to_string(scale) + " to 8192");
    }
    must_be_multiple(name, pixels, scale);
  }
  if (how.neighbours != nullptr)
    must_divide_into_bands(options, how.neighbours->count(), scale * unet.config.scale());
  if (options.batch < 1 || options.batch > 1024) {
    throw Error("the batch is " + std::to_string(options.batch) + ", but must be from 1 to 1024");
  }
  if (options.steps < 1 || options.steps > scheduler.num_train_timesteps) {
    throw Error("the number of steps is " + std::to_string(options.steps) + ", but must be from 1 to " +
                std::to_string(scheduler.num_train_timesteps));
  }
  if (!std::isfinite(options.guidance_scale) || std::fabs(options.guidance_scale) > 1000) {
    throw Error("the guidance scale (cfg) must be a number from -1000 to 1000; 1 to 15 is usual");
  }
  if (!(options.guidance_rescale >= 0 && options.guidance_rescale <= 1))
    throw Error("the guidance rescale (cfg-rescale) must be a number from 0 (none) to 1; 0.7 is usual");
  if (!(options.eta >= 0 && options.eta <= 1)) throw Error("eta must be a number from 0 to 1");
  const Shape needed{options.batch, vae.config.latent_channels, options.height / scale,
                     options.width / scale};
  if (options.start && options.start->shape() != needed) {
    throw Error("the latents to start from are " + to_string(options.start->shape()) + ", but must be " +
                to_string(needed) + " for " + std::to_string(options.batch) + " picture(s) of " +
                std::to_string(options.width) + " x " + std::to_string(options.height));
  }
  check_image(*this, options);
  return options;
}

}  // namespace cutaway
