#include "models/prompt/tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <queue>

#include "models/prompt/cleaning.h"
#include "tensor/error.h"
#include "tensor/files/json.h"
#include "tensor/files/mapped_file.h"
#include "tensor/files/text.h"

namespace cutaway {
namespace {

using nlohmann::json;

constexpr char start_token[] = "<|startoftext|>";
constexpr char end_token[] = "<|endoftext|>";
constexpr char end_of_word[] = "</w>";
constexpr size_t largest_vocabulary = 1 << 17;
constexpr size_t largest_merges_file = 8 << 20;
constexpr int64_t longest_context = 1 << 16;
constexpr char get_both[] = "; copy vocab.json and merges.txt again, both from the same model";

// The letter that stands for each byte in vocab.json, so that no token has a space or a
// control character: the printed characters of Latin-1 stand for themselves, the rest are
// U+0100 and on (from GPT-2, Radford et al. 2019).
std::array<std::string, 256> byte_letters() {
  std::array<std::string, 256> letters;
  char32_t next = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool printed = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    const char32_t letter = printed ? byte : next++;
    letters[byte] = encode_utf8({&letter, 1});
  }
  return letters;
}

// ---- Words: what the regular expression
//   <\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+
// finds

bool is_sign(char32_t c) { return !is_space(c) && !is_letter(c) && !is_number(c); }

// The long s, which is a small letter already, counts as s when case is ignored.
bool begins_with(std::u32string_view text, std::u32string_view pattern) {
  return text.size() >= pattern.size() &&
         std::equal(pattern.begin(), pattern.end(), text.begin(),
                    [](auto p, auto c) { return p == c || (p == U's' && c == U'ſ'); });
}

size_t run_length(std::u32string_view text, bool (*belongs)(char32_t)) {
  return static_cast<size_t>(std::find_if_not(text.begin(), text.end(), belongs) - text.begin());
}

// The length of the word that the text begins with; 0 for a space.
size_t word_length(std::u32string_view text) {
  for (const std::u32string_view whole :
       {U"<|startoftext|>", U"<|endoftext|>", U"'s", U"'t", U"'re", U"'ve", U"'m", U"'ll", U"'d"}) {
    if (begins_with(text, whole)) return whole.size();
  }
  if (is_letter(text[0])) return run_length(text, is_letter);
  if (is_number(text[0])) return 1;
  return run_length(text, is_sign);
}

// Calls visit(start, word) for each word until it returns false.
template <class Visit>
void for_each_word(std::u32string_view text, Visit visit) {
  for (size_t at = 0; at < text.size();) {
    const size_t length = word_length(text.substr(at));
    if (length > 0 && !visit(at, text.substr(at, length))) return;
    at += std::max(length, size_t{1});
  }
}

uint64_t pair_key(int64_t left, int64_t right) {
  return static_cast<uint64_t>(left) << 32 | static_cast<uint64_t>(right);
}

// A token in a settings file: a text, or an object with the text as
// its "content". Empty when it is not there.
std::string token_setting(const json& settings, const char* key, const std::string& path) {
  if (!settings.is_object())
    throw Error("the file " + path + " must be a JSON object with the tokenizer's settings");
  if (!settings.contains(key) || settings.at(key).is_null()) return "";
  const json& value = settings.at(key);
  const json& text = value.is_object() && value.contains("content") ? value.at("content") : value;
  if (!text.is_string()) {
    throw Error("the file " + path + " has " + in_quotes(value.dump()) + " for \"" + key +
                "\", but it must be a token's text");
  }
  return text.get<std::string>();
}

int64_t context_setting(const json& settings, const std::string& path) {
  constexpr int64_t of_clip = 77;
  const char* key = "model_max_length";
  if (!settings.contains(key) || settings.at(key).is_null()) return of_clip;
  const json& value = settings.at(key);
  // Some files have 1e30, which says that nobody has set it.
  if (value.is_number() && value.get<double>() > static_cast<double>(longest_context)) return of_clip;
  if (!value.is_number_integer() || value.get<int64_t>() < 3) {
    throw Error("the file " + path + " has " + in_quotes(value.dump()) + " for \"" + key +
                "\", but it must be a whole number from 3 on: start, one token, end");
  }
  return value.get<int64_t>();
}

}  // namespace

// ---- Loading ----

Tokenizer Tokenizer::load(const std::string& folder) {
  Tokenizer tokenizer;
  tokenizer.read_vocabulary(folder + "/vocab.json");
  tokenizer.read_merges(folder + "/merges.txt");
  tokenizer.read_settings(folder);
  return tokenizer;
}

