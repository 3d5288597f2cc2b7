// What the sampler tests share: the closed-form model that the recorded trajectories were made with.
#pragma once

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "samplers/sampler.h"
#include "tensor/files/safetensors.h"
#include "tests/check.h"

namespace cutaway::test {

/// f(x, t) = 0.3 cos(t / 1000) x + 0.1 tanh(x), taken as eps or as v.
inline Tensor closed_form_model(const Tensor& x, float t) {
  const auto slope = static_cast<float>(0.3 * std::cos(static_cast<double>(t) / 1000));
  Tensor y(x.shape());
  for (int64_t i = 0; i < x.count(); ++i)
    y.mutable_data()[i] = slope * x.data()[i] + 0.1F * std::tanh(x.data()[i]);
  return y;
}

/// The betas of Stable Diffusion 1.x and of the recorded trajectories.
inline SchedulerConfig stable_diffusion_betas() {
  SchedulerConfig config;
  config.beta_schedule = BetaSchedule::scaled_linear;
  config.beta_start = 0.00085;
  config.beta_end = 0.012;
  config.clip_sample = false;
  return config;
}

/// Item k of a tensor [K, N, C, H, W].
inline Tensor item(const StoredTensor& stack, int64_t k) {
  const Shape shape(std::span<const int64_t>(stack.shape).subspan(1));
  const std::vector<float> values = stack.to_floats();
  return {shape, std::span(values).subspan(static_cast<size_t>(k * shape.count()),
                                           static_cast<size_t>(shape.count()))};
}

/// Tensors 0, 1, 2, ... of a stack, one a call.
inline Noise recorded_noise(const StoredTensor& stack) {
  return [&stack, k = int64_t{0}](const Shape&) mutable { return item(stack, k++); };
}

inline float largest(const Tensor& x) {
  float most = 0;
  for (const float value : x.values()) most = std::fmax(most, std::fabs(value));
  return most;
}

inline std::string reference_path(const std::string& name) {
  return std::string(CUTAWAY_SOURCE_DIR) + "/tests/reference/" + name;
}

}  // namespace cutaway::test
