// Samplers: from noise to a picture, by asking a model again and again.   Doc: docs/samplers.md
#pragma once

#include "samplers/levels/plan.h"
#include "samplers/levels/schedule.h"
#include "samplers/run.h"
#include "tensor/tensor.h"

namespace cutaway {

struct SamplerOptions {
  int steps = 20;
  float eta = 0;  // ddim's, 0 to 1: how much of DDPM's noise is added; the others do not look at it
};

/// Runs the sampler of that name as diffusers' scheduler of the same name would with this config.
/// `start` is noise of variance 1. Returns the latent after the last step.
/// Throws Error when steps, eta or the config are out of range.
Tensor sample(SamplerKind kind, const SchedulerConfig& config, const SamplerOptions& options,
              const Model& model, Tensor start, const Noise& noise, const OnStep& on_step = {});

/// The same with a plan made before, for example by plan_for_sigmas.
Tensor sample(SamplerKind kind, const Plan& plan, float eta, const Model& model, Tensor start,
              const Noise& noise, const OnStep& on_step = {});

}  // namespace cutaway
