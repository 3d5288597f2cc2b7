// Run: all that a sampler is given, and the two things that it does with it: ask the model, tell of a step.
// Doc: docs/samplers.md
#pragma once

#include <cmath>
#include <functional>

#include "samplers/levels/plan.h"
#include "samplers/levels/prediction.h"
#include "tensor/error.h"
#include "tensor/ops.h"

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

/// One run of a sampler.
struct Run {
  Plan plan;
  Model model;
  Noise noise = {};     // samplers without noise of their own do not call it
  float eta = 0;        // ddim's, 0 to 1: how much of DDPM's noise is added; the others do not look at it
  OnStep on_step = {};  // nobody needs to listen

  size_t steps() const { return plan.timesteps.size(); }
};

/// Asks the model at step i about the latent x, which is in the plan's scale.
inline Prediction ask(const Run& run, size_t i, const Tensor& x) {
  const Plan& plan = run.plan;
  const double ab = plan.alpha_bars[i];
  const Tensor x_t = plan.variance == Variance::preserving ? x : scale(x, static_cast<float>(std::sqrt(ab)));
  const Tensor output = run.model(x_t, plan.timesteps[i]);
  if (output.shape() != x_t.shape()) {
    throw Error("the sampler asked the model about a latent of shape " + to_string(x_t.shape()) +
                ", but its answer has shape " + to_string(output.shape()) + "; the two must be equal");
  }
  return predicted(plan.prediction_type, x_t, output, ab);
}

/// Tells that step i saw the picture x0 and ended at the latent x. Returns the latent to go on with.
inline Tensor told(const Run& run, size_t i, const Tensor& x0, const Tensor& x) {
  Step step{static_cast<int>(i), run.plan.count(), run.plan.timesteps[i], x0, x};
  if (run.on_step) run.on_step(step);
  return step.latent;
}

}  // namespace cutaway
