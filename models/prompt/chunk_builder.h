// Fills chunks of a prompt token by token.   Doc: docs/prompts.md
#pragma once

#include <cstdint>
#include <vector>

#include "models/prompt/weighting.h"

namespace cutaway {

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
