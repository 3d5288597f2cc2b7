// Everything that Cutaway asks of MPI: start, find the partner, swap two messages, stop.
#include <mpi.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "apps/mpi/ranks.h"
#include "tensor/error.h"
#include "tensor/rehearsal.h"
#include "tensor/text.h"

namespace cutaway::mpi {
namespace {

enum class Kind : int64_t { numbers, text, done, gave_up };

struct Pair {
  bool started = false;               // MPI itself
  MPI_Comm together = MPI_COMM_NULL;  // the two ranks, while both go on
  int rank = 0;
};
Pair& here() {
  static Pair pair;
  return pair;
}

// Each rank gives a message and gets the other's. The one place where a rank waits.
std::string swap(Kind kind, const void* bytes, size_t size) {
  Pair& pair = here();
  const int other = 1 - pair.rank;
  const int64_t mine[2] = {static_cast<int64_t>(kind), static_cast<int64_t>(size)};
  int64_t theirs[2] = {};
  MPI_Sendrecv(mine, 2, MPI_INT64_T, other, 0, theirs, 2, MPI_INT64_T, other, 0, pair.together,
               MPI_STATUS_IGNORE);
  std::string got(static_cast<size_t>(theirs[1]), '\0');
  MPI_Sendrecv(bytes, static_cast<int>(size), MPI_BYTE, other, 1, got.data(), static_cast<int>(got.size()),
               MPI_BYTE, other, 1, pair.together, MPI_STATUS_IGNORE);
  if (static_cast<Kind>(theirs[0]) == Kind::gave_up) {
    pair.together = MPI_COMM_NULL;  // it waits for nothing any more
    throw Error("rank " + std::to_string(other) + " cannot go on: " + got);
  }
  if (static_cast<Kind>(theirs[0]) != kind) throw Error("the two ranks are at different places of the run");
  return got;
}

// mpirun tells its programs that they are many by variables: Open MPI's, then those of MPICH and Slurm.
bool started_by_mpirun() {
  for (const char* variable : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMI_RANK", "PMIX_RANK"}) {
    if (std::getenv(variable) != nullptr) return true;
  }
  return false;
}

// The ranks with this one's shard: those that have the same colour.
MPI_Comm ranks_of(const std::string& shard) {
  constexpr size_t longest = 64;
  int rank = 0, count = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &count);
  std::string mine = shard.substr(0, longest), all(static_cast<size_t>(count) * longest, '\0');
  mine.resize(longest, '\0');
  MPI_Allgather(mine.data(), longest, MPI_BYTE, all.data(), longest, MPI_BYTE, MPI_COMM_WORLD);
  int colour = 0;
  while (all.compare(static_cast<size_t>(colour) * longest, longest, mine) != 0) ++colour;
  MPI_Comm group = MPI_COMM_NULL;
  MPI_Comm_split(MPI_COMM_WORLD, colour, rank, &group);
  return group;
}

void stop() {
  if (here().started) MPI_Finalize();  // waits for all ranks, whatever their shard
  here() = {};
}

std::string line_of(const std::string& lines, size_t at) {
  const size_t begin = at == 0 ? 0 : lines.rfind('\n', at - 1) + 1;
  return lines.substr(begin, lines.find('\n', at) - begin);
}

}  // namespace

void join(const std::string& shard) {
  if (!started_by_mpirun()) return;
  Pair& pair = here();
  int unused = 0;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &unused);
  pair.started = true;
  const MPI_Comm group = ranks_of(shard);
  int count = 0;
  MPI_Comm_size(group, &count);
  MPI_Comm_rank(group, &pair.rank);
  if (pair.rank > 0 && (std::freopen("/dev/null", "w", stdout) == nullptr ||
                        std::freopen("/dev/null", "w", stderr) == nullptr))
    throw Error("cannot open /dev/null");
  if (count > 2) {
    throw Error("mpirun started " + std::to_string(count) + " ranks" +
                (shard.empty() ? "" : " with --shard " + shard) +
                ", but guidance has two predictions to share: start 2, and deal pictures out by --shard");
  }
  if (count == 2) pair.together = group;
}

bool alone() { return here().together == MPI_COMM_NULL; }
bool speaks() { return here().rank == 0; }

std::string of_first(const std::string& text) {
  if (alone()) return text;
  const std::string theirs = swap(Kind::text, text.data(), text.size());
  return speaks() ? text : theirs;
}

void must_agree(const std::string& lines) {
  if (alone()) return;
  const std::string theirs = swap(Kind::text, lines.data(), lines.size());
  if (lines == theirs) return;
  const auto differ = std::mismatch(lines.begin(), lines.end(), theirs.begin(), theirs.end());
  const auto at = static_cast<size_t>(differ.first - lines.begin());
  throw Error("the two ranks would not draw the same picture: one says " + in_quotes(line_of(lines, at)) +
              ", the other " + in_quotes(line_of(theirs, at)));
}

Tensor exchange(const Tensor& mine) {
  Tensor theirs(mine.shape());
  if (rehearsing()) return theirs;
  const std::string bytes =
      swap(Kind::numbers, mine.data(), static_cast<size_t>(mine.count()) * sizeof(float));
  if (bytes.size() != static_cast<size_t>(theirs.count()) * sizeof(float))
    throw Error("the other rank's tensor has another size");
  std::memcpy(theirs.mutable_data(), bytes.data(), bytes.size());
  return theirs;
}

void leave() {
  if (!alone()) swap(Kind::done, nullptr, 0);
  stop();
}

void give_up(const std::string& why) noexcept {
  try {
    if (!alone()) swap(Kind::gave_up, why.data(), why.size());
  } catch (const std::exception&) {  // so the other gave up too, or was elsewhere
  }
  stop();
}

}  // namespace cutaway::mpi
