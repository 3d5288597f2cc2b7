#include "tensor/residency.h"

#include <sys/mman.h>
#include <unistd.h>

#include <map>
#include <mutex>

#include "tensor/rehearsal.h"

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

void let_go(const Weight& weight) {
  if (rehearsing()) return rehearsal::weight_let_go(weight);
  if (!in_mapped_file(weight.data)) return;
  static const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  // Pages at both ends may hold a neighbour's numbers too; they come back from the file just the same.
  const uintptr_t begin = address_of(weight.data) / page * page;
  const uintptr_t end = address_of(weight.data) + static_cast<uintptr_t>(stored_bytes(weight));
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace cutaway
