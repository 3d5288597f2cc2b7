// models/overlays/: what is added to a finished model: one file each.
//
// Textual inversion (Gal et al. 2022, arXiv 2208.01618): words that the text encoder was not trained with,
// each with one or more rows of its own.   Doc: docs/prompts.md#textual-inversion
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace cutaway {

/// A word with rows of its own in the text encoder's table of tokens.
struct TextualInversion {
  std::string name;
  Tensor vectors;       // [n, width of the text encoder]
  std::string problem;  // why it cannot be used, where it cannot
};

/// A stretch of a prompt: ordinary text, or a new word.
struct PromptPiece {
  std::string text;
  std::vector<int64_t> new_ids = {};  // one for each vector; empty for text
};

/// The new words of a run. Their vectors get ids behind the vocabulary, in the order of adding.
class TextualInversions {
 public:
  TextualInversions() = default;
  explicit TextualInversions(int64_t first_id) : next_id_(first_id) {}

  /// Throws Error when there is a word of that name already.
  void add(TextualInversion word);
  bool empty() const { return words_.empty(); }
  std::vector<std::string> names() const;
  /// All vectors, [count, width]: row i belongs to id first_id + i. Empty without words.
  Tensor rows() const;

  /// Cuts a text at its new words, large and small letters alike, the longest name first. A name that begins
  /// or ends with a letter or digit is found as a whole word only; "embedding:" before it, as ComfyUI writes,
  /// belongs to it. Throws Error for a word with a problem.
  std::vector<PromptPiece> pieces_of(const std::string& text) const;

 private:
  struct Placed {
    TextualInversion word;
    std::vector<int64_t> ids;
  };
  struct Match {
    const Placed* word = nullptr;
    size_t begin = 0, length = 0;
  };
  Match first_in(const std::string& text, size_t from) const;

  int64_t next_id_ = 0;
  std::vector<Placed> words_;
};

/// Reads FILE, FILE:name, or every .safetensors, .pt and .bin file of a folder: what the webui trains
/// (string_to_param), what diffusers trains ({"<word>": vectors}) and emb_params. Without a name it is the
/// word in the file, when that is written <like this>, else the file's name without ending. `width` is the
/// text encoder's. A file of another width is refused when it is named, and in a folder once its word is
/// used. Throws Error when a file cannot be read or is no textual inversion.
std::vector<TextualInversion> read_textual_inversions(const std::string& path_and_name, int64_t width);

}  // namespace cutaway
