#include "tensor/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>

#include "tensor/error.h"

// Under AddressSanitizer every block must be fresh, or a use after free would go unseen.
#if defined(__SANITIZE_ADDRESS__)
#define CUTAWAY_KEEP_BLOCKS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CUTAWAY_KEEP_BLOCKS 0
#endif
#endif
#ifndef CUTAWAY_KEEP_BLOCKS
#define CUTAWAY_KEEP_BLOCKS 1
#endif

namespace cutaway {
namespace {

constexpr int64_t alignment = 64;
constexpr int64_t huge_page = 2 << 20;

// Networks ask for the same few sizes again and again, so a list keyed by the exact size nearly always
// answers.
class BlockPool {
 public:
  float* take(int64_t bytes) {
    const std::lock_guard lock(mutex_);
    use_.live_bytes += bytes;
    use_.peak_bytes = std::max(use_.peak_bytes, use_.live_bytes);
    const auto kept = kept_.find(bytes);
    if (kept != kept_.end()) {
      float* block = kept->second;
      kept_.erase(kept);
      use_.kept_bytes -= bytes;
      return block;
    }
    // Sizes that are not asked for again must not pile up: keep no more than is in use.
    if (use_.kept_bytes > use_.live_bytes) release();
    float* block = fresh(bytes);
    if (block == nullptr) {
      release();
      block = fresh(bytes);
    }
    if (block == nullptr) {
      use_.live_bytes -= bytes;
      throw Error("not enough memory: a tensor of " + std::to_string(bytes >> 20) +
                  " MiB could not be made; try a smaller picture or a smaller batch");
    }
    return block;
  }

  void give_back(float* block, int64_t bytes) {
    const std::lock_guard lock(mutex_);
    use_.live_bytes -= bytes;
    if (CUTAWAY_KEEP_BLOCKS) {
      kept_.emplace(bytes, block);
      use_.kept_bytes += bytes;
    } else {
      std::free(block);
    }
  }

  void release() {
    for (const auto& [bytes, block] : kept_) std::free(block);
    kept_.clear();
    use_.kept_bytes = 0;
  }

  MemoryUse use() {
    const std::lock_guard lock(mutex_);
    return use_;
  }

  std::mutex mutex_;

 private:
  static float* fresh(int64_t bytes) {
    const bool large = bytes >= huge_page;
    const auto align = static_cast<size_t>(large ? huge_page : alignment);
    void* block = std::aligned_alloc(align, (static_cast<size_t>(bytes) + align - 1) / align * align);
    // A first touch faults page by page: pages of 2 MiB need 512 times fewer faults. Only advice, may fail.
    if (block != nullptr && large) madvise(block, static_cast<size_t>(bytes), MADV_HUGEPAGE);
    return static_cast<float*>(block);
  }

  std::multimap<int64_t, float*> kept_;
  MemoryUse use_;
};

BlockPool& pool() {
  static BlockPool* const the_pool =
      new BlockPool;  // never destroyed: tensors in static variables may outlive it
  return *the_pool;
}

}  // namespace

std::shared_ptr<float> allocate_floats(int64_t count) {
  int64_t bytes = 0;
  if (__builtin_mul_overflow(count, static_cast<int64_t>(sizeof(float)), &bytes) ||
      bytes > (int64_t{1} << 46)) {
    throw Error("a tensor of " + std::to_string(count) + " numbers is too large for this machine");
  }
  bytes = (bytes + alignment - 1) / alignment * alignment;
  return {pool().take(bytes), [bytes](float* block) { pool().give_back(block, bytes); }};
}

MemoryUse memory_use() { return pool().use(); }

void release_kept_memory() {
  const std::lock_guard lock(pool().mutex_);
  pool().release();
}

}  // namespace cutaway
