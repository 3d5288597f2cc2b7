#include "models/pipeline/low_memory.h"

#include <vector>

#include "models/pipeline/vae_tiles.h"

namespace cutaway {
namespace {

// run(i) for every image of a batch, joined to a batch again.
template <class Run>
Tensor in_turn(int64_t images, const Run& run) {
  std::vector<Tensor> results;
  for (int64_t i = 0; i < images; ++i) results.push_back(run(i));
  return images == 1 ? results.front() : concat(results, 0);
}

}  // namespace

Predict one_latent_at_a_time(const Predict& predict) {
  return [predict](const Tensor& x, float t, const Tensor& prompt) {
    return in_turn(x.shape()[0],
                   [&](int64_t i) { return predict(slice(x, 0, i, i + 1), t, slice(prompt, 0, i, i + 1)); });
  };
}

Tensor decoded(const AutoencoderKL& vae, const Tensor& latent, const LowMemory& low_memory) {
  const auto decode = [&](const Tensor& z) {
    return low_memory.vae_tile > 0 ? decode_in_tiles(vae, z, low_memory.vae_tile) : vae.decode(z);
  };
  if (!low_memory.vae_in_turn) return decode(latent);
  return in_turn(latent.shape()[0], [&](int64_t i) { return decode(slice(latent, 0, i, i + 1)); });
}

LatentDistribution encoded(const AutoencoderKL& vae, const Tensor& picture, const LowMemory& low_memory) {
  const auto moments = [&](const Tensor& x) {
    return low_memory.vae_tile > 0 ? moments_in_tiles(vae, x, low_memory.vae_tile) : vae.moments(x);
  };
  if (!low_memory.vae_in_turn) return vae.distribution(moments(picture));
  return vae.distribution(
      in_turn(picture.shape()[0], [&](int64_t i) { return moments(slice(picture, 0, i, i + 1)); }));
}

}  // namespace cutaway
