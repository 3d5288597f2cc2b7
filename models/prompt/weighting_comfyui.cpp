// ComfyUI's way with a prompt (comfy/sd1_clip.py), which differs from the webui's in every respect: the
// brackets, what a number in them means, and what a chunk holds.   Doc: docs/compat.md#weights
#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "models/prompt/weighting.h"
#include "tensor/error.h"

namespace cutaway {
namespace {

constexpr float bracket = 1.1F;
constexpr int deepest = 1000;                                  // brackets within each other
constexpr char escaped_open = '\x01', escaped_close = '\x02';  // \( and \) while brackets are looked for

std::string hide_escaped(const std::string& text) {
  std::string hidden;
  for (size_t i = 0; i < text.size(); ++i) {
    const char next = i + 1 < text.size() ? text[i + 1] : '\0';
    const bool escaped = text[i] == '\\' && (next == '(' || next == ')');
    hidden += !escaped ? text[i] : next == '(' ? escaped_open : escaped_close;
    if (escaped) ++i;
  }
  return hidden;
}

std::string show_escaped(std::string text) {
  std::replace(text.begin(), text.end(), escaped_open, '(');
  std::replace(text.begin(), text.end(), escaped_close, ')');
  return text;
}

// "a (b (c)) d" is cut into "a ", "(b (c))", " d". A bracket too many keeps what follows from being cut.
std::vector<std::string> outermost(const std::string& text) {
  std::vector<std::string> parts;
  std::string part;
  int level = 0;
  const auto end_part = [&] {
    if (!part.empty()) parts.push_back(part);
    part.clear();
  };
  for (const char c : text) {
    if (c == '(' && level++ == 0) end_part();
    part += c;
    if (c == ')' && --level == 0) end_part();
  }
  end_part();
  return parts;
}

std::optional<float> number_in(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  if (text.starts_with('+')) text.remove_prefix(1);
  float number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(number)) return {};
  return number;
}

void add_parts(const std::string& text, float weight, int depth, std::vector<WeightedText>& texts) {
  if (depth > deepest)
    throw Error("the prompt has more than " + std::to_string(deepest) + " brackets within each other");
  for (const std::string& part : outermost(text)) {
    if (part.size() < 2 || part.front() != '(' || part.back() != ')') {
      texts.push_back({.text = show_escaped(part), .weight = weight});
      continue;
    }
    std::string inside = part.substr(1, part.size() - 2);
    float own = weight * bracket;
    if (const size_t colon = inside.rfind(':'); colon != std::string::npos && colon > 0) {
      if (const std::optional<float> number = number_in(std::string_view(inside).substr(colon + 1))) {
        own = *number;
        inside.resize(colon);
      }
    }
    add_parts(inside, own, depth + 1, texts);
  }
}

// A word's tokens go into one chunk where it can hold them.
void add_word(ChunkBuilder& chunks, const std::vector<int64_t>& ids, float weight) {
  constexpr size_t longest_whole = 7;
  size_t at = 0;
  while (ids.size() - at > static_cast<size_t>(chunks.room())) {
    if (ids.size() - at > longest_whole || chunks.used() == 0) {
      while (chunks.room() > 0) chunks.add(ids[at++], weight);
    }
    chunks.end_chunk();
  }
  for (; at < ids.size(); ++at) chunks.add(ids[at], weight);
}

}  // namespace

std::vector<WeightedText> parse_weights_of_comfyui(const std::string& prompt) {
  std::vector<WeightedText> texts;
  add_parts(hide_escaped(prompt), 1, 0, texts);
  if (texts.empty()) texts.push_back({});
  return texts;
}

std::vector<PromptChunk> chunks_of_words(const Tokenizer& tokenizer, const std::vector<WeightedText>& texts,
                                         const TextualInversions& textual_inversions) {
  ChunkBuilder chunks(tokenizer);
  for (const WeightedText& text : texts) {
    for (const PromptPiece& piece : textual_inversions.pieces_of(text.text)) {
      if (!piece.new_ids.empty()) {
        add_word(chunks, piece.new_ids, text.weight);
        continue;
      }
      for (size_t begin = 0; begin < piece.text.size();) {
        const size_t end = std::min(piece.text.find_first_of(" \n", begin), piece.text.size());
        if (end > begin)
          add_word(chunks, tokenizer.encode(piece.text.substr(begin, end - begin)), text.weight);
        begin = end + 1;
      }
    }
  }
  return chunks.finish();
}

}  // namespace cutaway
