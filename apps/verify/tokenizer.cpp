// The case of the tokenizer: the ids of recorded prompts. The vocabulary is CLIP's, in clip/ beside the
// manifest; it is third-party data, so a folder of references may come without it.
#include <filesystem>

#include "apps/verify/cases.h"
#include "models/prompt/tokenizer.h"
#include "tensor/error.h"
#include "tensor/files/json.h"
#include "tensor/files/text.h"

namespace cutaway::verify {

Comparisons run_tokenizer(const Case& the_case) {
  const std::string vocabulary = the_case.manifest->path_of("clip");
  std::error_code ignored;
  if (!std::filesystem::exists(vocabulary + "/vocab.json", ignored)) {
    throw NotBuilt("CLIP's vocabulary is not here; put its vocab.json and merges.txt into " + vocabulary);
  }
  const Tokenizer tokenizer = Tokenizer::load(vocabulary);
  const Params file(read_json_file(the_case.path()), the_case.path());
  const nlohmann::json& prompts = file.values().at("prompts");
  if (!prompts.is_array()) file.refuse("prompts", "must be a list");

  Comparisons comparisons{compare_exactly(
      "sot, eot, context_length, vocab_size",
      {tokenizer.start_id(), tokenizer.end_id(), tokenizer.context_length(), tokenizer.vocabulary_size()},
      {file.integer("sot", 0), file.integer("eot", 0), file.integer("context_length", 0),
       file.integer("vocab_size", 0)})};
  for (const nlohmann::json& item : prompts) {
    const Params prompt(item, the_case.path());
    const std::string text = prompt.text("text");
    comparisons.push_back(
        compare_exactly("ids of " + in_quotes(text), tokenizer.encode(text), prompt.integers("ids")));
    comparisons.push_back(compare_exactly("padded ids of " + in_quotes(text),
                                          tokenizer.encode_padded(text).ids, prompt.integers("padded77")));
  }
  return comparisons;
}

}  // namespace cutaway::verify
