// Random numbers as PyTorch draws them on an NVIDIA card.   Doc: docs/compat.md#noise
#pragma once

#include <array>
#include <cstdint>

#include "tensor/tensor.h"

namespace cutaway {

/// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): four numbers of 32 bits
/// that depend on counter and key only, so that each thread of a card can make its own.
std::array<uint32_t, 4> philox4x32_10(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

/// torch.randn on the device "cuda", as AUTOMATIC1111's webui repeats it on any processor (its noise source
/// "NV"): the same bits as that, and within some 3e-7 of what a card's own log and sine give. Number i of a
/// call has a counter of its own, so a call makes other numbers for another shape; each call goes on with the
/// next offset. A card whose threads are fewer than the numbers of one call (some 40,000 for a small one)
/// deals them out in another order, which is not repeated here.
class PhiloxRandom {
 public:
  explicit PhiloxRandom(uint64_t seed) : seed_(seed) {}

  /// Numbers from the normal distribution of mean 0 and variance 1. At most 2^32 at once.
  Tensor randn(const Shape& shape);

 private:
  uint64_t seed_;
  uint32_t calls_ = 0;
};

}  // namespace cutaway
