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

// Where blocks come from: fresh memory, or for a dry run addresses without memory behind them.
//
// Larger blocks are mapped each by itself, so that they go back to the operating system as soon as they are
// given back, whatever malloc would hold.
class Source {
 public:
  explicit Source(bool reserves_only) : reserves_only_(reserves_only) {}

  // Null when there is no memory.
  float* make(int64_t bytes) const {
    if (!maps(bytes))
      return static_cast<float*>(
          std::aligned_alloc(static_cast<size_t>(alignment), static_cast<size_t>(bytes)));
    const bool in_huge_pages = !reserves_only_ && bytes >= huge_page;
    float* const block = mapped(bytes, in_huge_pages ? huge_page : page);
    // A first touch faults page by page: pages of 2 MiB need 512 times fewer faults. Only advice, may fail.
    if (block != nullptr && in_huge_pages) madvise(block, static_cast<size_t>(bytes), MADV_HUGEPAGE);
    return block;
  }

  void give_back(float* block, int64_t bytes) const {
    if (maps(bytes))
      munmap(block, static_cast<size_t>(bytes));
    else
      std::free(block);
  }

 private:
  static constexpr int64_t page = 4096;
  static constexpr int64_t worth_mapping = 1 << 16;

  bool maps(int64_t bytes) const { return bytes >= worth_mapping && (CUTAWAY_KEEP_BLOCKS || reserves_only_); }

  static float* mapped(int64_t bytes, int64_t align) {
    const auto size = static_cast<size_t>((bytes + page - 1) / page * page);
    const auto spare = static_cast<size_t>(align > page ? align : 0);
    void* const start = mmap(nullptr, size + spare, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) return nullptr;
    if (spare == 0) return static_cast<float*>(start);
    const size_t before = (spare - reinterpret_cast<uintptr_t>(start) % spare) % spare,
                 after = spare - before;
    char* const block = static_cast<char*>(start) + before;
    if (before > 0) munmap(start, before);
    if (after > 0) munmap(block + size, after);
    return reinterpret_cast<float*>(block);
  }

  bool reserves_only_;
};

struct Block {
  float* start;
  int64_t bytes;  // at least as many as were asked for
};

// Networks ask for the same few sizes again and again, so blocks that come back are kept and given out again.
// How many are kept is bounded by what the tensors themselves took at their peak.
class BlockPool {
 public:
  BlockPool() : source_(false) {}
  // For a dry run: what is in use already stays in use.
  BlockPool(const MemoryUse& use, bool frugal)
      : source_(true), frugal_(frugal), use_{use.live_bytes, use.peak_bytes, 0}, before_(use.live_bytes) {}
  ~BlockPool() { release(); }

  Block take(int64_t bytes) {
    const std::lock_guard lock(mutex_);
    const auto kept = kept_.lower_bound(bytes);  // the smallest that is large enough
    if (kept != kept_.end() && kept->first <= (frugal_ ? 1 : 2) * bytes) {
      const Block block{kept->second.start, kept->first};
      kept_.erase(kept);
      use_.kept_bytes -= block.bytes;
      now_live(block.bytes);
      return block;
    }
    now_live(bytes);
    const int64_t most = frugal_ ? use_.peak_bytes : std::max(always_kept, use_.peak_bytes / 4 * 5);
    while (!kept_.empty() && use_.live_bytes + use_.kept_bytes > most) drop_oldest();
    float* start = source_.make(bytes);
    if (start == nullptr) {
      release();
      start = source_.make(bytes);
    }
    if (start == nullptr) {
      use_.live_bytes -= bytes;
      throw Error("not enough memory: a tensor of " + std::to_string(bytes >> 20) +
                  " MiB could not be made; try a smaller picture or a smaller batch");
    }
    note_peak();
    return {start, bytes};
  }

  void give_back(const Block& block) {
    const std::lock_guard lock(mutex_);
    use_.live_bytes -= block.bytes;
    if (CUTAWAY_KEEP_BLOCKS) {
      kept_.emplace(block.bytes, Kept{block.start, ++clock_});
      use_.kept_bytes += block.bytes;
    } else {
      source_.give_back(block.start, block.bytes);
    }
  }

  void release_kept() {
    const std::lock_guard lock(mutex_);
    release();
  }

