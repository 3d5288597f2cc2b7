#include "models/prompt/known_words.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <tuple>

#include "tensor/error.h"
#include "tensor/files/text.h"

namespace cutaway {
namespace {

namespace fs = std::filesystem;

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || static_cast<unsigned char>(c) >= 0x80; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// In small letters. What has no letter in it, such as the weight in "(cat:1.3)", is no word, nor is BREAK.
std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  std::string word, small;
  for (const char c : text + " ") {
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if (is_letter(lower) || is_digit(lower)) {
      word += c;
      small += lower;
      continue;
    }
    if (word != "BREAK" && std::any_of(small.begin(), small.end(), is_letter)) words.push_back(small);
    word.clear();
    small.clear();
  }
  return words;
}

// At most three, the nearest by spelling, those with the same beginning first; none that differs in more than
// half of its letters.
std::vector<std::string> nearest(const std::string& word, const std::vector<std::string>& known) {
  struct Near {
    size_t distance, different_end;
    const std::string* word;
    auto rank() const { return std::tie(distance, different_end, *word); }
  };
  std::vector<Near> near;
  for (const std::string& candidate : known) {
    const size_t distance = edit_distance(word, candidate);
    if (2 * distance > std::max(word.size(), candidate.size())) continue;
    const auto end = std::mismatch(word.begin(), word.end(), candidate.begin(), candidate.end()).first;
    near.push_back({distance, static_cast<size_t>(word.end() - end), &candidate});
  }
  std::sort(near.begin(), near.end(), [](const Near& a, const Near& b) { return a.rank() < b.rank(); });
  std::vector<std::string> words;
  for (size_t i = 0; i < std::min<size_t>(near.size(), 3); ++i) words.push_back(*near[i].word);
  return words;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

}  // namespace

KnownWords KnownWords::read(const std::string& folder) {
  KnownWords known;
  const std::string path = (fs::path(folder) / "words.txt").string();
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return known;
  std::ifstream file(path, std::ios::binary);
  if (!file || fs::file_size(path, ignored) > (1U << 20))
    throw Error("cannot read " + path + ", the list of a model's words: it should be at most 1 MiB of text");
  known.path = path;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    for (std::string& word : words_of(line)) known.words.push_back(std::move(word));
  }
  std::sort(known.words.begin(), known.words.end());
  known.words.erase(std::unique(known.words.begin(), known.words.end()), known.words.end());
  return known;
}

std::string KnownWords::warning(const std::string& text) const {
  if (path.empty()) return "";
  std::string told;
  std::vector<std::string> unknown;
  for (const std::string& word : words_of(text)) {
    if (std::binary_search(words.begin(), words.end(), word)) continue;
    if (std::find(unknown.begin(), unknown.end(), word) != unknown.end()) continue;
    unknown.push_back(word);
    const std::string near = joined(nearest(word, words));
    told += (told.empty() ? "" : "; ") + in_quotes(word);
    if (!near.empty()) told += " (near it are: " + near + ")";
    if (unknown.size() == 5) break;  // enough to see that this model is not the one for the prompt
  }
  return told.empty() ? "" : "the model does not know " + told + "; all that it knows: " + path;
}

}  // namespace cutaway
