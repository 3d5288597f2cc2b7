#include "models/prompt/weighting.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "tensor/error.h"

namespace cutaway {
namespace {

constexpr float round_bracket = 1.1F, square_bracket = 1 / 1.1F;
constexpr size_t deepest = 1000;        // brackets within each other: all of them change what is inside
constexpr int64_t furthest_comma = 20;  // tokens back from the end of a full chunk

// Takes a prompt apart letter by letter.
class WeightParser {
 public:
  explicit WeightParser(const std::string& prompt) : prompt_(prompt) {}

  std::vector<WeightedText> parse() {
    while (at_ < prompt_.size()) step();
    for (const size_t begin : round_) multiply(begin, round_bracket);  // never closed: to the end
    for (const size_t begin : square_) multiply(begin, square_bracket);
    return merged();
  }

 private:
  void step() {
    const char c = prompt_[at_];
    if (c == '\\' && at_ + 1 < prompt_.size() &&
        std::string("()[]\\").find(prompt_[at_ + 1]) != std::string::npos) {
      add(std::string(1, prompt_[at_ + 1]));
      at_ += 2;
      return;
    }
    if ((c == '(' || c == '[') && round_.size() + square_.size() == deepest) {
      throw Error("the prompt has more than " + std::to_string(deepest) + " brackets within each other");
    }
    const bool joined = joins_;
    joins_ = false;
    if (c == '(') {
      round_.push_back(pieces_.size());
    } else if (c == '[') {
      square_.push_back(pieces_.size());
    } else if (c == ')' && !round_.empty()) {
      close(round_, round_bracket);
    } else if (c == ']' && !square_.empty()) {
      close(square_, square_bracket);
    } else if (c == ':' && !round_.empty() && close_with_number()) {
      return;
    } else {
      joins_ = joined;
      add_plain();
      return;
    }
    ++at_;
  }

  // ":1.3)" ends a round bracket with a weight of its own.
  bool close_with_number() {
    const char* begin = prompt_.data() + at_ + 1;
    const char* end = prompt_.data() + prompt_.size();
    if (begin != end && *begin == '+') ++begin;
    float weight = 0;
    const auto [stop, error] = std::from_chars(begin, end, weight, std::chars_format::fixed);
    if (error != std::errc() || stop == end || *stop != ')') return false;
    close(round_, weight);
    at_ = static_cast<size_t>(stop - prompt_.data()) + 1;
    return true;
  }

  void close(std::vector<size_t>& brackets, float weight) {
    multiply(brackets.back(), weight);
    brackets.pop_back();
  }

  void multiply(size_t begin, float weight) {
    for (size_t i = begin; i < pieces_.size(); ++i) pieces_[i].weight *= weight;
  }

  void add(const std::string& text) {
    if (joins_) {
      pieces_.back().text += text;
    } else {
      pieces_.push_back({.text = text});
    }
    joins_ = true;
  }

  // Up to the next letter that may mean something; the word BREAK, alone, ends a chunk.
  void add_plain() {
    const size_t next = std::min(prompt_.find_first_of("\\()[]:", at_ + 1), prompt_.size());
    std::string text = prompt_.substr(at_, next - at_);
    at_ = next;
    const auto is_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
    const auto is_space = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
    constexpr size_t length = 5;  // of BREAK
    size_t begin = 0;
    for (size_t from = 0;;) {
      const size_t found = text.find("BREAK", from);
      if (found == std::string::npos) break;
      from = found + length;
      if ((found > begin && is_word(text[found - 1])) || (from < text.size() && is_word(text[from])))
        continue;
      size_t before = found, behind = from;
      while (before > begin && is_space(text[before - 1])) --before;
      while (behind < text.size() && is_space(text[behind])) ++behind;
      if (before > begin) add(text.substr(begin, before - begin));
      pieces_.push_back({.text = "BREAK", .is_break = true});
      joins_ = false;
      begin = from = behind;
    }
    if (begin < text.size()) add(text.substr(begin));
  }

  std::vector<WeightedText> merged() const {
    std::vector<WeightedText> texts;
    for (const WeightedText& piece : pieces_) {
      const bool joins =
          !texts.empty() && !piece.is_break && !texts.back().is_break && texts.back().weight == piece.weight;
      if (joins) {
        texts.back().text += piece.text;
      } else {
        texts.push_back(piece);
      }
    }
    if (texts.empty()) texts.push_back({});
    return texts;
  }

  const std::string& prompt_;
  size_t at_ = 0;
  bool joins_ = false;  // no bracket and no BREAK since the last piece
  std::vector<WeightedText> pieces_;
  std::vector<size_t> round_, square_;  // where each open bracket's pieces begin
};

// The webui's rule of what belongs together: a chunk that is full ends
// after its last comma, where that is near.
class CommaChunks {
 public:
  explicit CommaChunks(const Tokenizer& tokenizer) : chunks_(tokenizer) {
    const std::vector<int64_t> comma = tokenizer.encode(",");
    if (comma.size() == 1) comma_ = comma.front();
  }

  void add(int64_t id, float weight) {
    const int64_t count = chunks_.used();
    if (comma_ && id == *comma_) {
      comma_at_ = count;
    } else if (chunks_.room() == 0 && comma_at_ >= 0 && count - comma_at_ <= furthest_comma) {
      chunks_.end_chunk_after(comma_at_ + 1);
      comma_at_ = -1;
    }
    if (chunks_.room() == 0) end_chunk();
    chunks_.add(id, weight);
  }

  // The vectors of a new word stay together, where a chunk can hold them.
  void add_word(const std::vector<int64_t>& ids, float weight) {
    if (static_cast<int64_t>(ids.size()) > chunks_.room()) end_chunk();
    for (const int64_t id : ids) {
      if (chunks_.room() == 0) end_chunk();
      chunks_.add(id, weight);
    }
  }

  void end_chunk() {
    chunks_.end_chunk();
    comma_at_ = -1;
  }
  std::vector<PromptChunk> finish() { return chunks_.finish(); }

 private:
  ChunkBuilder chunks_;
  std::optional<int64_t> comma_;
  int64_t comma_at_ = -1;
};

}  // namespace

std::vector<WeightedText> parse_weights(const std::string& prompt) { return WeightParser(prompt).parse(); }

std::vector<PromptChunk> chunks_of(const Tokenizer& tokenizer, const std::vector<WeightedText>& texts,
                                   const TextualInversions& textual_inversions) {
  CommaChunks chunks(tokenizer);
  for (const WeightedText& text : texts) {
    if (text.is_break) {
      chunks.end_chunk();
      continue;
    }
    for (const PromptPiece& piece : textual_inversions.pieces_of(text.text)) {
      if (!piece.new_ids.empty()) {
        chunks.add_word(piece.new_ids, text.weight);
        continue;
      }
      for (const int64_t id : tokenizer.encode(piece.text)) chunks.add(id, text.weight);
    }
  }
  return chunks.finish();
}

// ---- Chunks, by either rule

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
