#include "models/pipeline/noise.h"

#include "tensor/ops.h"

namespace cutaway {

NoiseStream::NoiseStream(RandomSource source, NoiseFor noise_for, uint64_t seed, int64_t batch) {
  const int64_t streams = noise_for == NoiseFor::batch ? 1 : batch;
  for (int64_t i = 0; i < streams; ++i) {
    const uint64_t own = seed + static_cast<uint64_t>(i);
    if (source == RandomSource::cpu) {
      generators_.emplace_back(TorchRandom(own));
    } else {
      generators_.emplace_back(PhiloxRandom(own));
    }
  }
}

Tensor NoiseStream::operator()(const Shape& shape) {
  const auto drawn = [](auto& generator, const Shape& of) {
    return std::visit([&](auto& one) { return one.randn(of); }, generator);
  };
  if (generators_.size() == 1) return drawn(generators_.front(), shape);
  std::vector<Tensor> pictures;
  for (auto& generator : generators_) pictures.push_back(drawn(generator, shape.with(0, 1)));
  return concat(pictures, 0);
}

RunNoise::RunNoise(const Compat& compat, uint64_t seed, int64_t batch)
    : start_(compat.start_noise, compat.noise_for, seed, batch) {
  if (compat.step_stream == StepNoise::goes_on) return;
  // On the processor the first numbers of the same seed would be the starting noise once more: there ComfyUI
  // takes the next seed.
  const uint64_t own = compat.step_noise == RandomSource::cpu ? seed + 1 : seed;
  step_.emplace(compat.step_noise, compat.noise_for, own, batch);
}

}  // namespace cutaway
