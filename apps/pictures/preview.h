// --preview: what the picture looks like so far.   Doc: docs/workflows.md#previews
#pragma once

#include <CLI/CLI.hpp>
#include <array>
#include <functional>
#include <string>

#include "models/stable_diffusion.h"

namespace cutaway::pictures {

struct PreviewOptions {
  int every = 0;  // steps; 0 for none
  std::string with = "colours";
};
void add_preview_options(CLI::App& command, PreviewOptions& options);

/// The colour that a pixel of the latent stands for, as a straight line: red, green and blue from its four
/// numbers and a constant.
struct LatentColours {
  std::array<std::array<double, 5>, 3> weights = {};

  /// latent: [N, 4, h, w] as the UNet sees it   ->   [N, 3, h, w], about -1 to 1
  Tensor operator()(const Tensor& latent) const;
};

/// Fitted to a VAE by least squares: its encoder is shown a chart of known colours, and what it makes of them
/// tells what colours its latents mean.
LatentColours fit_latent_colours(const AutoencoderKL& vae);

class Preview {
 public:
  Preview(const PreviewOptions& options, const StableDiffusion& model);

  /// Is one due after this step? None after the last: the picture itself comes then.
  bool wants(const Step& step) const;
  /// [N, 3, H, W] of the picture's full size, from what the model saw in the step.
  Tensor picture(const Step& step) const;

 private:
  const PreviewOptions options_;
  const StableDiffusion& model_;
  LatentColours colours_;
};

}  // namespace cutaway::pictures
