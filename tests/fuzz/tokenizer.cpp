// The files of a tokenizer; the first letter says which one is replaced. The others are right.
#include "models/prompt/tokenizer.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "models/prompt/cleaning.h"
#include "tensor/error.h"
#include "tests/fuzz/fuzz.h"

using namespace cutaway;

namespace {

// The letters of GPT-2 for the 256 bytes, inside a word and at its end, two merges, start and end.
std::string vocabulary() {
  nlohmann::json ids = nlohmann::json::object();
  const auto add = [&](const std::string& token) { ids[token] = ids.size(); };
  for (const char* end : {"", "</w>"}) {
    char32_t next = 0x100;
    for (char32_t byte = 0; byte < 256; ++byte) {
      const bool printed = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
      const char32_t letter = printed ? byte : next++;
      add(encode_utf8({&letter, 1}) + end);
    }
  }
  for (const char* token : {"ca", "cat</w>", "<|startoftext|>", "<|endoftext|>"}) add(token);
  return ids.dump();
}

struct File {
  const char* name;
  std::string good;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const File files[] = {{"vocab.json", vocabulary()},
                               {"merges.txt", "#version: 0.2\nc a\nca t</w>\n"},
                               {"tokenizer_config.json", R"({"model_max_length": 77})"},
                               {"special_tokens_map.json", R"({"pad_token": "!"})"}};
  static const fuzz::Folder folder;
  static const bool filled = [] {
    for (const File& file : files) folder.put(file.name, file.good);
    return true;
  }();
  if (size == 0 || !filled) return 0;
  const File& replaced = files[data[0] % std::size(files)];
  folder.put(replaced.name, fuzz::text_of(data + 1, size - 1));
  try {
    const Tokenizer tokenizer = Tokenizer::load(folder.path());
    const Tokens tokens = tokenizer.encode_padded("a cat, caca t\xC3\xA9");
    if (static_cast<int64_t>(tokens.ids.size()) != tokenizer.context_length()) fuzz::fail("not padded");
    for (const int64_t id : tokens.ids) (void)tokenizer.token(id);
  } catch (const Error& error) {
    fuzz::check_refusal(error.what(), folder.path());
  }
  folder.put(replaced.name, replaced.good);
  return 0;
}
