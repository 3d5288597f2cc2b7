// What befalls a file while it is mapped into memory: it may be changed, shortened or deleted by others.
#pragma once

namespace cutaway {

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
