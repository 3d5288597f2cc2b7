// Memory for tensors: blocks are kept and used again, since the first touch of fresh memory costs more than
// most operations.   Doc: docs/memory.md
#pragma once

#include <cstdint>
#include <memory>

namespace cutaway {

/// `count` uninitialised floats, aligned to 64 bytes; given back to a free list when the last owner goes.
/// Throws Error when the memory is not to be had.
std::shared_ptr<float> allocate_floats(int64_t count);

/// What tensors take, in bytes, in this process.
struct MemoryUse {
  int64_t live_bytes = 0;  // in tensors now
  int64_t peak_bytes = 0;  // the largest live_bytes so far
  int64_t kept_bytes = 0;  // in the free list, ready to be used again
};
MemoryUse memory_use();

/// Gives the free list back to the operating system.
void release_kept_memory();

/// A frugal free list goes back before any fresh block is made, so that tensors and free list together never
/// take more than the tensors alone at their peak. Costs some time: fresh memory is slow.
void keep_memory_frugally(bool frugally);

// ---- For dry runs (tensor/dispatch/dry_run.h)

/// What a dry run's memory came to.
struct DryRunMemory {
  int64_t peak_bytes = 0;         // the most at once of all below together
  int64_t peak_tensor_bytes = 0;  // at that time: tensors and free list
  int64_t peak_other_bytes = 0;   // at that time: what was told by resident_beside_tensors
};

/// From here to end_dry_run_memory, on this thread, allocate_floats only reserves addresses: nothing
/// becomes resident until it is touched. The free list behaves as it would in earnest.
void begin_dry_run_memory();
DryRunMemory end_dry_run_memory();
bool in_dry_run();
/// In a dry run: these bytes, such as the pages of a weight in a mapped file, are in memory from now on,
/// beside the tensors. Of one place the most that was told counts.
void resident_beside_tensors(const void* place, int64_t bytes);
/// In a dry run: nothing of that is any more.
void nothing_beside_tensors();

}  // namespace cutaway
