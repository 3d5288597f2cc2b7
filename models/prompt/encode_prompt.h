// From the prompt to what the UNet's cross-attention sees of it.   Doc: docs/prompts.md
#pragma once

#include <functional>
#include <string>

#include "models/clip_text.h"
#include "models/overlays/textual_inversion.h"
#include "models/prompt/weighting.h"

namespace cutaway {

struct PromptRules {
  PromptWeights weights = PromptWeights::none;
  int64_t clip_skip = 1;  // 1: all layers of the text encoder; 2: without the last one, and so on
};

/// The prompt as context: [1, T, width], T a multiple of the text encoder's length. By
/// the rule `none` there is one chunk, and `warning` is told the words that do not fit.
/// Throws Error when clip_skip is out of range.
Tensor prompt_context(const Tokenizer& tokenizer, const CLIPTextModel& text_encoder,
                      const TextualInversions& textual_inversions, const std::string& prompt,
                      const PromptRules& rules, const std::function<void(const std::string&)>& warning);

// z: [chunks, T, width], weights: one for each token of each chunk.
//
// The webui's rule ("Original" emphasis): each token times its weight, then each chunk gets its mean back.
//   y = w z,   y mean(z) / mean(y)
Tensor weighted_by_mean(const Tensor& z, const std::vector<PromptChunk>& chunks);
// ComfyUI's rule: from the empty prompt's token at the same place to
// this one and beyond. empty: [1, T, width]
//   y = empty + w (z - empty)
Tensor weighted_from_empty(const Tensor& z, const Tensor& empty, const std::vector<PromptChunk>& chunks);

/// Two contexts of different lengths, each repeated until they are equally long, so that they fit into one
/// batch. Attention over the same tokens twice is the same as once, so each result is as if it were alone:
/// what ComfyUI does, and the webui by two calls.
void repeat_to_equal_length(Tensor& a, Tensor& b);

}  // namespace cutaway