  // Memory that is resident beside the blocks, for the peak of a dry run.
  void beside(const void* place, int64_t bytes) {
    const std::lock_guard lock(mutex_);
    int64_t& told = beside_at_[place];
    beside_ += std::max<int64_t>(0, bytes - told);
    told = std::max(told, bytes);
    note_peak();
  }
  void nothing_beside() {
    const std::lock_guard lock(mutex_);
    beside_at_.clear();
    beside_ = 0;
  }

  MemoryUse use() {
    const std::lock_guard lock(mutex_);
    return use_;
  }
  bool frugal() const { return frugal_; }
  void set_frugal(bool frugal) { frugal_ = frugal; }
  const DryRunMemory& dry_run() const { return in_dry_run_; }

 private:
  struct Kept {
    float* start;
    int64_t since;
  };
  static constexpr int64_t always_kept = 32 << 20;

  void now_live(int64_t bytes) {
    use_.live_bytes += bytes;
    use_.peak_bytes = std::max(use_.peak_bytes, use_.live_bytes);
  }

  void drop_oldest() {
    const auto oldest = std::min_element(kept_.begin(), kept_.end(), [](const auto& a, const auto& b) {
      return a.second.since < b.second.since;
    });
    source_.give_back(oldest->second.start, oldest->first);
    use_.kept_bytes -= oldest->first;
    kept_.erase(oldest);
  }

  void release() {
    for (const auto& [bytes, block] : kept_) source_.give_back(block.start, bytes);
    kept_.clear();
    use_.kept_bytes = 0;
  }

  void note_peak() {
    const int64_t tensors = use_.live_bytes + use_.kept_bytes - before_;
    if (tensors + beside_ > in_dry_run_.peak_bytes) in_dry_run_ = {tensors + beside_, tensors, beside_};
  }

  std::mutex mutex_;
  const Source source_;
  bool frugal_ = false;
  std::multimap<int64_t, Kept> kept_;  // by size
  int64_t clock_ = 0;
  MemoryUse use_;
  int64_t before_ = 0;
  std::map<const void*, int64_t> beside_at_;
  int64_t beside_ = 0;  // their sum
  DryRunMemory in_dry_run_;
};

// Tensors in static variables may outlive a pool's variable, and those of a dry run the dry run: each
// block owns its pool.
std::shared_ptr<BlockPool> pool() {
  static auto* const the_pool = new std::shared_ptr<BlockPool>(std::make_shared<BlockPool>());
  return *the_pool;
}

thread_local std::shared_ptr<BlockPool> dry_run_pool;

// What a tensor's shared_ptr does at its end. The debugger's printers read this object behind a tensor's
// numbers (tools/gdb/cutaway_debug/objects.py): `bytes` is to stay first, two pointers after it.
struct GiveBack {
  int64_t bytes;
  std::shared_ptr<BlockPool> to;

  void operator()(float* start) const { to->give_back({start, bytes}); }
};
static_assert(sizeof(GiveBack) == sizeof(int64_t) + 2 * sizeof(void*));

}  // namespace

std::shared_ptr<float> allocate_floats(int64_t count) {
  int64_t bytes = 0;
  if (__builtin_mul_overflow(count, static_cast<int64_t>(sizeof(float)), &bytes) ||
      bytes > (int64_t{1} << 46)) {
    throw Error("a tensor of " + std::to_string(count) + " numbers is too large for this machine");
  }
  bytes = (bytes + alignment - 1) / alignment * alignment;
  const std::shared_ptr<BlockPool> from = dry_run_pool ? dry_run_pool : pool();
  const Block block = from->take(bytes);
  return {block.start, GiveBack{block.bytes, from}};
}

MemoryUse memory_use() { return pool()->use(); }

void release_kept_memory() { pool()->release_kept(); }

void keep_memory_frugally(bool frugally) { pool()->set_frugal(frugally); }

void begin_dry_run_memory() {
  if (dry_run_pool) throw Error("a dry run is already on");
  dry_run_pool = std::make_shared<BlockPool>(pool()->use(), pool()->frugal());
}

DryRunMemory end_dry_run_memory() {
  const DryRunMemory memory = dry_run_pool->dry_run();
  dry_run_pool.reset();
  return memory;
}

bool in_dry_run() { return dry_run_pool != nullptr; }

void resident_beside_tensors(const void* place, int64_t bytes) { dry_run_pool->beside(place, bytes); }

void nothing_beside_tensors() { dry_run_pool->nothing_beside(); }

}  // namespace cutaway
