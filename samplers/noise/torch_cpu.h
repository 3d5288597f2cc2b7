// samplers/noise/: torch's random numbers, to the bit.
//
// Random numbers, the same bits as PyTorch's on the CPU.   Doc: docs/samplers.md#noise
#pragma once

#include <cstdint>
#include <optional>
#include <random>

#include "tensor/tensor.h"

namespace cutaway {

/// torch.Generator().manual_seed(seed) and torch.randn: the same numbers to the last bit,
/// on every processor, so that a picture can be drawn again elsewhere from its seed. Each
/// call goes on where the one before it ended.
class TorchRandom {
 public:
  /// The Mersenne Twister takes 32 bits: of a larger seed only the lower half counts, as in PyTorch.
  explicit TorchRandom(uint64_t seed);

  /// Numbers from the normal distribution of mean 0 and variance 1.
  Tensor randn(const Shape& shape);

 private:
  float uniform();
  double uniform_double();
  float normal();

  std::mt19937 generator_;
  std::optional<double> second_;  // normal numbers come in pairs: the one not used yet
};

}  // namespace cutaway
