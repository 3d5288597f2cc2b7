// samplers/: one file a sampler, the equation above the code; one list of all.
//
// Samplers: from noise to a picture, by asking a model again and again.   Doc: docs/samplers.md
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "samplers/levels/plan.h"
#include "samplers/levels/schedule.h"
#include "samplers/levels/spacing.h"
#include "samplers/run.h"

namespace cutaway {

/// One row of the table in sampler.cpp. There is one of each, so the address of a row tells which it is.
struct Sampler {
  const char* name;
  std::optional<Variance> scale;                           // of its latent; none: whichever the plan has
  Tensor (*walk)(const Run& run, Tensor x);                // sample_euler, ...: x to the last latent
  Plan (*plan)(const SchedulerConfig& config, int steps);  // as diffusers' scheduler of that name does
  LevelSpacing spacing = LevelSpacing::normal;             // where the run's own options name none
};

/// Throws Error when there is no sampler of this name, with the known ones and the nearest.
const Sampler& sampler_named(std::string_view name);
std::vector<std::string> sampler_names();

/// The plan of diffusers' scheduler of that name, made with this config.
/// Throws Error unless steps is from 1 to num_train_timesteps, or when the config's schedule cannot be walked
/// in so many steps.
Plan plan(const Sampler& sampler, SchedulerConfig config, int steps);

/// The run from `start`, noise of variance 1: [N, C, H, W]. Returns the latent after the last step, of the
/// same shape. Throws Error when eta is out of range, or the plan was made for another sampler.
Tensor sample(const Sampler& sampler, const Run& run, const Tensor& start);

}  // namespace cutaway
