// models/pipeline/: from context and noise to a picture, and every way to do that in less memory or by
// several programs.
//
// Denoiser: what the sampler asks, the UNet with classifier-free guidance.   Doc: docs/pipeline.md
#pragma once

#include <functional>
#include <vector>

#include "models/unets/unet_sd.h"
#include "samplers/guidance.h"

namespace cutaway {

/// unet(x, t, prompt) with one time step for all of x.   x: [N, C, h, w]   prompt: [N, T, width]
///   ->   the noise in x (or v, as the model was trained) [N, 4, h, w]
using Predict = std::function<Tensor(const Tensor& x, float t, const Tensor& prompt)>;

/// The UNet takes a time step for each image of x.
inline std::vector<float> for_each_image(const Tensor& x, float t) {
  return std::vector<float>(static_cast<size_t>(x.shape()[0]), t);
}

/// Ho & Salimans 2022: two predictions, and away from the one without the prompt.
///   y = without_prompt + guidance_scale (with_prompt - without_prompt)
struct Denoiser {
  const UNet& unet;
  Tensor prompt;                // [batch, T, width]
  Tensor negative;              // the same shape: the empty prompt, or what to move away from
  float guidance_scale = 7.5F;  // 1: the prediction with the prompt, and no other
  float guidance_rescale = 0;   // 0: none
  Predict instead = {};         // of the UNet's plain call: in less memory, or shared with other programs

  // x: [batch, C, h, w] at time step t   ->   [batch, 4, h, w]
  Tensor operator()(const Tensor& x, float t) const {
    if (guidance_scale == 1) return predict(x, t, prompt);
    const int64_t batch = x.shape()[0];
    const Tensor both = predict(concat(x, x, 0), t, concat(negative, prompt, 0));  // [2 batch, 4, h, w]
    const Tensor without_prompt = slice(both, 0, 0, batch), with_prompt = slice(both, 0, batch, 2 * batch);
    const Tensor y = guided(without_prompt, with_prompt, guidance_scale);
    return guidance_rescale == 0 ? y : rescale_guided(y, with_prompt, guidance_rescale);
  }

 private:
  Tensor predict(const Tensor& x, float t, const Tensor& context) const {
    if (instead) return instead(x, t, context);
    return unet(x, for_each_image(x, t), context);
  }
};

}  // namespace cutaway
