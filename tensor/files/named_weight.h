// NamedWeight: what the writers of weights take, and the numbers as they stand in a file.
#pragma once

#include <string>

#include "tensor/files/file_writer.h"
#include "tensor/weight.h"

namespace cutaway {

/// A weight to be written, with its name and dtype in the file.
struct NamedWeight {
  std::string name;
  Weight weight;
  DType dtype = DType::f32;  // in the file
};

/// Writes the numbers in the file's dtype, piece by piece, so that no second copy of a large weight is in
/// memory. What has that dtype already is written as it is. `path` is for messages. Throws Error when a
/// number is too large for f16 or q8_0.
void write_numbers(FileWriter& file, const NamedWeight& named, const std::string& path);

}  // namespace cutaway
