// LowMemory: ways to take less memory for a picture, each for a price.   Doc: docs/memory.md
#pragma once

#include <cstdint>

#include "models/pipeline/denoiser.h"
#include "models/vae.h"

namespace cutaway {

/// What is done to take less memory; each costs time, and tiles a little of the result.
struct LowMemory {
  bool unet_in_turn = false;  // the UNet sees one latent at a time: the two of guidance, those of a batch
  bool vae_in_turn = false;   // the VAE sees one picture at a time
  int64_t vae_tile = 0;       // the VAE sees pieces of at most so many pixels each way; 0: whole pictures
};

/// unet_in_turn: the result is the same but for rounding.
Predict one_latent_at_a_time(const Predict& predict);

/// vae.decode(latent) and vae.encode(picture), as the savings say. Only tiles change the result, a little.
Tensor decoded(const AutoencoderKL& vae, const Tensor& latent, const LowMemory& low_memory);
LatentDistribution encoded(const AutoencoderKL& vae, const Tensor& picture, const LowMemory& low_memory);

}  // namespace cutaway
