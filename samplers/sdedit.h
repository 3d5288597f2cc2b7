// Starting from a picture instead of noise (SDEdit: Meng et al. 2021, arXiv 2108.01073).
// Doc: docs/workflows.md#from-a-picture
#pragma once

#include "samplers/levels/plan.h"
#include "samplers/run.h"

namespace cutaway {

/// Which step of so many a run of this strength begins at: the last floor(steps strength) of them are taken.
/// Strength 1 takes all, 0.5 the second half. Throws Error unless 0 < strength <= 1 and a step is left.
int first_step(int steps, double strength);

/// The steps of a plan from `first` on. What it starts from is a latent in the plan's own scale, such as
/// noised() makes, so init_noise_sigma is 1.
Plan plan_from(const Plan& plan, int first);

/// The picture x0 as it would look at the noise level before step i: DDPM eq. 4 in the plan's scale.
///   preserving:  sqrt(ab) x0 + sqrt(1 - ab) eps        exploding:  x0 + sigma eps
Tensor noised(const Plan& plan, int i, const Tensor& x0, const Tensor& eps);

}  // namespace cutaway
