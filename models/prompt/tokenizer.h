// "Tokenizer" in the picture: from the prompt's text to the numbers that CLIP reads.   Doc: docs/tokenizer.md
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace cutaway {

/// A text as the text encoder takes it.
struct Tokens {
  std::vector<int64_t> ids;  // as many as the context is long
  int64_t used = 0;          // tokens before the padding, with start and end
  std::string dropped;  // the cleaned text from the first word on that did not fit whole; empty when all fit
};

/// CLIP's byte pair encoding (Radford et al. 2021; Sennrich et al. 2016). Nothing changes after loading, so
/// any number of threads may encode at the same time.
class Tokenizer {
 public:
  /// Reads vocab.json, merges.txt and, where they are, tokenizer_config.json and special_tokens_map.json.
  /// Throws Error when a file is missing or broken, or the files do not belong together.
  static Tokenizer load(const std::string& folder);

  /// The text's tokens without start and end, however many.
  std::vector<int64_t> encode(const std::string& text) const;
  /// Start, the tokens that fit, end, padding: exactly context_length() ids.
  Tokens encode_padded(const std::string& text) const;

  /// How the vocabulary writes a token: one letter for each byte, "</w>" at the end of a word. Throws Error
  /// when there is no such id.
  std::string token(int64_t id) const;

  int64_t start_id() const { return start_id_; }
  int64_t end_id() const { return end_id_; }
  int64_t pad_id() const { return pad_id_; }
  int64_t context_length() const { return context_length_; }
  int64_t vocabulary_size() const { return static_cast<int64_t>(tokens_.size()); }

 private:
  struct Merge {
    int64_t rank;    // its line in merges.txt: lower goes first
    int64_t result;  // the id of the joined token
  };

  Tokenizer() = default;
  void read_vocabulary(const std::string& path);
  void read_merges(const std::string& path);
  void read_settings(const std::string& folder);
  int64_t find(const std::string& token, const std::string& path) const;

  const Merge* find_merge(int64_t left, int64_t right) const;
  std::vector<int64_t> merge(const std::vector<int64_t>& symbols) const;
  std::vector<int64_t> encode_word(std::u32string_view word) const;

  std::vector<std::string> tokens_;               // by id
  std::unordered_map<std::string, int64_t> ids_;  // by token
  std::unordered_map<uint64_t, Merge> merges_;    // by both ids, the left one in the upper half
  std::array<int64_t, 256> byte_ids_{};           // the token of each byte inside a word
  std::array<int64_t, 256> last_byte_ids_{};      // and at its end
  int64_t start_id_ = 0, end_id_ = 0, pad_id_ = 0;
  int64_t context_length_ = 77;
};

}  // namespace cutaway
