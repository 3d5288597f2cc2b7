// apps/mpi/: other programs that draw the same picture.
//
// The programs that mpirun starts together, called ranks, which draw a picture together.
// Doc: docs/larger-than-one-machine.md
//
// All run the whole program on the same numbers; rank 0 speaks: it alone prints and writes. They meet now and
// then, each gives something and gets what the others gave. Whatever goes wrong on one of them is told when
// they meet next, in place of what was due, so that the others do not wait for ever. No other file knows MPI.
// The program `cutaway` has one rank, and all of this is nothing; `cutaway_mpi` has as many as mpirun starts.
#pragma once

#include <string>

#include "tensor/dispatch/row_bands.h"
#include "tensor/tensor.h"

namespace cutaway::mpi {

/// What they share of a picture.
enum class Split {
  guidance,  // two predictions, two ranks
  rows,      // a band of rows for each
};

/// Looks for the other ranks, if mpirun started this program. Those with the same --shard belong together.
/// Throws Error when they are too many, or more than one without MPI, or --split was given to a single
/// program. `split` is what was given: "", "guidance" or "rows".
Split join(const std::string& shard, const std::string& split);

/// Is there no other rank?
bool alone();
/// Rank 0, and whoever is alone. What the others print is not seen.
bool speaks();

/// What rank 0 says, on all.
std::string of_first(const std::string& text);
/// Throws Error, on all, when the ranks do not say the same: what would they share? Lines are compared, and
/// the first that differs is named.
void must_agree(const std::string& lines);
/// Of two: the other rank's tensor of the same shape.
Tensor exchange(const Tensor& mine);
/// The ranks as bands of rows, rank 0 on top.
Neighbours& neighbours();

/// All is done here; waits until it is there too. Throws Error when another rank failed.
void leave();
/// Tells the other ranks why this one does not go on.
void give_up(const std::string& why) noexcept;

}  // namespace cutaway::mpi
