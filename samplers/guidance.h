// Classifier-free guidance: away from the prediction without the prompt.   Doc: docs/samplers.md#guidance
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "tensor/error.h"
#include "tensor/ops.h"

namespace cutaway {

/// Ho & Salimans 2022 (arXiv 2207.12598), eq. 6; the paper's w is guidance_scale - 1, and a scale of 1 is the
/// prediction with the prompt:
///   guided = without + guidance_scale (with - without)
inline Tensor guided(const Tensor& without_prompt, const Tensor& with_prompt, float guidance_scale) {
  return add(without_prompt, scale(sub(with_prompt, without_prompt), guidance_scale));
}

/// The standard deviation of one item of a batch (divided by n - 1), in double.
inline double standard_deviation(const Tensor& item) {
  const auto n = static_cast<double>(item.count());
  double mean = 0, squares = 0;
  for (const float value : item.values()) mean += value / n;
  for (const float value : item.values()) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / (n - 1));
}

/// Lin et al. 2023 (arXiv 2305.08891), section 3.4, for each item of the batch: a large guidance scale makes
/// the prediction too large, so it gets the spread of the one with the prompt back, mixed with what it was:
///   rescaled = guided std(with) / std(guided)                                     eq. 15
///   result   = rescale rescaled + (1 - rescale) guided                            eq. 16
/// Throws Error unless rescale is from 0 to 1 and the shapes are equal.
inline Tensor rescale_guided(const Tensor& guided, const Tensor& with_prompt, float rescale) {
  if (!(rescale >= 0 && rescale <= 1)) {
    throw Error("the guidance rescale is " + std::to_string(rescale) + ", but must be from 0 (none) to 1");
  }
  if (guided.shape() != with_prompt.shape() || guided.empty()) {
    throw Error("the guidance rescale needs two predictions of equal shapes, but they are " +
                to_string(guided.shape()) + " and " + to_string(with_prompt.shape()));
  }
  std::vector<Tensor> items;
  for (int64_t i = 0; i < guided.shape()[0]; ++i) {
    const Tensor item = slice(guided, 0, i, i + 1);
    const double of_guided = standard_deviation(item);
    const double ratio = standard_deviation(slice(with_prompt, 0, i, i + 1)) / of_guided;
    const double factor = of_guided > 0 ? rescale * ratio + 1 - rescale : 1;
    items.push_back(scale(item, static_cast<float>(factor)));
  }
  return concat(items, 0);
}

}  // namespace cutaway
