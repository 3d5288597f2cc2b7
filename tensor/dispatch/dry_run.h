// DryRun: a run that does everything but compute, to learn how much memory it takes.
// Doc: docs/memory.md
#pragma once

#include <cstdint>
#include <optional>

#include "tensor/memory.h"
#include "tensor/trace.h"
#include "tensor/weight.h"

namespace cutaway {

/// While one of these lives, on this thread, operations check their shapes and ask for all the memory that
/// they need, but compute nothing. The memory is only reserved and never touched, so a dry run of a
/// full-size network takes milliseconds and next to no memory. What the tensors hold is undefined, so
/// observers that were there before, and breakpoints on a path, see nothing of it. One that comes within
/// does, as that of `describe`, which needs shapes, work, and which block of memory goes where.
///
/// Counted are the tensors, the scratch memory of the kernels, the free list, and the pages of weights that
/// lie in mapped files. Weights elsewhere are in memory already.
class DryRun {
 public:
  /// Throws Error inside another dry run.
  DryRun();
  ~DryRun();
  DryRun(const DryRun&) = delete;
  DryRun& operator=(const DryRun&) = delete;

  /// Ends it.
  DryRunMemory finish();

 private:
  bool finished_ = false;
  std::optional<Unwatched> unwatched_{std::in_place};  // the tensors of a dry run mean nothing
};

namespace dry_run {
/// For operations: a weight is read, so its pages of the file become resident.
void weight_used(const Weight& weight);
/// So many different rows of a table are read.
void rows_used(const Weight& table, int64_t rows);
/// No page of a file is resident any more.
void files_let_go();
}  // namespace dry_run

}  // namespace cutaway