void Tokenizer::read_vocabulary(const std::string& path) {
  const json vocabulary = read_json_file(path);
  if (!vocabulary.is_object()) {
    throw Error("the file " + path + " must be a JSON object of tokens and their numbers" + get_both);
  }
  if (vocabulary.size() > largest_vocabulary) {
    throw Error("the file " + path + " has " + std::to_string(vocabulary.size()) +
                " tokens, and vocabularies are read up to " + std::to_string(largest_vocabulary));
  }
  const auto size = static_cast<int64_t>(vocabulary.size());
  tokens_.assign(vocabulary.size(), "");
  std::vector<bool> taken(vocabulary.size());
  for (const auto& [token, id] : vocabulary.items()) {
    const bool whole = id.is_number_integer() && !(id.is_number_unsigned() && id.get<uint64_t>() > INT64_MAX);
    if (!whole || id.get<int64_t>() < 0 || id.get<int64_t>() >= size) {
      throw Error("the file " + path + " gives the token " + in_quotes(token) + " the number " +
                  in_quotes(id.dump()) + ", but its " + std::to_string(size) +
                  " tokens must be numbered 0 to " + std::to_string(size - 1) + get_both);
    }
    const auto place = id.get<size_t>();
    if (taken[place]) {
      throw Error("the file " + path + " gives the number " + std::to_string(place) + " to both " +
                  in_quotes(tokens_[place]) + " and " + in_quotes(token) + get_both);
    }
    taken[place] = true;
    tokens_[place] = token;
    ids_[token] = id.get<int64_t>();
  }
  const auto letters = byte_letters();
  for (size_t byte = 0; byte < 256; ++byte) {
    byte_ids_[byte] = find(letters[byte], path);
    last_byte_ids_[byte] = find(letters[byte] + end_of_word, path);
  }
  start_id_ = find(start_token, path);
  end_id_ = find(end_token, path);
}

int64_t Tokenizer::find(const std::string& token, const std::string& path) const {
  const auto known = ids_.find(token);
  if (known == ids_.end()) throw Error("the file " + path + " has no token " + in_quotes(token) + get_both);
  return known->second;
}

void Tokenizer::read_merges(const std::string& path) {
  const auto file = MappedFile::open(path);
  std::string_view text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  if (text.size() > largest_merges_file) {
    throw Error("the file " + path + " has " + std::to_string(text.size()) +
                " bytes, and merges are read up to " + std::to_string(largest_merges_file));
  }
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
  int64_t number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    ++number;
    const auto refuse = [&](const std::string& needed) {
      throw Error("the file " + path + " has " + in_quotes(line) + " in line " + std::to_string(number) +
                  ", but " + needed + get_both);
    };
    if (number == 1) {
      if (line != "#version: 0.2") refuse("the first line must be '#version: 0.2'");
      continue;
    }
    const size_t space = line.find(' ');
    const bool two = space != std::string_view::npos && space > 0 && space + 1 < line.size() &&
                     line.find(' ', space + 1) == std::string_view::npos;
    if (!two) refuse("a merge is two tokens with one space between them");
    const std::string left(line.substr(0, space)), right(line.substr(space + 1));
    for (const std::string& token : {left, right, left + right}) {
      if (ids_.count(token) == 0) refuse("the vocabulary has no token " + in_quotes(token));
    }
    const bool first =
        merges_.emplace(pair_key(ids_[left], ids_[right]), Merge{number, ids_[left + right]}).second;
    if (!first) refuse("an earlier line has the same merge");
  }
  if (number == 0) throw Error("the file " + path + " has only empty lines" + get_both);
}

void Tokenizer::read_settings(const std::string& folder) {
  std::string pad = end_token;
  const std::string config_path = folder + "/tokenizer_config.json";
  if (std::filesystem::exists(config_path)) {
    const json config = read_json_file(config_path);
    const std::string given = token_setting(config, "pad_token", config_path);
    if (!given.empty()) pad_id_ = find(pad = given, config_path);
    context_length_ = context_setting(config, config_path);
  }
  // This file wins, as in transformers.
  const std::string map_path = folder + "/special_tokens_map.json";
  if (std::filesystem::exists(map_path)) {
    const std::string given = token_setting(read_json_file(map_path), "pad_token", map_path);
    if (!given.empty()) pad_id_ = find(pad = given, map_path);
  }
  pad_id_ = ids_.at(pad);
}

