// `cutaway tokenize`: a prompt as the text encoder reads it.   Doc: docs/prompts.md
#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/commands/commands.h"
#include "apps/options/picture_options.h"
#include "models/prompt/weighting.h"
#include "tensor/error.h"

namespace cutaway {
namespace {

struct TokenizeArguments {
  std::string text, tokenizer, as = "table";
  bool text_given = false, plain = false;
};

std::string read_all_input() {
  constexpr size_t most = size_t{1} << 20;
  std::string text{std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
  if (text.size() > most) throw Error("the text from the input is larger than 1 MiB, too long for a prompt");
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

std::vector<int64_t> ids_without_ends(const Tokenizer& tokenizer, const std::vector<WeightedText>& texts) {
  std::vector<int64_t> ids;
  for (const WeightedText& text : texts) {
    if (text.is_break) continue;
    const std::vector<int64_t> more = tokenizer.encode(text.text);
    ids.insert(ids.end(), more.begin(), more.end());
  }
  return ids;
}

void print_json(const Tokenizer& tokenizer, const std::vector<int64_t>& ids,
                const std::vector<PromptChunk>& chunks) {
  nlohmann::ordered_json all{{"ids", ids},
                             {"tokens", nlohmann::json::array()},
                             {"chunks", nlohmann::json::array()},
                             {"weights", nlohmann::json::array()}};
  for (const int64_t id : ids) all["tokens"].push_back(tokenizer.token(id));
  for (const PromptChunk& chunk : chunks) {
    all["chunks"].push_back(chunk.ids);
    all["weights"].push_back(chunk.weights);
  }
  std::printf("%s\n", all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

void print_table(const Tokenizer& tokenizer, const std::vector<PromptChunk>& chunks) {
  for (size_t c = 0; c < chunks.size(); ++c) {
    const PromptChunk& chunk = chunks[c];
    std::printf("chunk %zu: %lld of %lld tokens\n", c + 1, static_cast<long long>(chunk.used),
                static_cast<long long>(tokenizer.context_length() - 2));
    for (int64_t i = 0; i <= chunk.used + 1; ++i) {
      const auto at = static_cast<size_t>(i);
      std::printf("  %3lld  %6lld  %s", static_cast<long long>(i), static_cast<long long>(chunk.ids[at]),
                  tokenizer.token(chunk.ids[at]).c_str());
      if (chunk.weights[at] != 1) std::printf("  x %s", shown(chunk.weights[at]).c_str());
      std::printf("\n");
    }
    const int64_t padding = tokenizer.context_length() - chunk.used - 2;
    if (padding > 0)
      std::printf("  then %lld times %lld to fill up\n", static_cast<long long>(padding),
                  static_cast<long long>(tokenizer.pad_id()));
  }
}

void tokenize(const TokenizeArguments& arguments) {
  const Tokenizer tokenizer = Tokenizer::load(
      arguments.tokenizer.empty() ? PictureOptions().model + "/tokenizer" : arguments.tokenizer);
  const std::string text = arguments.text_given ? arguments.text : read_all_input();
  const std::vector<WeightedText> texts =
      arguments.plain ? std::vector<WeightedText>{{.text = text}} : parse_weights(text);
  const std::vector<PromptChunk> chunks = chunks_of(tokenizer, texts);
  arguments.as == "json" ? print_json(tokenizer, ids_without_ends(tokenizer, texts), chunks)
                         : print_table(tokenizer, chunks);
}

}  // namespace

void add_tokenize_command(CLI::App& program, int&) {
  auto arguments = std::make_shared<TokenizeArguments>();
  CLI::App& command =
      *program.add_subcommand("tokenize", "Show a prompt's tokens, their ids and weights, and its chunks");
  CLI::Option* text =
      command.add_option("text", arguments->text, "The prompt; from the standard input when left out")
          ->type_name("TEXT");
  command
      .add_option("--tokenizer", arguments->tokenizer,
                  "Folder with vocab.json and merges.txt; the demo model's when left out")
      ->type_name("DIR");
  command.add_flag("--plain", arguments->plain, "Brackets, weights and BREAK are ordinary text");
  command.add_option("--as", arguments->as, "How to print: table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  command.callback([arguments, text] {
    arguments->text_given = text->count() > 0;
    tokenize(*arguments);
  });
}

}  // namespace cutaway
