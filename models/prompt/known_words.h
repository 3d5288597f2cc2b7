// The words that a model was trained with, where its folder tells them: a small model knows few, and draws
// any other as a blob.   Doc: docs/prompts.md#words-that-the-model-does-not-know
#pragma once

#include <string>
#include <vector>

namespace cutaway {

/// The words that a small model was trained with, where its folder has a list of them.
struct KnownWords {
  std::string path;                // of the list; "" where the model has none, and every word counts as known
  std::vector<std::string> words;  // small letters, sorted, each once

  /// Reads words.txt of a model folder, if there is one: any text, in which a line that begins with # is a
  /// remark. Throws Error when it cannot be read or is larger than 1 MiB.
  static KnownWords read(const std::string& folder);

  /// "the model does not know 'wizard'; ...", with the nearest words that it knows; "" when all are known.
  std::string warning(const std::string& text) const;
};

}  // namespace cutaway
