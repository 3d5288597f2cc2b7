// What the UNet sees of a prompt: weights, chunks, clip skip and new words.
#include <doctest/doctest.h>

#include <cstdio>
#include <filesystem>

#include "models/prompt/encode_prompt.h"
#include "models/stable_diffusion.h"
#include "tensor/error.h"
#include "tensor/files/safetensors.h"
#include "tests/check.h"

using namespace cutaway;

namespace {

const StableDiffusion& demo() {
  static const StableDiffusion model = StableDiffusion::load(CUTAWAY_SOURCE_DIR "/weights/demo");
  return model;
}

Tensor context(const std::string& prompt, PromptWeights weights, int64_t clip_skip = 1) {
  return demo().encode_prompt(prompt, {}, {weights, clip_skip});
}

int64_t length() { return demo().tokenizer.context_length(); }

// The place of a word's token in a prompt of one chunk.
int64_t place_of(const std::string& prompt, const std::string& word) {
  const std::vector<int64_t> ids = demo().tokenizer.encode_padded(prompt).ids;
  const auto found = std::find(ids.begin(), ids.end(), demo().tokenizer.encode(word).at(0));
  REQUIRE(found != ids.end());
  return found - ids.begin();
}

double sum(const Tensor& x) {
  double all = 0;
  for (const float value : x.values()) all += static_cast<double>(value);
  return all;
}

}  // namespace

TEST_CASE("a prompt without brackets is the same by every rule") {
  const Tensor plain = context("a red car", PromptWeights::none);
  CHECK_CLOSE(context("a red car", PromptWeights::webui), plain, 0);
  CHECK_CLOSE(context("a red car", PromptWeights::comfyui), plain, 0);
  CHECK_DIFFERS(context("a (red:1.5) car", PromptWeights::none), plain, 0.01F);  // brackets are tokens
}

TEST_CASE("the webui multiplies the token, then gives the chunk its mean back") {
  const Tensor plain = context("a red car", PromptWeights::none);
  const Tensor weighted = context("a (red:1.5) car", PromptWeights::webui);
  const int64_t width = plain.shape()[2], red = place_of("a red car", "red");
  Tensor by_hand(plain.shape(), plain.values());
  for (int64_t c = 0; c < width; ++c) by_hand.mutable_data()[red * width + c] *= 1.5F;
  const auto ratio = static_cast<float>(sum(plain) / sum(by_hand));
  CHECK_DIFFERS(weighted, by_hand, 1e-4F);  // the wrong twin: without the mean
  CHECK_CLOSE(weighted, scale(by_hand, ratio), 1e-5F);
}

TEST_CASE("ComfyUI goes from the empty prompt's token through the word's and beyond") {
  const Tensor plain = context("a red car", PromptWeights::none), empty = context("", PromptWeights::none);
  const Tensor weighted = context("a (red:1.5) car", PromptWeights::comfyui);
  const int64_t width = plain.shape()[2], red = place_of("a red car", "red");
  Tensor by_hand(plain.shape(), plain.values());
  for (int64_t c = 0; c < width; ++c) {
    const int64_t at = red * width + c;
    by_hand.mutable_data()[at] = empty.data()[at] + 1.5F * (plain.data()[at] - empty.data()[at]);
  }
  CHECK_CLOSE(weighted, by_hand, 1e-5F);
  CHECK_DIFFERS(weighted, context("a (red:1.5) car", PromptWeights::webui), 1e-3F);
}

TEST_CASE("chunks stand one after another, each weighted for itself") {
  const Tensor both = context("a red car BREAK a (tree:1.3)", PromptWeights::webui);
  CHECK(both.shape()[1] == 2 * length());
  CHECK_CLOSE(slice(both, 1, 0, length()), context("a red car", PromptWeights::webui), 1e-5F);
  CHECK_CLOSE(slice(both, 1, length(), 2 * length()), context("a (tree:1.3)", PromptWeights::webui), 1e-5F);
}

