// Everything that Cutaway asks of MPI: start, find the other ranks, meet, stop.
#include <mpi.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <vector>

#include "apps/mpi/ranks.h"
#include "tensor/dispatch/dry_run.h"
#include "tensor/error.h"
#include "tensor/files/text.h"

namespace cutaway::mpi {
namespace {

struct Group {
  bool started = false;               // MPI itself
  MPI_Comm together = MPI_COMM_NULL;  // the ranks that share a picture, while all go on
  int rank = 0, count = 1;
};
Group& here() {
  static Group group;
  return group;
}

// ---- Meeting

enum class Kind : int64_t { borders, tensors, numbers, text, done, gave_up };

struct Notice {
  int64_t kind, size;
};

int as_count(int64_t size) {
  if (size > std::numeric_limits<int>::max())
    throw Error("a message to the other ranks is too large for MPI: take a smaller picture or batch");
  return static_cast<int>(size);
}

// A text of rank `from`, which is `size` bytes long, on all.
std::string told(int from, const std::string& mine, int64_t size) {
  std::string text = from == here().rank ? mine : std::string(static_cast<size_t>(size), '\0');
  MPI_Bcast(text.data(), as_count(size), MPI_BYTE, from, here().together);
  return text;
}

// All tell each other what they are about to do and how much they give: the sizes by rank. It comes before
// whatever is sent, so that no rank waits for one that has given up.
std::vector<int64_t> meet(Kind kind, int64_t size, const std::string& why = "") {
  Group& group = here();
  const Notice mine{static_cast<int64_t>(kind), size};
  std::vector<Notice> notices(static_cast<size_t>(group.count));
  MPI_Allgather(&mine, 2, MPI_INT64_T, notices.data(), 2, MPI_INT64_T, group.together);
  for (int rank = 0; rank < group.count; ++rank) {
    const Notice& notice = notices[static_cast<size_t>(rank)];
    if (static_cast<Kind>(notice.kind) != Kind::gave_up) continue;
    const std::string reason = told(rank, why, notice.size);
    group.together = MPI_COMM_NULL;  // nobody meets any more
    throw Error("rank " + std::to_string(rank) + " cannot go on: " + reason);
  }
  std::vector<int64_t> sizes;
  for (const Notice& notice : notices) {
    if (notice.kind != mine.kind) throw Error("the ranks are at different places of the run");
    sizes.push_back(notice.size);
  }
  return sizes;
}

void must_be(const std::vector<int64_t>& sizes, const std::vector<int64_t>& expected) {
  if (sizes != expected) throw Error("the ranks are at different places of the run: they send other sizes");
}

std::vector<std::string> texts_of_all(const std::string& mine) {
  const std::vector<int64_t> sizes = meet(Kind::text, static_cast<int64_t>(mine.size()));
  std::vector<std::string> texts;
  for (int rank = 0; rank < here().count; ++rank)
    texts.push_back(told(rank, mine, sizes[static_cast<size_t>(rank)]));
  return texts;
}

// ---- Bands of rows

class Ranks : public Neighbours {
 public:
  int place() const override { return here().rank; }
  int count() const override { return here().count; }

  Borders swap(const Tensor& first, const Tensor& last) override {
    const bool top = place() == 0, bottom = place() + 1 == count();
    Borders borders;
    if (!top && !last.empty()) borders.above = Tensor(last.shape());
    if (!bottom && !first.empty()) borders.below = Tensor(first.shape());
    if (in_dry_run()) return borders;
    const int64_t size = first.count() + last.count();
    must_be(meet(Kind::borders, size), std::vector<int64_t>(static_cast<size_t>(count()), size));
    // Everyone upwards, then everyone downwards. Beyond the picture there is
    // MPI_PROC_NULL, which takes and gives nothing.
    const int above = top ? MPI_PROC_NULL : place() - 1, below = bottom ? MPI_PROC_NULL : place() + 1;
    pass(first, above, borders.below, below);
    pass(last, below, borders.above, above);
    return borders;
  }

