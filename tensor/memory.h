// Memory for tensors: blocks are kept and used again, since the first touch of fresh memory costs more than
// most operations.   Doc: docs/performance.md
#pragma once

#include <cstdint>
#include <memory>

namespace cutaway {

/// `count` uninitialised floats, aligned to 64 bytes; given back to a free list when the last owner goes.
/// Throws Error when the memory is not to be had.
std::shared_ptr<float> allocate_floats(int64_t count);

struct MemoryUse {
  int64_t live_bytes = 0;  // in tensors now
  int64_t peak_bytes = 0;  // the largest live_bytes so far
  int64_t kept_bytes = 0;  // in the free list, ready to be used again
};
MemoryUse memory_use();

/// Gives the free list back to the operating system.
void release_kept_memory();

}  // namespace cutaway
