// The noise of a run, drawn as the program drew it that the picture shall be equal to.
// Doc: docs/compat.md#noise
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "models/pipeline/compat.h"
#include "samplers/noise/torch_cpu.h"
#include "samplers/noise/torch_cuda.h"

namespace cutaway {

/// One generator, or one for each picture of a batch.
class NoiseStream {
 public:
  NoiseStream(RandomSource source, NoiseFor noise_for, uint64_t seed, int64_t batch);
  /// [batch, ...], normal with variance 1.
  Tensor operator()(const Shape& shape);

 private:
  std::vector<std::variant<TorchRandom, PhiloxRandom>> generators_;
};

/// All noise of a run, drawn as the program whose picture it shall be draws it.
class RunNoise {
 public:
  RunNoise(const Compat& compat, uint64_t seed, int64_t batch);
  /// Before the first step: the starting noise, and what else is drawn there.
  Tensor start(const Shape& shape) { return start_(shape); }
  /// In a step of a sampler with noise of its own.
  Tensor step(const Shape& shape) { return step_ ? (*step_)(shape) : start_(shape); }

 private:
  NoiseStream start_;
  std::optional<NoiseStream> step_;  // where it does not go on in the first one
};

}  // namespace cutaway