  std::vector<Tensor> gather(const Tensor& mine, const std::vector<Shape>& shapes) override {
    std::vector<Tensor> parts;
    std::vector<int64_t> sizes;
    for (int rank = 0; rank < count(); ++rank) {
      const Shape& shape = shapes.at(static_cast<size_t>(rank));
      parts.push_back(rank == place() ? mine : Tensor(shape));
      sizes.push_back(shape.count());
    }
    if (in_dry_run()) return parts;
    must_be(meet(Kind::tensors, mine.count()), sizes);
    for (int rank = 0; rank < count(); ++rank) {
      Tensor& part = parts[static_cast<size_t>(rank)];
      float* const numbers = rank == place() ? const_cast<float*>(mine.data()) : part.mutable_data();
      MPI_Bcast(numbers, as_count(part.count()), MPI_FLOAT, rank, here().together);
    }
    return parts;
  }

  std::vector<double> gather(const std::vector<double>& mine) override {
    std::vector<double> all(mine.size() * static_cast<size_t>(count()));
    if (in_dry_run()) return all;
    const auto size = static_cast<int64_t>(mine.size());
    must_be(meet(Kind::numbers, size), std::vector<int64_t>(static_cast<size_t>(count()), size));
    MPI_Allgather(mine.data(), as_count(size), MPI_DOUBLE, all.data(), as_count(size), MPI_DOUBLE,
                  here().together);
    return all;
  }

 private:
  static void pass(const Tensor& rows, int to, Tensor& got, int from) {
    MPI_Sendrecv(rows.data(), as_count(rows.count()), MPI_FLOAT, to, 0,
                 got.empty() ? nullptr : got.mutable_data(), as_count(got.count()), MPI_FLOAT, from, 0,
                 here().together, MPI_STATUS_IGNORE);
  }
};

// ---- Starting and stopping

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

Split join(const std::string& shard, const std::string& split) {
  if (!started_by_mpirun()) {
    if (split.empty()) return Split::guidance;
    throw Error(
        "--split shares a picture out to several programs, but mpirun has started none: mpirun -n 2 "
        "cutaway_mpi generate ...");
  }
  Group& group = here();
  int unused = 0;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &unused);
  group.started = true;
  const MPI_Comm together = ranks_of(shard);
  MPI_Comm_size(together, &group.count);
  MPI_Comm_rank(together, &group.rank);
  if (group.count > 1) group.together = together;
  if (group.rank > 0 && (std::freopen("/dev/null", "w", stdout) == nullptr ||
                         std::freopen("/dev/null", "w", stderr) == nullptr))
    throw Error("cannot open /dev/null");
  // Before anything is decided by it, for they would wait for each other at different places.
  must_agree("--split " + (split.empty() ? "guidance" : split) + "\n");
  if (split == "rows") return Split::rows;
  if (group.count > 2) {
    throw Error(
        "mpirun started " + std::to_string(group.count) + " ranks" +
        (shard.empty() ? "" : " with --shard " + shard) +
        ", but guidance has two predictions to share: start 2, share the rows of the picture by --split "
        "rows, or deal pictures out by --shard");
  }
  return Split::guidance;
}

bool alone() { return here().together == MPI_COMM_NULL; }
bool speaks() { return here().rank == 0; }

std::string of_first(const std::string& text) { return alone() ? text : texts_of_all(text).front(); }

void must_agree(const std::string& lines) {
  if (alone()) return;
  const std::vector<std::string> all = texts_of_all(lines);
  for (size_t rank = 1; rank < all.size(); ++rank) {
    const std::string &first = all.front(), &other = all[rank];
    if (first == other) continue;
    const auto differ = std::mismatch(first.begin(), first.end(), other.begin(), other.end());
    const auto at = static_cast<size_t>(differ.first - first.begin());
    throw Error("the ranks would not draw the same picture: one says " + in_quotes(line_of(first, at)) +
                ", another " + in_quotes(line_of(other, at)));
  }
}

Tensor exchange(const Tensor& mine) {
  const std::vector<Shape> shapes(2, mine.shape());
  return neighbours().gather(mine, shapes)[speaks() ? 1 : 0];
}

Neighbours& neighbours() {
  static Ranks ranks;
  return ranks;
}

void leave() {
  if (!alone()) meet(Kind::done, 0);
  stop();
}

void give_up(const std::string& why) noexcept {
  try {
    if (!alone()) meet(Kind::gave_up, static_cast<int64_t>(why.size()), why);
  } catch (const std::exception&) {  // this is what was told, or another rank was first
  }
  stop();
}

}  // namespace cutaway::mpi
