// The programs that mpirun starts together, called ranks, two of which draw a picture together.
// Doc: docs/larger-than-one-machine.md#two-predictions-two-machines
//
// Both run the whole program on the same numbers; rank 0 speaks: it alone prints and writes. They meet now
// and then, each gives something and gets what the other gave. Whatever goes wrong on one of them is given in
// place of what was due, so that the other does not wait for ever. No other file knows MPI. A build without
// it has one rank, and all of this is nothing.
#pragma once

#include <string>

#include "tensor/tensor.h"

namespace cutaway::mpi {

/// Looks for the other rank, if mpirun started this program. Those with the same --shard belong together.
/// Throws Error when they are more than two, or more than one in a build without MPI.
void join(const std::string& shard);

/// Is there no other rank?
bool alone();
/// Rank 0, and whoever is alone. What rank 1 prints is not seen.
bool speaks();

/// What rank 0 says, on both.
std::string of_first(const std::string& text);
/// Throws Error, on both, when the ranks do not say the same: what would they share? Lines are compared, and
/// the first that differs is named.
void must_agree(const std::string& lines);
/// The other rank's tensor of the same shape.
Tensor exchange(const Tensor& mine);

/// All is done here; waits until it is there too. Throws Error when the other rank failed.
void leave();
/// Tells the other rank why this one does not go on.
void give_up(const std::string& why) noexcept;

}  // namespace cutaway::mpi
