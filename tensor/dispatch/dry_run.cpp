#include "tensor/dispatch/dry_run.h"

#include <algorithm>
#include <map>

#include "tensor/files/residency.h"

namespace cutaway {
namespace {

struct ResidentWeights {
  std::map<const void*, int64_t> bytes;  // by where the weight begins
  int64_t total = 0;
};

thread_local ResidentWeights resident;

}  // namespace

DryRun::DryRun() {
  begin_dry_run_memory();
  resident = {};
}

DryRun::~DryRun() {
  if (!finished_) end_dry_run_memory();
}

DryRunMemory DryRun::finish() {
  finished_ = true;
  unwatched_.reset();
  return end_dry_run_memory();
}

namespace dry_run {
namespace {

void bytes_used(const Weight& weight, int64_t bytes) {
  if (!in_mapped_file(weight.data)) return;
  int64_t& now = resident.bytes[weight.data];
  if (bytes <= now) return;
  resident.total += bytes - now;
  now = bytes;
  memory_beside_tensors(resident.total);
}

}  // namespace

void weight_used(const Weight& weight) { bytes_used(weight, stored_bytes(weight)); }

void rows_used(const Weight& table, int64_t rows) {
  constexpr int64_t around = 1 << 16;  // Linux maps up to 16 pages of the file with the one that was touched
  const int64_t all = stored_bytes(table);
  bytes_used(table, std::min(all, rows * (all / table.shape[0] + around)));
}

void files_let_go() {
  resident = {};
  memory_beside_tensors(0);
}

}  // namespace dry_run
}  // namespace cutaway
