// A build without MPI: always alone.
#include <cstdlib>

#include "apps/mpi/ranks.h"
#include "tensor/error.h"

namespace cutaway::mpi {

void join(const std::string& shard) {
  if (!shard.empty()) return;  // mpirun may well start the shards
  for (const char* variable : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}) {
    const char* count = std::getenv(variable);
    if (count == nullptr || std::atoi(count) < 2) continue;
    throw Error(std::string("mpirun started this program ") + count +
                " times, and each would draw every picture, for it is built without MPI: build it with "
                "-DCUTAWAY_WITH_MPI=ON, or deal the pictures out by --shard");
  }
}

bool alone() { return true; }
bool speaks() { return true; }
std::string of_first(const std::string& text) { return text; }
void must_agree(const std::string&) {}
Tensor exchange(const Tensor& mine) { return mine; }
void leave() {}
void give_up(const std::string&) noexcept {}

}  // namespace cutaway::mpi
