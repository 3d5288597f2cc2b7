#include "nn/formula_weights.h"

#include <cmath>

namespace cutaway {

uint64_t fnv1a64(std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return hash;
}

uint64_t splitmix64(uint64_t x) {
  uint64_t z = x + 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

Tensor formula_uniform(const std::string& name, const Shape& shape) {
  Tensor values(shape);
  float* out = values.mutable_data();
  const uint64_t hash = fnv1a64(name);
  const int64_t count = values.count();
#pragma omp parallel for if (count > 1 << 16)
  for (int64_t i = 0; i < count; ++i) {
    // 24 bits, so the quotient is exact in float32.
    out[i] = static_cast<float>(splitmix64(hash + static_cast<uint64_t>(i)) >> 40) / 8388608.0F - 1.0F;
  }
  return values;
}

namespace {

Tensor scaled_and_shifted(Tensor values, float factor, float shift) {
  float* v = values.mutable_data();
  const int64_t count = values.count();
#pragma omp parallel for if (count > 1 << 16)
  for (int64_t i = 0; i < count; ++i) v[i] = shift + factor * v[i];
  return values;
}

}  // namespace

Tensor formula_input(const std::string& name, const Shape& shape) {
  return scaled_and_shifted(formula_uniform(name, shape), static_cast<float>(std::sqrt(3.0)), 0);
}

std::optional<Weight> FormulaSource::find(const std::string& name, const Shape& needed) const {
  Tensor u = formula_uniform(name, needed);
  if (needed.rank() >= 2) {
    const double fan_in = static_cast<double>(needed.count() / needed[0]);
    u = scaled_and_shifted(std::move(u), static_cast<float>(1 / std::sqrt(fan_in)), 0);
  } else {
    u = scaled_and_shifted(std::move(u), 0.1F,
                           name.ends_with(".weight") ? 1.0F : 0.0F);  // a norm's scale is near 1
  }
  return Weight::of(u, name);
}

}  // namespace cutaway
