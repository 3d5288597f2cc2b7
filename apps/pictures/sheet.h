// --sheet: many pictures in one file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/files/png.h"
#include "tensor/tensor.h"

namespace cutaway::pictures {

/// All pictures of the batches [N, 3, H, W] in rows on white, two pixels apart.
void write_sheet(const std::string& path, const std::vector<Tensor>& batches, int64_t most_columns,
                 const std::vector<PngText>& texts);

}  // namespace cutaway::pictures
