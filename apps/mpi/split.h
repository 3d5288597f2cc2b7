// What several ranks share of a picture: guidance's two predictions, or its rows.
// Doc: docs/larger-than-one-machine.md
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "apps/mpi/ranks.h"
#include "models/stable_diffusion.h"

namespace cutaway::mpi {

void add_split_option(CLI::App& command, std::string& split);

/// Where there are several ranks: of guidance, rank 0 predicts with the prompt and rank 1 with the negative
/// one; of rows, rank 0 has the upper ones. The seed is rank 0's. Throws Error when a run has but one
/// prediction a step, and guidance was to be shared.
void share(GenerateOptions& options, Execution& how, Split split);

/// With rows, all ranks must give the UNet the same batches. Throws Error when they do not, since their
/// memory was planned by itself on each.
void must_agree_on(const LowMemory& low_memory, Split split);

/// For what a picture says of itself: how many bands it was drawn in; "" for the usual one.
std::string bands_text(const Execution& how);

}  // namespace cutaway::mpi
