#include "tensor/files/residency.h"

#include <sys/mman.h>

#include <map>
#include <mutex>

#include "tensor/dispatch/dry_run.h"

namespace cutaway {
namespace {

struct Mappings {
  std::mutex mutex;
  std::map<uintptr_t, int64_t> bytes;  // by where each begins
};

Mappings& mappings() {
  static auto* const the_mappings = new Mappings;  // weights in static variables may outlive it otherwise
  return *the_mappings;
}

uintptr_t address_of(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); }

}  // namespace

void note_mapping(const void* begin, int64_t bytes) {
  const std::lock_guard lock(mappings().mutex);
  mappings().bytes[address_of(begin)] = bytes;
}

void forget_mapping(const void* begin) {
  const std::lock_guard lock(mappings().mutex);
  mappings().bytes.erase(address_of(begin));
}

bool in_mapped_file(const void* address) {
  const std::lock_guard lock(mappings().mutex);
  const uintptr_t at = address_of(address);
  auto after = mappings().bytes.upper_bound(at);
  if (after == mappings().bytes.begin()) return false;
  --after;
  return at < after->first + static_cast<uintptr_t>(after->second);
}

int64_t stored_bytes(const Weight& weight) { return stored_bytes(weight.dtype, weight.shape.count()); }

void let_go_of_files() {
  if (in_dry_run()) return dry_run::files_let_go();
  const std::lock_guard lock(mappings().mutex);
  for (const auto& [begin, bytes] : mappings().bytes) {
    madvise(reinterpret_cast<void*>(begin), static_cast<size_t>(bytes), MADV_DONTNEED);
  }
}

}  // namespace cutaway
