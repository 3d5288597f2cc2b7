// Guidance's two predictions on two ranks.   Doc:
// docs/larger-than-one-machine.md#two-predictions-two-machines
#pragma once

#include "models/stable_diffusion.h"

namespace cutaway::mpi {

/// Where there are two ranks, rank 0 predicts with the prompt and rank 1 with the negative one. The seed is
/// rank 0's. Throws Error when a run has but one prediction a step.
void share_guidance(GenerateOptions& options);

}  // namespace cutaway::mpi
