// DryRun: a run that does everything but compute, to learn how much memory it takes.
// Doc: docs/memory.md
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "tensor/backend.h"
#include "tensor/memory.h"
#include "tensor/ops.h"
#include "tensor/trace.h"

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

// ---- For tensor/dispatch/run.h
namespace dry_run {

// Weights that an operation reads: their pages of the file become resident.
void read(const Weight& weight);
inline void read(const std::optional<Weight>& weight) {
  if (weight) read(*weight);
}
template <class Other>
void read(const Other&) {}
void read_rows(const TokenIds& ids, const Weight& table);

template <class... Arguments>
void read_all(const Arguments&... arguments) {
  (read(arguments), ...);
}
inline void read_all(const TokenIds& ids, const Weight& table) { read_rows(ids, table); }

/// What the current backend holds beside the memory that `fast` asks for, as long as the operation runs.
class Held {
 public:
  // ref, and Eigen alike: a weight as float32, where the file has it otherwise.
  void converted(const Weight& weight) {
    if (weight.dtype != DType::f32) tensors_.emplace_back(weight.shape);
  }
  void converted(const std::optional<Weight>& weight) {
    if (weight) converted(*weight);
  }
  template <class Other>
  void converted(const Other&) {}

  // Of a convolution and an attention; the others need no more.
  void scratch(const Tensor& x, const Weight& weight, const std::optional<Weight>& bias,
               const Conv2dOptions& options);
  void scratch(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options);
  template <class... Others>
  void scratch(const Others&...) {}

  // In shadow mode: the plain loops' own.
  void result(const Tensor& y) { tensors_.emplace_back(y.shape()); }

 private:
  std::vector<Tensor> tensors_;
};

/// Every backend runs as `fast` does, without computing, but holds what it would hold.
template <class... Parameters, class... Arguments>
Tensor run(Tensor (*fast)(Parameters...), const Arguments&... arguments) {
  read_all(arguments...);
  const Backend backend = current_backend();
  Held held;
  if (backend != Backend::fast) {
    held.scratch(arguments...);
    (held.converted(arguments), ...);
  }
  Tensor y = fast(arguments...);
  if (backend == Backend::shadow) held.result(y);
  return y;
}

}  // namespace dry_run
}  // namespace cutaway
