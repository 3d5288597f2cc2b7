// A program without MPI: always alone.
#include <cstdlib>

#include "apps/mpi/ranks.h"
#include "tensor/error.h"

namespace cutaway::mpi {

Split join(const std::string& shard, const std::string& split) {
  if (!split.empty())
    throw Error(
        "--split shares a picture out to several programs, which only cutaway_mpi can do: build it with MPI "
        "installed, and start it by mpirun");
  if (!shard.empty()) return Split::guidance;  // mpirun may well start the shards
  for (const char* variable : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}) {
    const char* ranks = std::getenv(variable);
    if (ranks == nullptr || std::atoi(ranks) < 2) continue;
    throw Error(
        std::string("mpirun started this program ") + ranks +
        " times, and each would draw every picture, for it knows nothing of the others: start cutaway_mpi, "
        "which is built where MPI is installed, or deal the pictures out by --shard");
  }
  return Split::guidance;
}

bool alone() { return true; }
bool speaks() { return true; }
std::string of_first(const std::string& text) { return text; }
void must_agree(const std::string&) {}
Tensor exchange(const Tensor& mine) { return mine; }
Neighbours& neighbours() { throw Error("there are no other programs to have a band of rows"); }
void leave() {}
void give_up(const std::string&) noexcept {}

}  // namespace cutaway::mpi
