#include "models/prompt/chunk_builder.h"

#include <algorithm>

namespace cutaway {

void ChunkBuilder::add(int64_t id, float weight) {
  ids_.push_back(id);
  weights_.push_back(weight);
}

void ChunkBuilder::end_chunk_after(int64_t count) {
  PromptChunk chunk;
  chunk.used = count;
  chunk.ids.push_back(tokenizer_.start_id());
  chunk.ids.insert(chunk.ids.end(), ids_.begin(), ids_.begin() + count);
  chunk.ids.push_back(tokenizer_.end_id());
  chunk.ids.resize(static_cast<size_t>(tokenizer_.context_length()), tokenizer_.pad_id());
  chunk.weights.assign(chunk.ids.size(), 1);
  std::copy(weights_.begin(), weights_.begin() + count, chunk.weights.begin() + 1);
  chunks_.push_back(std::move(chunk));
  ids_.erase(ids_.begin(), ids_.begin() + count);
  weights_.erase(weights_.begin(), weights_.begin() + count);
}

std::vector<PromptChunk> ChunkBuilder::finish() {
  if (!ids_.empty() || chunks_.empty()) end_chunk();
  return std::move(chunks_);
}

}  // namespace cutaway