TEST_CASE("clip skip leaves out layers, by every rule") {
  const TokenIds ids{1, length(), demo().tokenizer.encode_padded("a red car").ids};
  for (const PromptWeights rule : {PromptWeights::none, PromptWeights::webui, PromptWeights::comfyui})
    CHECK_CLOSE(context("a red car", rule, 2), demo().text_encoder(ids, 2), 0);
  CHECK_DIFFERS(context("a red car", PromptWeights::none, 2), context("a red car", PromptWeights::none),
                0.01F);
  CHECK_THROWS_WITH_AS(context("a", PromptWeights::none, 0), doctest::Contains("clip skip is 0"), Error);
}

TEST_CASE("prompts of different lengths are made equal without changing what the UNet answers") {
  Tensor longer = context("a red car BREAK a tree", PromptWeights::webui),
         shorter = context("", PromptWeights::webui);
  const Tensor alone = shorter;
  repeat_to_equal_length(longer, shorter);
  REQUIRE(shorter.shape() == longer.shape());
  const Tensor x = test::random_tensor({1, 4, 8, 8}, 3);
  CHECK_CLOSE(demo().unet(x, std::vector<float>{500}, shorter),
              demo().unet(x, std::vector<float>{500}, alone), 2e-4F);

  GenerateOptions options;
  options.compat = compat_of("webui");
  options.prompt = "a red car BREAK a tree";
  options.steps = 2;
  options.width = options.height = 32;
  options.sampler = &sampler_named("euler");
  CHECK_NOTHROW(demo().generate(options));
}

TEST_CASE("ComfyUI's brackets: the innermost number counts, square ones are letters") {
  const auto check = [](const std::string& prompt,
                        const std::vector<std::pair<std::string, double>>& expected) {
    CAPTURE(prompt);
    const std::vector<WeightedText> texts = parse_weights_of_comfyui(prompt);
    REQUIRE(texts.size() == expected.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      CHECK(texts[i].text == expected[i].first);
      CHECK(static_cast<double>(texts[i].weight) == doctest::Approx(expected[i].second).epsilon(1e-6));
    }
  };
  check("a (b) c", {{"a ", 1}, {"b", 1.1}, {" c", 1}});
  check("((b))", {{"b", 1.21}});
  check("((b:1.3))", {{"b", 1.3}});  // the webui: 1.43
  check("(a (b:0.5) c:2)", {{"a ", 2}, {"b", 0.5}, {" c", 2}});
  check("[b] BREAK", {{"[b] BREAK", 1}});
  check(R"(\(b\))", {{"(b)", 1}});
  check("(b", {{"(b", 1}});
  check("b) (c)", {{"b) (c)", 1}});
  check("(b:x)", {{"b:x", 1.1}});
  check("", {{"", 1}});
}

TEST_CASE("ComfyUI's chunks keep words whole and know no comma rule") {
  const Tokenizer& tokenizer = demo().tokenizer;
  const int64_t room = length() - 2;
  std::string text;
  for (int64_t i = 0; i < room - 1; ++i) text += i == 3 ? "cat, " : "cat ";
  const std::string word = "qzx";  // of several tokens
  const auto parts = static_cast<int64_t>(tokenizer.encode(word).size());
  REQUIRE(parts > 1);
  REQUIRE(parts < 8);
  const std::vector<PromptChunk> chunks = chunks_of_words(tokenizer, parse_weights_of_comfyui(text + word));
  REQUIRE(chunks.size() == 2);
  CHECK(chunks[0].used == room);  // the comma is a token
  CHECK(chunks[1].used == parts);
  CHECK(chunks_of_words(tokenizer, parse_weights_of_comfyui("")).size() == 1);
  const std::vector<PromptChunk> cut = chunks_of_words(tokenizer, {{.text = std::string(300, 'q')}});
  CHECK(cut.front().used == room);  // a long word is cut
}

