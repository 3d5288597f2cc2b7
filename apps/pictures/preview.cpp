#include "apps/pictures/preview.h"

#include <cmath>
#include <random>
#include <utility>
#include <vector>

#include "tensor/error.h"
#include "tensor/ops.h"

namespace cutaway::pictures {
namespace {

constexpr int64_t chart_pixels = 16;  // of the latent, each way
constexpr int64_t patch = 2;          // of the latent: one colour
constexpr size_t unknowns = 5;        // four channels and a constant

using Row = std::array<double, unknowns>;

// A patchwork of colours, [1, 3, 16 s, 16 s]: dark and bright ones, grey and strong, from a fixed seed.
Tensor colour_chart(int64_t scale) {
  const int64_t side = chart_pixels * scale, wide = patch * scale;
  Tensor chart({1, 3, side, side});
  float* values = chart.mutable_data();
  std::mt19937 generator(1);
  const auto level = [&] { return static_cast<float>(generator() % 9) / 4 - 1; };  // -1, -0.75, ..., 1
  for (int64_t top = 0; top < side; top += wide) {
    for (int64_t left = 0; left < side; left += wide) {
      for (int64_t channel = 0; channel < 3; ++channel) {
        const float colour = level();
        for (int64_t y = top; y < top + wide; ++y) {
          for (int64_t x = left; x < left + wide; ++x) values[(channel * side + y) * side + x] = colour;
        }
      }
    }
  }
  return chart;
}

// Solves A x = b for symmetric A by Gaussian elimination with pivots; a column without one stays 0.
Row solved(std::array<Row, unknowns> a, Row b) {
  for (size_t column = 0; column < unknowns; ++column) {
    size_t best = column;
    for (size_t row = column + 1; row < unknowns; ++row) {
      if (std::fabs(a[row][column]) > std::fabs(a[best][column])) best = row;
    }
    std::swap(a[column], a[best]);
    std::swap(b[column], b[best]);
    if (std::fabs(a[column][column]) < 1e-12) continue;
    for (size_t row = 0; row < unknowns; ++row) {
      if (row == column) continue;
      const double factor = a[row][column] / a[column][column];
      for (size_t k = 0; k < unknowns; ++k) a[row][k] -= factor * a[column][k];
      b[row] -= factor * b[column];
    }
  }
  Row x = {};
  for (size_t i = 0; i < unknowns; ++i) x[i] = std::fabs(a[i][i]) < 1e-12 ? 0 : b[i] / a[i][i];
  return x;
}

// The four numbers of one latent pixel, and 1 for the constant.
Row latent_pixel(const Tensor& latent, int64_t image, int64_t pixel) {
  const int64_t channels = latent.shape()[1], plane = latent.shape()[2] * latent.shape()[3];
  Row row = {};
  for (int64_t c = 0; c < channels; ++c)
    row[static_cast<size_t>(c)] = latent.data()[(image * channels + c) * plane + pixel];
  row[unknowns - 1] = 1;
  return row;
}

}  // namespace

void add_preview_options(CLI::App& command, PreviewOptions& options) {
  command.option_defaults()->group("Where to");
  command
      .add_option("--preview", options.every,
                  "Write what the picture looks like so far after every N steps, as NAME.preview.png")
      ->type_name("N")
      ->check(CLI::Range(1, 100000));
  command
      .add_option("--preview-with", options.with,
                  "colours: a colour for each pixel of the latent, at once; vae: decoded, slow and exact")
      ->check(CLI::IsMember({"colours", "vae"}))
      ->capture_default_str();
}

Tensor LatentColours::operator()(const Tensor& latent) const {
  const int64_t images = latent.shape()[0], plane = latent.shape()[2] * latent.shape()[3];
  Tensor picture(latent.shape().with(1, 3));
  float* values = picture.mutable_data();
  for (int64_t image = 0; image < images; ++image) {
    for (int64_t pixel = 0; pixel < plane; ++pixel) {
      const Row row = latent_pixel(latent, image, pixel);
      for (size_t channel = 0; channel < 3; ++channel) {
        double colour = 0;
        for (size_t k = 0; k < unknowns; ++k) colour += weights[channel][k] * row[k];
        values[(image * 3 + static_cast<int64_t>(channel)) * plane + pixel] = static_cast<float>(colour);
      }
    }
  }
  return picture;
}

LatentColours fit_latent_colours(const AutoencoderKL& vae) {
  const Tensor chart = colour_chart(vae.config.scale());
  const Tensor latent = scale(vae.encode(chart).mean, vae.config.scaling_factor);
  const Tensor colours = avg_pool(chart, vae.config.scale());  // one for each pixel of the latent

  // Normal equations: (sum r r^T) w = sum r colour, over all pixels.
  const int64_t plane = latent.shape()[2] * latent.shape()[3];
  std::array<Row, unknowns> moments = {};
  std::array<Row, 3> with_colour = {};
  for (int64_t pixel = 0; pixel < plane; ++pixel) {
    const Row row = latent_pixel(latent, 0, pixel);
    for (size_t i = 0; i < unknowns; ++i) {
      for (size_t k = 0; k < unknowns; ++k) moments[i][k] += row[i] * row[k];
      for (size_t channel = 0; channel < 3; ++channel)
        with_colour[channel][i] += row[i] * colours.data()[static_cast<int64_t>(channel) * plane + pixel];
    }
  }
  LatentColours fitted;
  for (size_t channel = 0; channel < 3; ++channel)
    fitted.weights[channel] = solved(moments, with_colour[channel]);
  return fitted;
}

Preview::Preview(const PreviewOptions& options, const StableDiffusion& model)
    : options_(options), model_(model) {
  if (options.every == 0 || options.with == "vae") return;
  if (model.vae.config.latent_channels != 4 || model.vae.config.in_channels != 3)
    throw Error("this VAE's latents are not 4 channels of a colour picture: use --preview-with vae");
  colours_ = fit_latent_colours(model.vae);
}

bool Preview::wants(const Step& step) const {
  return options_.every > 0 && (step.index + 1) % options_.every == 0 && step.index + 1 < step.count;
}

Tensor Preview::picture(const Step& step) const {
  if (options_.with == "vae") return model_.vae.decode(scale(step.x0, 1 / model_.vae.config.scaling_factor));
  const int64_t by = model_.vae.config.scale();
  return upsample_nearest(colours_(step.x0), step.x0.shape()[2] * by, step.x0.shape()[3] * by);
}

}  // namespace cutaway::pictures
