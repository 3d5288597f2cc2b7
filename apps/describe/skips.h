// The skip connections of a UNet, found in a recording: where each comes from and which box takes it.
#pragma once

#include <string>
#include <vector>

#include "apps/describe/architecture.h"

namespace cutaway::describe {

struct Skip {
  std::string path;  // "unet.skips.3"
  std::string from;  // the box whose result it is: "unet.down_blocks.0.downsamplers.0"
  std::string to;    // the box that has it in its input: "unet.up_blocks.2.resnets.2"
  Shape shape;
  Tensor value;
};

/// In the order they are made. Empty when no UNet was recorded.
std::vector<Skip> skips_of(const Architecture& architecture);

}  // namespace cutaway::describe
