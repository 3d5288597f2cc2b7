// The trick of surviving: the signal handler lays zeros over the part of the mapping that is gone, so that
// the instruction that touched it can go on, and notes which file it was. The run ends at the next check, as
// any other error does: through exceptions, with temporary files removed.
#include "tensor/files/mapped_files.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <mutex>

#include "tensor/error.h"
#include "tensor/memory.h"

namespace cutaway {
namespace {

struct Entry {
  std::atomic<const std::byte*> begin = nullptr;  // null: free. The handler reads these two and the path.
  std::atomic<size_t> size = 0;
  std::string path;
  struct stat status = {};

  bool holds(const void* address) const {
    const auto at = reinterpret_cast<uintptr_t>(address), first = reinterpret_cast<uintptr_t>(begin.load());
    return first != 0 && at >= first && at < first + size.load();
  }
};

std::array<Entry, 1024> entries;
std::mutex entries_mutex;  // not for the handler, which may interrupt its holder

// The first file that the handler met, as long as nobody was told.
constexpr size_t longest_path = 4096;
char lost_path[longest_path];
enum LostState { none, being_written, written };
std::atomic<int> lost_state = none;

uintptr_t page_size = 4096;
struct sigaction action_before = {};

void note_lost(const char* path) {
  int expected = none;
  if (!lost_state.compare_exchange_strong(expected, being_written)) return;
  size_t i = 0;
  for (; i + 1 < longest_path && path[i] != '\0'; ++i) lost_path[i] = path[i];
  lost_path[i] = '\0';
  lost_state = written;
}

// Only what a signal handler may do: atomics without locks, and system calls.
bool covered_with_zeros(const void* address) {
  for (const Entry& entry : entries) {
    if (!entry.holds(address)) continue;
    const uintptr_t page = reinterpret_cast<uintptr_t>(address) / page_size * page_size;
    const uintptr_t end = reinterpret_cast<uintptr_t>(entry.begin.load()) + entry.size.load();
    void* const start = reinterpret_cast<void*>(page);
    const int flags = MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS;
    if (::mmap(start, end - page, PROT_READ, flags, -1, 0) == MAP_FAILED) return false;
    note_lost(entry.path.c_str());
    return true;
  }
  return false;
}

void on_bus_error(int number, siginfo_t* info, void*) {
  const int error = errno;
  if (info->si_code > 0 && covered_with_zeros(info->si_addr)) {
    errno = error;
    return;
  }
  ::sigaction(SIGBUS, &action_before, nullptr);
  if (info->si_code <= 0) ::raise(number);  // sent by somebody; else the same instruction faults once more
}

bool same_time(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

// What is wrong with a mapped file, in one sentence; "" when nothing is.
std::string trouble(const Entry& entry, bool must_be_in_place) {
  struct stat now = {};
  const bool there = ::stat(entry.path.c_str(), &now) == 0;
  if (!there || now.st_ino != entry.status.st_ino || now.st_dev != entry.status.st_dev) {
    if (!must_be_in_place) return "";
    return "the file " + entry.path + " was " + (there ? "replaced" : "deleted or moved") +
           " while it was in use; start again with a file that stays";
  }
  if (now.st_size == entry.status.st_size && same_time(now.st_mtim, entry.status.st_mtim)) return "";
  return "the file " + entry.path + " was " + (now.st_size < entry.status.st_size ? "shortened" : "changed") +
         " while it was in use (it had " + std::to_string(entry.status.st_size) + " bytes and has " +
         std::to_string(now.st_size) + "); start again when it is complete";
}

void check(bool must_be_in_place) {
  if (lost_state == written) {
    const std::string path = lost_path;
    lost_state = none;
    throw Error("the file " + path +
                " was shortened, or could no longer be read, while it was in use; "
                "start again when it is complete");
  }
  const std::lock_guard lock(entries_mutex);
  for (const Entry& entry : entries) {
    if (entry.begin == nullptr) continue;
    const std::string what = trouble(entry, must_be_in_place);
    if (!what.empty()) throw Error(what);
  }
}

}  // namespace

void list_mapped_file(const std::string& path, std::span<const std::byte> bytes, const struct stat& status) {
  const std::lock_guard lock(entries_mutex);
  for (Entry& entry : entries) {
    if (entry.begin != nullptr) continue;
    entry.path = path;
    entry.status = status;
    entry.size = bytes.size();
    entry.begin = bytes.data();  // last: from here on the handler sees it
    return;
  }
}

void unlist_mapped_file(std::span<const std::byte> bytes) {
  const std::lock_guard lock(entries_mutex);
  for (Entry& entry : entries) {
    if (entry.begin == bytes.data()) entry.begin = nullptr;
  }
}

bool in_mapped_file(const void* address) {
  return std::any_of(entries.begin(), entries.end(),
                     [&](const Entry& entry) { return entry.holds(address); });
}

void let_go_of_files() {
  if (in_dry_run()) return nothing_beside_tensors();
  const std::lock_guard lock(entries_mutex);
  for (const Entry& entry : entries) {
    void* const begin = const_cast<std::byte*>(entry.begin.load());
    if (begin != nullptr) madvise(begin, entry.size, MADV_DONTNEED);
  }
}

void check_mapped_files() { check(false); }
void check_mapped_files_in_place() { check(true); }

void survive_lost_files() {
  page_size = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  struct sigaction action = {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  ::sigemptyset(&action.sa_mask);
  struct sigaction before = {};
  if (::sigaction(SIGBUS, &action, &before) != 0 || before.sa_sigaction == on_bus_error) return;
  action_before = before;
}

}  // namespace cutaway
