// Prompts with weights: (cat:1.3), [dog], BREAK, and more words than the text encoder takes at once.
// Doc: docs/prompts.md
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/overlays/textual_inversion.h"
#include "models/prompt/tokenizer.h"

namespace cutaway {

/// What brackets in a prompt mean, and what becomes of the weights (models/prompt/encode_prompt.h).
enum class PromptWeights { none, webui, comfyui };

/// A piece of a prompt and how much attention it should get;
/// `is_break` is the word BREAK, which ends a chunk.
struct WeightedText {
  std::string text;
  float weight = 1;
  bool is_break = false;
};

/// The rule of AUTOMATIC1111's webui: (word) is 1.1 times as much, [word] 1 / 1.1, (word:1.3) 1.3; nested
/// brackets multiply, \( \) \[ \] are the letters, a bracket that is never closed reaches to the end.
/// Throws Error when more than 1000 brackets stand within each other.
std::vector<WeightedText> parse_weights(const std::string& prompt);

/// ComfyUI's rule: (word) is 1.1 times as much, (word:1.3) is 1.3 whatever is around it; square brackets,
/// BREAK and a bracket that is never closed are letters; \( and \) are the letters.
std::vector<WeightedText> parse_weights_of_comfyui(const std::string& prompt);

/// As many tokens as the text encoder takes at once: start, tokens, end, padding.
struct PromptChunk {
  std::vector<int64_t> ids;
  std::vector<float> weights;  // of each token; 1 for start, end and padding
  int64_t used = 0;            // tokens before the end token, without start
};

/// Cuts a prompt into chunks, always at least one. By the webui's rule a chunk that is full ends after its
/// last comma, where that is at most 20 tokens back, so that what belongs together stays together.
/// The ids of `textual_inversions` lie behind the vocabulary.
std::vector<PromptChunk> chunks_of(const Tokenizer& tokenizer, const std::vector<WeightedText>& texts,
                                   const TextualInversions& textual_inversions = {});

/// By ComfyUI's rule: each word, between spaces, is encoded alone, and goes into the next chunk when this one
/// cannot hold all of its tokens; only a word of 8 tokens and more is cut.
std::vector<PromptChunk> chunks_of_words(const Tokenizer& tokenizer, const std::vector<WeightedText>& texts,
                                         const TextualInversions& textual_inversions = {});

/// What both rules do: fills chunks token by token.
class ChunkBuilder {
 public:
  explicit ChunkBuilder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  /// Tokens in the chunk so far, and how many more it takes.
  int64_t used() const { return static_cast<int64_t>(ids_.size()); }
  int64_t room() const { return tokenizer_.context_length() - 2 - used(); }
  /// There must be room.
  void add(int64_t id, float weight);
  void end_chunk() { end_chunk_after(used()); }
  /// The first `count` tokens make the chunk, the others begin the next.
  void end_chunk_after(int64_t count);
  /// All chunks, at least one.
  std::vector<PromptChunk> finish();

 private:
  const Tokenizer& tokenizer_;
  std::vector<int64_t> ids_;
  std::vector<float> weights_;
  std::vector<PromptChunk> chunks_;
};

}  // namespace cutaway
