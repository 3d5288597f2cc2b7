#include "models/prompt/encode_prompt.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tensor/error.h"
#include "tensor/memory.h"
#include "tensor/ops.h"

namespace cutaway {
namespace {

// The vocabulary writes bytes as letters; for plain English these are the letters.
std::string as_text(const Tokenizer& tokenizer, int64_t id) {
  std::string text = tokenizer.token(id);
  constexpr std::string_view end_of_word = "</w>";
  if (text.ends_with(end_of_word)) text.replace(text.size() - end_of_word.size(), end_of_word.size(), " ");
  return text;
}

// The one chunk of a prompt without weights, and what did not fit into it.
struct PlainChunk {
  PromptChunk chunk;
  std::string dropped;
};

PlainChunk plain_chunk(const Tokenizer& tokenizer, const TextualInversions& textual_inversions,
                       const std::string& prompt) {
  const std::vector<PromptPiece> pieces = textual_inversions.pieces_of(prompt);
  if (pieces.size() == 1 && pieces.front().new_ids.empty()) {
    const Tokens tokens = tokenizer.encode_padded(prompt);
    return {{tokens.ids, std::vector<float>(tokens.ids.size(), 1), tokens.used - 2}, tokens.dropped};
  }
  std::vector<int64_t> ids;
  std::string dropped;
  const auto room = static_cast<size_t>(tokenizer.context_length() - 2);
  for (const PromptPiece& piece : pieces) {
    const bool is_word = !piece.new_ids.empty();
    bool told = false;
    for (const int64_t id : is_word ? piece.new_ids : tokenizer.encode(piece.text)) {
      if (ids.size() < room) {
        ids.push_back(id);
      } else if (!is_word || !told) {
        dropped += is_word ? piece.text + " " : as_text(tokenizer, id);
        told = true;
      }
    }
  }
  PromptChunk chunk;
  chunk.used = static_cast<int64_t>(ids.size());
  chunk.ids.push_back(tokenizer.start_id());
  chunk.ids.insert(chunk.ids.end(), ids.begin(), ids.end());
  chunk.ids.push_back(tokenizer.end_id());
  chunk.ids.resize(room + 2, tokenizer.pad_id());
  chunk.weights.assign(chunk.ids.size(), 1);
  return {chunk, dropped};
}

std::vector<PromptChunk> chunks_by(PromptWeights rule, const Tokenizer& tokenizer,
                                   const TextualInversions& textual_inversions, const std::string& prompt,
                                   const std::function<void(const std::string&)>& warning) {
  if (rule == PromptWeights::webui) return chunks_of(tokenizer, parse_weights(prompt), textual_inversions);
  if (rule == PromptWeights::comfyui)
    return chunks_of_words(tokenizer, parse_weights_of_comfyui(prompt), textual_inversions);
  const PlainChunk plain = plain_chunk(tokenizer, textual_inversions, prompt);
  if (!plain.dropped.empty() && warning) {
    warning("the prompt is longer than the " + std::to_string(tokenizer.context_length() - 2) +
            " tokens that the text encoder takes; these words are left out: " + plain.dropped);
  }
  return {plain.chunk};
}

bool has_weights(const std::vector<PromptChunk>& chunks) {
  return std::any_of(chunks.begin(), chunks.end(), [](const PromptChunk& chunk) {
    return std::any_of(chunk.weights.begin(), chunk.weights.end(), [](float w) { return w != 1; });
  });
}

// The weight of each token, as wide as the tokens: [chunks, T, width].
Tensor wide_weights(const Shape& shape, const std::vector<PromptChunk>& chunks) {
  Tensor wide(shape);
  float* out = wide.mutable_data();
  for (const PromptChunk& chunk : chunks) {
    for (const float weight : chunk.weights) out = std::fill_n(out, shape[2], weight);
  }
  return wide;
}

double mean(const Tensor& x) {
  double sum = 0;
  for (const float value : x.values()) sum += value;
  return sum / static_cast<double>(x.count());
}

// ---- Weights

// z: [chunks, T, width], weights: one for each token of each chunk.
//
// The webui's rule ("Original" emphasis): each token times its weight, then each chunk gets its mean back.
//   y = w z,   y mean(z) / mean(y)
Tensor weighted_by_mean(const Tensor& z, const std::vector<PromptChunk>& chunks) {
  const Tensor y = mul(z, wide_weights(z.shape(), chunks));
  std::vector<Tensor> restored;
  for (int64_t i = 0; i < z.shape()[0]; ++i) {
    const Tensor before = slice(z, 0, i, i + 1), after = slice(y, 0, i, i + 1);
    const double ratio = mean(before) / mean(after);
    if (!std::isfinite(ratio) && !in_dry_run()) {
      throw Error(
          "the weights of the prompt leave nothing of it: its mean becomes 0, from which the webui's rule "
          "cannot restore it; weights of 0.5 to 1.5 are usual");
    }
    restored.push_back(ratio == 1 ? after : scale(after, static_cast<float>(ratio)));
  }
  return concat(restored, 0);
}

// ComfyUI's rule: from the empty prompt's token at the same place to
// this one and beyond. empty: [1, T, width]
//   y = empty + w (z - empty)
Tensor weighted_from_empty(const Tensor& z, const Tensor& empty, const std::vector<PromptChunk>& chunks) {
  const Tensor origin = concat(std::vector<Tensor>(chunks.size(), empty), 0);
  const Tensor moved = add(origin, mul(sub(z, origin), wide_weights(z.shape(), chunks)));
  // Tokens of weight 1 stay as they are, to the last bit.
  Tensor y(z.shape(), moved.values());
  const int64_t width = z.shape()[2];
  int64_t token = 0;
  for (const PromptChunk& chunk : chunks) {
    for (const float weight : chunk.weights) {
      if (weight == 1) std::copy_n(z.data() + token * width, width, y.mutable_data() + token * width);
      ++token;
    }
  }
  return y;
}

}  // namespace

Tensor prompt_context(const Tokenizer& tokenizer, const CLIPTextModel& text_encoder,
                      const TextualInversions& textual_inversions, const std::string& prompt,
                      const PromptRules& rules, const std::function<void(const std::string&)>& warning) {
  const std::vector<PromptChunk> chunks =
      chunks_by(rules.weights, tokenizer, textual_inversions, prompt, warning);
  const bool from_empty = rules.weights == PromptWeights::comfyui && has_weights(chunks);
  const auto count = static_cast<int64_t>(chunks.size());
  TokenIds ids{count + (from_empty ? 1 : 0), tokenizer.context_length(), {}};
  for (const PromptChunk& chunk : chunks) ids.ids.insert(ids.ids.end(), chunk.ids.begin(), chunk.ids.end());
  if (from_empty) {
    const std::vector<int64_t> empty = tokenizer.encode_padded("").ids;
    ids.ids.insert(ids.ids.end(), empty.begin(), empty.end());
  }

  Tensor z = text_encoder(ids, rules.clip_skip, textual_inversions.rows());  // [chunks, T, width]
  if (from_empty) {
    z = weighted_from_empty(slice(z, 0, 0, count), slice(z, 0, count, count + 1), chunks);
  } else if (rules.weights == PromptWeights::webui && has_weights(chunks)) {
    z = weighted_by_mean(z, chunks);
  }
  return z.reshaped({1, count * z.shape()[1], z.shape()[2]});  // the chunks one after another
}

void repeat_to_equal_length(Tensor& a, Tensor& b) {
  const int64_t length = std::lcm(a.shape()[1], b.shape()[1]);
  for (Tensor* context : {&a, &b}) {
    const auto times = static_cast<size_t>(length / context->shape()[1]);
    if (times > 1) *context = concat(std::vector<Tensor>(times, *context), 1);
  }
}

}  // namespace cutaway
