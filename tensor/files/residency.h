// Which pages of mapped files are in memory.
#pragma once

#include <cstdint>

#include "tensor/weight.h"

namespace cutaway {

/// For whoever maps a file: these bytes are a file's. Ends with forget_mapping.
void note_mapping(const void* begin, int64_t bytes);
void forget_mapping(const void* begin);

/// Does this address lie in a mapped file?
bool in_mapped_file(const void* address);

/// Bytes of a weight in its stored dtype.
int64_t stored_bytes(const Weight& weight);

/// The pages of all mapped files leave the process's memory; an operation that reads a weight gets its pages
/// from the file again. In a dry run only the books change.
void let_go_of_files();

}  // namespace cutaway
