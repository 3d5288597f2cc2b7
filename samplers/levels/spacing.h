// The noise levels of k-diffusion and the programs around it, and DDIM's as CompVis spaced them.
// Doc: docs/compat.md#noise-levels
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "samplers/levels/plan.h"
#include "samplers/levels/schedule.h"

namespace cutaway {

/// Which noise levels a run visits. by_sampler: as the sampler's row in samplers/sampler.cpp says.
/// T is the last training time step.
enum class LevelSpacing {
  by_sampler,
  normal,        // time steps even from T to 0
  karras,        // even in sigma^(1/7), Karras et al. 2022 eq. 5
  exponential,   // even in log sigma
  simple,        // every (T + 1) / n-th training level from the last on
  sgm_uniform,   // as normal with one step more, the last of which is left out
  ddim_uniform,  // training levels 1, 1 + c, 1 + 2 c, ... with c = floor((T + 1) / n); may be more than n
};

/// Throws Error when there is none of this name, with the known ones and the nearest.
LevelSpacing level_spacing_named(std::string_view name);
std::vector<std::string> level_spacing_names();
const char* to_string(LevelSpacing spacing);

/// beta and alpha_bar computed in double and rounded at the end, as CompVis and all that follow it do;
/// NoiseSchedule's own are diffusers', in float32 from the start. They differ by up to 1e-6.
NoiseSchedule schedule_in_double(const SchedulerConfig& config);

/// sigma at a time step between two training time steps: a straight line between the logs of their sigmas
/// (k-diffusion's; diffusers' line is between the sigmas themselves, see sigma_at).
double sigma_between(const std::vector<float>& sigmas, double t);

/// Falling noise levels for a run of n steps, with a 0 behind. `sigmas` are those of the training, growing.
/// Throws Error for by_sampler, and when n is not from 1 to the number of training time steps.
std::vector<float> spaced_levels(LevelSpacing spacing, const std::vector<float>& sigmas, int n);

/// Time steps rounded to the training's, to the one whose log sigma is nearest (ComfyUI); k-diffusion leaves
/// them between.
void round_timesteps(Plan& plan);

/// DDIM as CompVis spaced it (ldm/models/diffusion/ddim.py): time steps 1, 1 + c, 1 + 2 c,
/// ... with c = floor(T / n), each stepping to the one before, the first to alpha_bar_0. Where c does not
/// divide T there are more than n. The webui never takes the last of them. Throws Error when a time step lies
/// behind the training's or none is left.
Plan plan_compvis_ddim(const NoiseSchedule& schedule, PredictionType type, int n, bool leaves_out_last);

/// A plan that keeps the latent's variance, for levels that were made for one that does not: what ddpm walks.
Plan preserving(const Plan& exploding);

}  // namespace cutaway
