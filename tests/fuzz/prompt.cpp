// A prompt: weights, cleaning, tokens, chunks.
#include "models/prompt/weighting.h"

#include <cmath>

#include "models/prompt/cleaning.h"
#include "tensor/files/text.h"
#include "tests/fuzz/fuzz.h"

using namespace cutaway;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Tokenizer tokenizer = Tokenizer::load(CUTAWAY_SOURCE_DIR "/weights/demo/tokenizer");
  const std::string prompt(fuzz::text_of(data, size));
  if (!is_utf8(encode_utf8(clean_prompt(prompt)))) fuzz::fail("cleaned text is not UTF-8");
  for (const PromptChunk& chunk : chunks_of(tokenizer, parse_weights(prompt))) {
    const auto length = static_cast<size_t>(tokenizer.context_length());
    if (chunk.ids.size() != length || chunk.weights.size() != length) fuzz::fail("a chunk of another length");
    for (const int64_t id : chunk.ids) (void)tokenizer.token(id);
  }
  if (chunks_of(tokenizer, {{.text = prompt}}).empty()) fuzz::fail("no chunk");
  return 0;
}
