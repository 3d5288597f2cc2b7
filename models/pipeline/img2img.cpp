#include "models/pipeline/img2img.h"

#include "samplers/sdedit.h"
#include "tensor/error.h"

namespace cutaway {
namespace {

Tensor repeated(const Tensor& item, int64_t times, int axis) {
  return concat(std::vector<Tensor>(static_cast<size_t>(times), item), axis);
}

// One sample of the latent's distribution for each picture of the batch:  mean + std z, as the UNet sees it.
Tensor sampled_latent(const StableDiffusion& model, const Tensor& picture, const Shape& latents,
                      const LowMemory& low_memory, const Noise& noise) {
  const LatentDistribution latent = encoded(model.vae, picture, low_memory);
  const int64_t batch = latents[0];
  const Tensor sampled =
      add(repeated(latent.mean, batch, 0), mul(repeated(latent.std, batch, 0), noise(latents)));
  return scale(sampled, model.vae.config.scaling_factor);
}

// picture [1, 3, H, W] with the middle grey, 0, where the mask [1, 1, H, W] is 1.
Tensor without_masked(const Tensor& picture, const Tensor& mask) {
  const Tensor kept = sub(Tensor::filled(mask.shape(), 1), mask);
  return mul(picture, repeated(kept, picture.shape()[1], 1));
}

}  // namespace

Tensor RunStart::keep_known(int i, const Tensor& x) const {
  if (mask.empty()) return x;
  const Tensor known_t = i + 1 < plan.count() ? noised(plan, i + 1, known, noise) : known;
  return add(mul(sub(Tensor::filled(mask.shape(), 1), mask), known_t), mul(mask, x));
}

Tensor RunStart::unet_input(const Tensor& x) const {
  return conditioning.empty() ? x : concat(x, conditioning, 1);
}

RunStart run_start(const StableDiffusion& model, const GenerateOptions& options, const LowMemory& low_memory,
                   const Noise& noise) {
  const int64_t batch = options.batch, channels = model.vae.config.latent_channels;
  const int64_t height = options.height / model.vae.config.scale();
  const int64_t width = options.width / model.vae.config.scale();
  const Shape latents{batch, channels, height, width};
  const double strength = options.strength.value_or(options.mask ? 1 : default_strength);
  const bool from_noise = !options.image || (options.mask && strength == 1);
  const bool blends = options.mask && !model.paints_masks();

  RunStart run;
  Route way =
      route(options.compat, *options.sampler, options.spacing, model.scheduler, options.steps, options.eta);
  run.sampler = way.sampler;
  run.plan = std::move(way.plan);
  Tensor picture;
  if (!from_noise || blends) picture = sampled_latent(model, *options.image, latents, low_memory, noise);
  run.noise = options.start ? *options.start : noise(latents);
  run.start = run.noise;
  if (!from_noise) {
    run.plan = plan_from(run.plan, first_step(run.plan.count(), strength));
    run.start = noised(run.plan, 0, picture, run.noise);
  }
  if (!options.mask) return run;

  const Tensor mask = repeated(upsample_nearest(*options.mask, height, width), batch, 0);  // [batch, 1, h, w]
  if (blends) {
    run.mask = repeated(mask, channels, 1);
    run.known = picture;
    // diffusers encodes the masked picture for these models too, and throws it away. Its noise is drawn, so
    // that samplers with noise of their own go on with the same numbers.
    noise(latents);
  } else {
    const Tensor masked =
        sampled_latent(model, without_masked(*options.image, *options.mask), latents, low_memory, noise);
    run.conditioning = concat(mask, masked, 1);
  }
  return run;
}

void check_image(const StableDiffusion& model, const GenerateOptions& options) {
  const Shape picture{1, model.vae.config.in_channels, options.height, options.width};
  if (options.mask && !options.image) {
    throw Error("there is a mask, but no picture to repaint: --mask needs --init-image");
  }
  if (options.strength && !options.image) {
    throw Error("there is a strength, but no picture to start from: --strength needs --init-image");
  }
  if (model.paints_masks() && !options.mask) {
    throw Error(
        "this is an inpainting model, whose UNet takes 9 channels: it needs a picture and a mask of "
        "what to repaint (--init-image and --mask)");
  }
  if (options.image && options.image->shape() != picture) {
    throw Error("the picture to start from is " + to_string(options.image->shape()) + ", but must be " +
                to_string(picture));
  }
  if (options.mask && options.mask->shape() != picture.with(1, 1)) {
    throw Error("the mask is " + to_string(options.mask->shape()) + ", but must be " +
                to_string(picture.with(1, 1)));
  }
  if (options.image) {
    first_step(options.steps, options.strength.value_or(options.mask ? 1 : default_strength));
  }
}

}  // namespace cutaway
