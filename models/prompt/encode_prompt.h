// models/prompt/: from text to the UNet's context.
//
// From the prompt to what the UNet's cross-attention sees of it.   Doc: docs/prompts.md
#pragma once

#include <functional>
#include <string>

#include "models/clip_text.h"
#include "models/overlays/textual_inversion.h"
#include "models/prompt/weighting.h"

namespace cutaway {

/// How a prompt is read.
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

/// Two contexts of different lengths, each repeated until they are equally long, so that they fit into one
/// batch. Attention over the same tokens twice is the same as once, so each result is as if it were alone:
/// what ComfyUI does, and the webui by two calls.
void repeat_to_equal_length(Tensor& a, Tensor& b);

}  // namespace cutaway
