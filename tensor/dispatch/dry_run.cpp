#include "tensor/dispatch/dry_run.h"

#include <algorithm>
#include <set>

#include "tensor/dispatch/checks.h"
#include "tensor/files/mapped_files.h"

namespace cutaway {

DryRun::DryRun() { begin_dry_run_memory(); }

DryRun::~DryRun() {
  if (!finished_) end_dry_run_memory();
}

DryRunMemory DryRun::finish() {
  finished_ = true;
  unwatched_.reset();
  return end_dry_run_memory();
}

namespace dry_run {

void read(const Weight& weight) {
  if (in_mapped_file(weight.data)) resident_beside_tensors(weight.data, stored_bytes(weight));
}

void read_rows(const TokenIds& ids, const Weight& table) {
  constexpr int64_t around = 1 << 16;  // Linux maps up to 16 pages of the file with the one that was touched
  const auto rows = static_cast<int64_t>(std::set(ids.ids.begin(), ids.ids.end()).size());
  const int64_t all = stored_bytes(table);
  const int64_t bytes = std::min(all, rows * (all / table.shape[0] + around));
  if (in_mapped_file(table.data)) resident_beside_tensors(table.data, bytes);
}

// Eigen's convolution makes the whole matrix of pixels under taps.
void Held::scratch(const Tensor& x, const Weight& weight, const std::optional<Weight>&,
                   const Conv2dOptions& options) {
  if (current_backend() != Backend::eigen) return;
  const int64_t taps = weight.shape.count() / weight.shape[0];
  tensors_.emplace_back(Shape{taps, checks::conv2d_pixels(x, weight, options)});
}

// The plain loops make the table of an attention twice, as scores and as weights; Eigen for one head.
void Held::scratch(const Tensor& q, const Tensor& k, const Tensor&, const AttentionOptions&) {
  const Shape& qs = q.shape();
  const bool one_head = current_backend() == Backend::eigen;
  const Shape table{one_head ? 1 : qs[0], one_head ? 1 : qs[1], qs[2], k.shape()[2]};
  for (int i = 0; i < 2; ++i) tensors_.emplace_back(table);
}

}  // namespace dry_run
}  // namespace cutaway
