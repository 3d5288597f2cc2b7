// What a sampler needs from outside: a model, noise, and someone to tell.   Doc: docs/samplers.md
#pragma once

#include <functional>

#include "tensor/tensor.h"

namespace cutaway {

/// What a network predicts (eps or v, as the schedule's config says) for x at time step t, which may lie
/// between two training time steps. x has variance 1 for data of variance 1.
using Model = std::function<Tensor(const Tensor& x, float t)>;

/// The next standard normal tensor of the caller's stream. Samplers have no random state of their own.
using Noise = std::function<Tensor(const Shape&)>;

/// Told after each step.
struct Step {
  int index;      // 0 to count - 1
  int count;      // steps of this run
  float t;        // the time step that the model was asked at
  Tensor x0;      // the picture without noise, as the model saw it in this step
  Tensor latent;  // after the step, in the sampler's own scale
};
/// May put another latent in the step's place, with which the run goes on: inpainting does.
using OnStep = std::function<void(Step&)>;

/// Tells of a step. Returns the latent to go on with.
inline Tensor told(const OnStep& on_step, Step step) {
  if (on_step) on_step(step);
  return step.latent;
}

}  // namespace cutaway
