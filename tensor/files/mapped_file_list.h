// The list of all mapped files, for mapped_file.cpp and lost_files.cpp.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <span>
#include <string>

namespace cutaway {

/// What was mapped where, and how the file was then. Beyond 1024 at a time, files are not listed.
void list_mapped_file(const std::string& path, std::span<const std::byte> bytes, const struct stat& status);
/// Before the mapping is taken back.
void unlist_mapped_file(std::span<const std::byte> bytes);

}  // namespace cutaway