TEST_CASE("new words are found whole, large or small, the longest first, also as embedding:name") {
  TextualInversions words(100);
  words.add({"cat", Tensor::filled({1, 4}, 1), ""});
  words.add({"<cat-toy>", Tensor::filled({2, 4}, 2), ""});
  words.add({"cat2", Tensor::filled({1, 4}, 3), ""});
  words.add({"bad", Tensor(), "bad.pt has vectors 1024 wide"});
  const auto shown = [&](const std::string& text) {
    std::string all;
    for (const PromptPiece& piece : words.pieces_of(text)) {
      all += "|" + piece.text;
      for (const int64_t id : piece.new_ids) all += "#" + std::to_string(id);
    }
    return all;
  };
  CHECK(shown("a Cat, concat cats") == "|a |cat#100|, concat cats");
  CHECK(shown("a<cat-toy>b") == "|a|<cat-toy>#101#102|b");
  CHECK(shown("cat2 cat") == "|cat2#103| |cat#100");
  CHECK(shown("embedding:cat") == "|cat#100");
  CHECK(shown("nothing") == "|nothing");
  CHECK(words.rows().shape() == Shape{4, 4});
  CHECK_THROWS_WITH_AS(shown("bad"), "bad.pt has vectors 1024 wide", Error);
  CHECK_THROWS_WITH_AS(words.add({"CAT", Tensor::filled({1, 4}, 1), ""}), doctest::Contains("two textual"),
                       Error);
}

TEST_CASE("files of new words: names, widths, folders") {
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / "cutaway_textual_inversions";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  const int64_t width = demo().text_encoder.config.hidden_size;
  const auto write = [&](const char* file, const char* name, const Tensor& tensor) {
    write_safetensors((folder / file).string(), {{name, tensor}}, {});
    return (folder / file).string();
  };
  const std::string webui = write("style.safetensors", "emb_params", test::random_tensor({2, width}, 1));
  const std::string diffusers = write("learned.safetensors", "<toy>", test::random_tensor({width}, 2));
  CHECK(read_textual_inversions(webui, width).at(0).name == "style");
  CHECK(read_textual_inversions(webui + ":mine", width).at(0).name == "mine");
  CHECK(read_textual_inversions(diffusers, width).at(0).name == "<toy>");
  CHECK(read_textual_inversions(diffusers, width).at(0).vectors.shape() == Shape{1, width});
  CHECK(read_textual_inversions(folder.string(), width).size() == 2);

  const std::string wide = write("sd2.safetensors", "emb_params", test::random_tensor({1, 1024}, 3));
  CHECK_THROWS_WITH_AS(read_textual_inversions(wide, width),
                       doctest::Contains("trained for Stable Diffusion 2"), Error);
  CHECK(read_textual_inversions(folder.string(), width).size() == 3);  // refused once it is used
  write_safetensors(
      (folder / "xl.safetensors").string(),
      {{"clip_l", test::random_tensor({1, 768}, 4)}, {"clip_g", test::random_tensor({1, 1280}, 5)}}, {});
  CHECK_THROWS_WITH_AS(read_textual_inversions((folder / "xl.safetensors").string(), width),
                       doctest::Contains("SDXL"), Error);

  // A word whose one row is another word's is that word; by every rule.
  const int64_t red = demo().tokenizer.encode("red").at(0);
  Tensor row({1, width});
  demo().text_encoder.text_model.embeddings.token_embedding.weight.read(red * width, width,
                                                                        row.mutable_data());
  const std::string same = write("same.safetensors", "<as-red>", row);
  LoadOptions with_word;
  with_word.embeddings = {same};
  const StableDiffusion model = StableDiffusion::load(CUTAWAY_SOURCE_DIR "/weights/demo", with_word);
  for (const PromptWeights rule : {PromptWeights::none, PromptWeights::webui, PromptWeights::comfyui}) {
    CHECK_CLOSE(model.encode_prompt("a <as-red> car", {}, {rule}), context("a red car", PromptWeights::none),
                1e-5F);
  }
  std::filesystem::remove_all(folder);
}