// ---- Encoding ----

const Tokenizer::Merge* Tokenizer::find_merge(int64_t left, int64_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

// Byte pair encoding of one word: of all neighbours that can be joined, the pair with the lowest rank is,
// wherever it stands, from left to right; and again, until no pair can be. A queue knows the next pair, for
// words of any length: looking through the whole word for it each time would take minutes for a megabyte.
std::vector<int64_t> Tokenizer::merge(const std::vector<int64_t>& symbols) const {
  constexpr size_t none = SIZE_MAX;
  struct Symbol {
    int64_t id;
    size_t previous, next;
    bool alive;
  };
  std::vector<Symbol> row;
  for (size_t i = 0; i < symbols.size(); ++i) {
    row.push_back({symbols[i], i == 0 ? none : i - 1, i + 1 == symbols.size() ? none : i + 1, true});
  }
  const auto merge_at = [&](size_t left) -> const Merge* {  // of this symbol and the next
    if (left == none || !row[left].alive || row[left].next == none) return nullptr;
    return find_merge(row[left].id, row[row[left].next].id);
  };

  struct Candidate {
    int64_t rank;
    size_t left;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : left > other.left;
    }
  };
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto consider = [&](size_t left) {
    if (const Merge* found = merge_at(left)) queue.push({found->rank, left});
  };
  for (size_t i = 0; i < row.size(); ++i) consider(i);

  std::vector<size_t> joined;
  while (!queue.empty()) {
    const int64_t rank = queue.top().rank;
    joined.clear();
    for (; !queue.empty() && queue.top().rank == rank; queue.pop()) {
      const size_t left = queue.top().left;
      const Merge* found = merge_at(left);
      if (found == nullptr || found->rank != rank)
        continue;  // one of the two has been joined to another meanwhile
      Symbol& gone = row[row[left].next];
      row[left].id = found->result;
      row[left].next = gone.next;
      if (gone.next != none) row[gone.next].previous = left;
      gone.alive = false;
      joined.push_back(left);
    }
    for (const size_t left : joined) {
      consider(row[left].previous);
      consider(left);
    }
  }

  std::vector<int64_t> result;
  for (size_t i = row.empty() ? none : 0; i != none; i = row[i].next) result.push_back(row[i].id);
  return result;
}

std::vector<int64_t> Tokenizer::encode_word(std::u32string_view word) const {
  const std::string bytes = encode_utf8(word);
  if (bytes == start_token) return {start_id_};
  if (bytes == end_token) return {end_id_};
  std::vector<int64_t> symbols;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const auto& ids = i + 1 == bytes.size() ? last_byte_ids_ : byte_ids_;
    symbols.push_back(ids[static_cast<unsigned char>(bytes[i])]);
  }
  return merge(symbols);
}

std::vector<int64_t> Tokenizer::encode(const std::string& text) const {
  std::vector<int64_t> ids;
  for_each_word(clean_prompt(text), [&](size_t, std::u32string_view word) {
    const auto tokens = encode_word(word);
    ids.insert(ids.end(), tokens.begin(), tokens.end());
    return true;
  });
  return ids;
}

Tokens Tokenizer::encode_padded(const std::string& text) const {
  const auto length = static_cast<size_t>(context_length_);
  const std::u32string cleaned = clean_prompt(text);
  Tokens result;
  result.ids.push_back(start_id_);
  for_each_word(cleaned, [&](size_t start, std::u32string_view word) {
    const auto tokens = encode_word(word);
    const size_t room = length - 1 - result.ids.size();
    const bool fits = tokens.size() <= room;
    const auto kept = static_cast<std::ptrdiff_t>(std::min(tokens.size(), room));
    result.ids.insert(result.ids.end(), tokens.begin(), tokens.begin() + kept);
    if (!fits) result.dropped = encode_utf8(std::u32string_view(cleaned).substr(start));
    return fits;
  });
  result.ids.push_back(end_id_);
  result.used = static_cast<int64_t>(result.ids.size());
  result.ids.resize(length, pad_id_);
  return result;
}

std::string Tokenizer::token(int64_t id) const {
  if (id < 0 || id >= vocabulary_size()) {
    throw Error("there is no token " + std::to_string(id) + ": the vocabulary has 0 to " +
                std::to_string(vocabulary_size() - 1));
  }
  return tokens_[static_cast<size_t>(id)];
}

}  // namespace cutaway
