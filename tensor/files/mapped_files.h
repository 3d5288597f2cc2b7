// What befalls a file while it is mapped into memory: its pages come and go, and others may change, shorten
// or delete it.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <span>
#include <string>

namespace cutaway {

// ---- For mapped_file.cpp

/// What was mapped where, and how the file was then. Beyond 1024 at a time, files are not listed: nobody
/// looks after them.
void list_mapped_file(const std::string& path, std::span<const std::byte> bytes, const struct stat& status);
/// Before the mapping is taken back.
void unlist_mapped_file(std::span<const std::byte> bytes);

// ---- Pages

/// Does this address lie in a mapped file?
bool in_mapped_file(const void* address);

/// The pages of all mapped files leave the process's memory; an operation that reads a weight gets its pages
/// from the file again. In a dry run only the books change.
void let_go_of_files();

// ---- Files that others touch

/// Throws Error when a file that is mapped (MappedFile) was changed or shortened since it was opened, or
/// could no longer be read: what was computed from it is not to be trusted. Costs a system call for each
/// file, so it is for every step of a run, not for every layer.
void check_mapped_files();

/// The same, and also when a file was deleted or replaced by another one. The numbers are still right then,
/// but the run cannot be repeated.
void check_mapped_files_in_place();

/// Without this, touching a part of a mapped file that is gone ends the process with SIGBUS. From now on such
/// parts read as zeros instead, and the next check_mapped_files() throws. For programs, which own their
/// signals: the library never calls it. A SIGBUS for any other reason does what it did before.
void survive_lost_files();

}  // namespace cutaway
