// Which model is this? A short answer that need not read all of it.   Doc: docs/workflows.md#drawing-again
#pragma once

#include <string>

#include "models/stable_diffusion.h"

namespace cutaway::pictures {

/// 16 hexadecimal digits from name, shape and a few numbers of every weight: of a checkpoint of gigabytes a
/// few megabytes are read. Two models with the same one are the same but for a change made on purpose.
std::string fingerprint(StableDiffusion& model);
/// The same of all numbers of a tensor.
std::string fingerprint(const Tensor& tensor);

}  // namespace cutaway::pictures
