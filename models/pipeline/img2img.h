// A run that starts from a picture (img2img), and one that repaints a part of it (inpainting).
// Doc: docs/workflows.md
#pragma once

#include "models/stable_diffusion.h"
#include "samplers/levels/plan.h"

namespace cutaway {

/// What a run begins with, and what it must remember of a picture that was given.
struct RunStart {
  const Sampler* sampler = nullptr;  // the one that takes the steps
  Plan plan;                         // the steps that are left to take
  Tensor noise;                      // [batch, 4, h, w] of variance 1
  Tensor start;  // what the sampler starts from: the noise, or the picture's latent with noise in it

  // With a mask only. Which of the two ways of inpainting a model knows, its UNet's input channels tell.
  Tensor mask;          // [batch, 4, h, w], 1 where the picture is painted anew; empty for 9 channels
  Tensor known;         // [batch, 4, h, w]: the latent of the given picture; empty for 9 channels
  Tensor conditioning;  // [batch, 1 + 4, h, w]: mask and masked picture; empty for 4 channels

  /// 4 channels: after step i, what is kept comes from the given picture again, at the next step's noise
  /// level. (Lugmayr et al. 2022, arXiv 2201.09865, eq. 8; diffusers' StableDiffusionInpaintPipeline)
  ///   x = (1 - mask) known_t + mask x
  Tensor keep_known(int i, const Tensor& x) const;

  /// 9 channels: what the UNet is asked about, [latent | mask | masked picture].
  /// (Rombach et al. 2022, section 4.5)
  Tensor unet_input(const Tensor& x) const;
};

/// Draws from `noise` in diffusers' order: the picture's latent, the noise, the masked picture's latent.
RunStart run_start(const StableDiffusion& model, const GenerateOptions& options, const LowMemory& low_memory,
                   const Noise& noise);

/// Throws Error when picture, mask, strength and model do not fit each other. Sizes are those of `options`.
void check_image(const StableDiffusion& model, const GenerateOptions& options);

}  // namespace cutaway
