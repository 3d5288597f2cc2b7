// Weighted prompts and chunks, by the rule of AUTOMATIC1111's webui.
#include <doctest/doctest.h>

#include <ctime>
#include <string>
#include <vector>

#include "models/prompt/weighting.h"
#include "tensor/error.h"

namespace cutaway {
namespace {

const std::string demo_tokenizer = std::string(CUTAWAY_SOURCE_DIR) + "/weights/demo/tokenizer";

struct Expected {
  std::string text;
  double weight;
};

void check_weights(const std::string& prompt, const std::vector<Expected>& expected) {
  CAPTURE(prompt);
  const std::vector<WeightedText> texts = parse_weights(prompt);
  REQUIRE(texts.size() == expected.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    CHECK(texts[i].text == expected[i].text);
    CHECK(static_cast<double>(texts[i].weight) == doctest::Approx(expected[i].weight).epsilon(1e-5));
  }
}

// Of a prompt in which brackets and BREAK mean nothing.
std::vector<PromptChunk> plain_chunks_of(const Tokenizer& tokenizer, const std::string& prompt) {
  return chunks_of(tokenizer, {{.text = prompt}});
}

TEST_CASE("weights: round brackets raise, square ones lower, a number replaces, brackets multiply") {
  check_weights("normal text", {{"normal text", 1}});
  check_weights("an (important) word", {{"an ", 1}, {"important", 1.1}, {" word", 1}});
  check_weights("a [dull] word", {{"a ", 1}, {"dull", 1 / 1.1}, {" word", 1}});
  check_weights("((twice))", {{"twice", 1.21}});
  check_weights("(one:1.5) (two:0.5)", {{"one", 1.5}, {" ", 1}, {"two", 0.5}});
  check_weights("(unnecessary)(parens)", {{"unnecessaryparens", 1.1}});
  check_weights("a ((house:1.3) and (hill:0.5))",
                {{"a ", 1}, {"house", 1.43}, {" and ", 1.1}, {"hill", 0.55}});
}

TEST_CASE("weights: what is not closed reaches to the end, what is escaped or alone is a letter") {
  check_weights("(unbalanced", {{"unbalanced", 1.1}});
  check_weights("a) b] c", {{"a) b] c", 1}});
  check_weights(R"(\(literal\])", {{"(literal]", 1}});
  check_weights("time 10:30", {{"time 10:30", 1}});
  check_weights("(a:b)", {{"a:b", 1.1}});
  check_weights("(a:1.2.3)", {{"a:1.2.3", 1.1}});
  check_weights("", {{"", 1}});
  check_weights("()", {{"", 1}});
}

TEST_CASE("weights: BREAK, alone, ends a chunk") {
  const std::vector<WeightedText> texts = parse_weights("a cat BREAK (a dog BREAK bird)");
  REQUIRE(texts.size() == 5);
  CHECK(texts[1].is_break);
  CHECK(texts[3].is_break);
  CHECK(texts[0].text == "a cat");
  CHECK(texts[4].text == "bird");
  CHECK(static_cast<double>(texts[4].weight) == doctest::Approx(1.1));
  check_weights("BREAKFAST", {{"BREAKFAST", 1}});
}

TEST_CASE("chunks: full, cut after a near comma, never empty") {
  const Tokenizer tokenizer = Tokenizer::load(demo_tokenizer);
  const int64_t room = tokenizer.context_length() - 2;
  const auto words = [](int64_t count) {
    std::string text;
    for (int64_t i = 0; i < count; ++i) text += (i > 0 ? " " : "") + std::string("cat");
    return text;
  };
  REQUIRE(tokenizer.encode("cat").size() == 1);
  REQUIRE(tokenizer.encode(",").size() == 1);

  for (const auto& expected : std::vector<std::pair<int64_t, size_t>>{
           {0, 1}, {1, 1}, {room, 1}, {room + 1, 2}, {2 * room, 2}, {2 * room + 1, 3}}) {
    const int64_t count = expected.first;
    const size_t chunks = expected.second;
    CAPTURE(count);
    const std::vector<PromptChunk> got = plain_chunks_of(tokenizer, words(count));
    CHECK(got.size() == chunks);
    int64_t used = 0;
    for (const PromptChunk& chunk : got) {
      CHECK(chunk.ids.size() == static_cast<size_t>(tokenizer.context_length()));
      CHECK(chunk.weights.size() == chunk.ids.size());
      CHECK(chunk.ids.front() == tokenizer.start_id());
      CHECK(chunk.ids[static_cast<size_t>(chunk.used + 1)] == tokenizer.end_id());
      used += chunk.used;
    }
    CHECK(used == count);
  }
  CHECK(plain_chunks_of(tokenizer, words(3)).front().ids == tokenizer.encode_padded(words(3)).ids);

  // A comma 5 tokens before the end of a full chunk: what follows it moves to the next.
  const std::vector<PromptChunk> moved = plain_chunks_of(tokenizer, words(room - 6) + ", " + words(8));
  REQUIRE(moved.size() == 2);
  CHECK(moved[0].used == room - 5);
  CHECK(moved[1].used == 8);
  // One too far back stays where it is.
  const std::vector<PromptChunk> kept = plain_chunks_of(tokenizer, words(room - 22) + ", " + words(24));
  CHECK(kept[0].used == room);
}

TEST_CASE("chunks: weights follow their tokens") {
  const Tokenizer tokenizer = Tokenizer::load(demo_tokenizer);
  const std::vector<PromptChunk> chunks = chunks_of(tokenizer, parse_weights("cat (cat cat:2) BREAK cat"));
  REQUIRE(chunks.size() == 2);
  CHECK(std::vector<float>(chunks[0].weights.begin(), chunks[0].weights.begin() + 5) ==
        std::vector<float>{1, 1, 2, 2, 1});
  CHECK(chunks[1].used == 1);
}

TEST_CASE("weights: a prompt of a megabyte takes no time, however its brackets stand") {
  const auto repeated = [](const std::string& text, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) all += text;
    return all;
  };
  const std::clock_t begin = std::clock();
  CHECK(parse_weights(repeated("(a", 500)).size() == 500);
  CHECK_THROWS_WITH_AS(parse_weights(repeated("(a[b", 501)),
                       "the prompt has more than 1000 brackets within each other", Error);
  CHECK(parse_weights(repeated("(a)", 300'000)).size() == 1);
  CHECK(parse_weights("(" + repeated(":", 1'000'000)).size() == 1);
  CHECK(parse_weights(repeated("BREAK ", 160'000)).size() == 160'000);
  CHECK(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC < 10);  // quadratic ways take minutes
}

}  // namespace
}  // namespace cutaway
