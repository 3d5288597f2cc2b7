#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "models/prompt/cleaning.h"
#include "models/prompt/tokenizer.h"
#include "tensor/error.h"
#include "tensor/files/json.h"
#include "tensor/files/text.h"

using namespace cutaway;
using nlohmann::json;
using Ids = std::vector<int64_t>;

namespace {

const Tokenizer& demo() {
  static const Tokenizer tokenizer = Tokenizer::load(CUTAWAY_SOURCE_DIR "/weights/demo/tokenizer");
  return tokenizer;
}

// The real vocabulary of SD 1.x is not part of the repository.
std::string clip_folder() {
  const char* given = std::getenv("CUTAWAY_CLIP_VOCAB");
  if (given != nullptr) return given;
  const std::string beside = CUTAWAY_SOURCE_DIR "/../shared/reference/clip";
  return std::filesystem::exists(beside + "/vocab.json") ? beside : "";
}

// A step of the cleaning, from UTF-8 to UTF-8.
template <class Step>
std::string through(Step step, const std::string& text) {
  return encode_utf8(step(decode_utf8(text)));
}

std::string fixed(const std::string& text) { return through(fix_text, text); }
std::string cleaned(const std::string& text) { return encode_utf8(clean_prompt(text)); }

std::string repeat(const std::string& text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) result += text;
  return result;
}

std::vector<std::string> written(const Tokenizer& tokenizer, const std::string& text) {
  std::vector<std::string> tokens;
  for (const int64_t id : tokenizer.encode(text)) tokens.push_back(tokenizer.token(id));
  return tokens;
}

// A mistake to tell apart: joins the first pair that any merge has, wherever the merge stands in the list.
std::vector<std::string> left_to_right(std::vector<std::string> row, const std::vector<std::string>& merges) {
  for (size_t i = 0; i + 1 < row.size();) {
    if (std::find(merges.begin(), merges.end(), row[i] + " " + row[i + 1]) == merges.end()) {
      ++i;
      continue;
    }
    row[i] += row[i + 1];
    row.erase(row.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    i = 0;
  }
  return row;
}

void write(const std::filesystem::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

// A folder with a small vocabulary: the letters for the 256 bytes as in
// the demo's, some merges, start and end.
class TinyFiles {
 public:
  explicit TinyFiles(const std::vector<std::string>& merges) {
    static int count = 0;
    folder_ = std::filesystem::temp_directory_path() /
              ("cutaway_tokenizer_" + std::to_string(std::hash<std::string>{}(CUTAWAY_SOURCE_DIR)) + "_" +
               std::to_string(std::chrono::steady_clock::now().time_since_epoch().count()) + "_" +
               std::to_string(count++));
    std::filesystem::create_directory(folder_);
    for (int64_t id = 0; id < 512; ++id) add(demo().token(id));
    std::string lines = "#version: 0.2\n";
    for (const std::string& merge : merges) {
      lines += merge + "\n";
      std::string joined = merge;
      joined.erase(joined.find(' '), 1);
      if (!vocabulary.contains(joined)) add(joined);
    }
    add("<|startoftext|>");
    add("<|endoftext|>");
    put("merges.txt", lines);
    put_vocabulary();
  }
  ~TinyFiles() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  TinyFiles(const TinyFiles&) = delete;
  TinyFiles& operator=(const TinyFiles&) = delete;

  void put(const std::string& name, const std::string& content) { write(folder_ / name, content); }
  void put_vocabulary() { put("vocab.json", vocabulary.dump()); }
  void remove(const std::string& name) { std::filesystem::remove(folder_ / name); }
  void add(const std::string& token) { vocabulary[token] = vocabulary.size(); }
  Tokenizer load() const { return Tokenizer::load(folder_.string()); }
  std::string refusal() const {
    try {
      load();
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  }

  json vocabulary = json::object();

 private:
  std::filesystem::path folder_;
};

}  // namespace

TEST_CASE("the 149 reference prompts have CLIP's ids with the vocabulary of SD 1.x") {
  const std::string folder = clip_folder();
  if (folder.empty()) {
    MESSAGE("did not run: there is no vocabulary; CUTAWAY_CLIP_VOCAB can name a folder with it");
    return;
  }
  const Tokenizer clip = Tokenizer::load(folder);
  CHECK(clip.start_id() == 49406);
  CHECK(clip.end_id() == 49407);
  CHECK(clip.pad_id() == 49407);
  CHECK(clip.context_length() == 77);
  CHECK(clip.vocabulary_size() == 49408);
  const json reference = read_json_file(CUTAWAY_SOURCE_DIR "/tests/reference/tokenizer_prompts.json");
  CHECK(reference.at("prompts").size() == 149);
  for (const json& prompt : reference.at("prompts")) {
    const auto text = prompt.at("text").get<std::string>();
    CAPTURE(text);
    CHECK(clip.encode(text) == prompt.at("ids").get<Ids>());
    const Tokens padded = clip.encode_padded(text);
    CHECK(padded.ids == prompt.at("padded77").get<Ids>());
    CHECK(padded.dropped.empty() == (prompt.at("ids").size() <= 75));
  }
}

TEST_CASE("prompts have the demo vocabulary's ids") {
  // From a Python program with ftfy, regex and CLIP's algorithm, not from this one.
  CHECK(demo().encode("a cat next to a tree") == Ids{320, 674, 533, 519, 320, 588});
  CHECK(demo().encode("a fish, 3d style") == Ids{320, 649, 267, 274, 323, 515});
  CHECK(demo().encode("A Red HEART!") == Ids{320, 534, 596, 256});
  CHECK(demo().encode("it's a smiley 😀") == Ids{72, 339, 6, 338, 320, 1485, 172, 253, 246, 478});
  CHECK(demo().encode("two 42 cats") == Ids{1062, 275, 273, 559, 83, 338});
  CHECK(demo().encode("café") == Ids{559, 69, 127, 358});
  CHECK(demo().encode("猫") == Ids{163, 234, 360});
  CHECK(demo().encode("<|startoftext|>fish<|endoftext|>") == Ids{1487, 649, 1488});
  CHECK(demo().vocabulary_size() == 1489);
}

TEST_CASE("an empty prompt is start, end and padding") {
  for (const char* nothing : {"", " ", "\n\t ", "\x01\x02", "\xEF\xBB\xBF"}) {
    CHECK(demo().encode(nothing).empty());
    const Tokens tokens = demo().encode_padded(nothing);
    CHECK(tokens.used == 2);
    CHECK(tokens.dropped.empty());
    REQUIRE(tokens.ids.size() == 24);
    CHECK(tokens.ids[0] == demo().start_id());
    for (size_t i = 1; i < 24; ++i) CHECK(tokens.ids[i] == demo().end_id());
  }
}

TEST_CASE("what does not fit is cut and told") {
  TinyFiles files({"c a", "ca t</w>", "d o", "do g</w>"});
  const Tokenizer tokenizer = files.load();
  REQUIRE(tokenizer.context_length() == 77);
  const int64_t cat = tokenizer.encode("cat").at(0);

  const Tokens all = tokenizer.encode_padded(repeat("cat ", 75));
  CHECK(all.used == 77);
  CHECK(all.dropped.empty());
  CHECK(all.ids[75] == cat);
  CHECK(all.ids[76] == tokenizer.end_id());

  const Tokens less = tokenizer.encode_padded(repeat("cat ", 74));
  CHECK(less.used == 76);
  CHECK(less.ids[75] == tokenizer.end_id());
  CHECK(less.ids[76] == tokenizer.pad_id());

  const Tokens more = tokenizer.encode_padded(repeat("cat ", 75) + "DOG");
  CHECK(more.ids == all.ids);
  CHECK(more.used == 77);
  CHECK(more.dropped == "dog");

  // "dogs" is three tokens here, and only the first fits: the whole word is told.
  const Tokens within = tokenizer.encode_padded(repeat("cat ", 74) + "dogs,  and   more");
  CHECK(within.ids.size() == 77);
  CHECK(tokenizer.token(within.ids[75]) == "do");
  CHECK(within.ids[76] == tokenizer.end_id());
  CHECK(within.dropped == "dogs, and more");
}

TEST_CASE("the settings files give the length and the padding") {
  TinyFiles files({});
  files.put("tokenizer_config.json", R"({"model_max_length": 5, "pad_token": "!"})");
  CHECK(files.load().context_length() == 5);
  CHECK(files.load().encode_padded("a").ids ==
        Ids{files.load().start_id(), files.load().encode("a")[0], files.load().end_id(), 0, 0});
  CHECK(files.load().pad_id() == 0);
  files.put("special_tokens_map.json", R"({"pad_token": {"content": "#", "lstrip": false}})");
  CHECK(files.load().token(files.load().pad_id()) == "#");
  files.put("special_tokens_map.json", R"({"pad_token": "<|endoftext|>"})");
  CHECK(files.load().pad_id() == files.load().end_id());
  // What transformers writes when nobody has set a length.
  for (const char* unset : {"1000000000000000019884624838656", "1e30", "null"}) {
    files.put("tokenizer_config.json", std::string(R"({"model_max_length": )") + unset + "}");
    CHECK(files.load().context_length() == 77);
  }
}

TEST_CASE("words are split as by CLIP's regular expression") {
  TinyFiles files({});  // nothing merges: </w> shows where words end
  const Tokenizer tokenizer = files.load();
  const auto words = [&](const std::string& text) {
    std::string all;
    for (const std::string& token : written(tokenizer, text)) {
      all += token.ends_with("</w>") ? token.substr(0, token.size() - 4) + " " : token;
    }
    return all;
  };
  CHECK(words("Don't WE'VE they'll I'm you'd we're it's") ==
        "don 't we 've they 'll i 'm you 'd we 're it 's ");
  CHECK(words("'sun o'clock 'x") == "'s un o ' clock ' x ");
  CHECK(words("2024 3d a1b2") == "2 0 2 4 3 d a 1 b 2 ");
  CHECK(words("wow!!! (a,b) -_- x's'!") == "wow !!! ( a , b ) -_- x 's '! ");
  CHECK(words("!'s") == "!' s ");  // a run of signs takes the apostrophe with it
  CHECK(words("snake_case") == "snake _ case ");
  CHECK(tokenizer.encode("<|STARTOFTEXT|>a<|endoftext|>").size() == 3);
  CHECK(tokenizer.encode("<|startoftext|>").at(0) == tokenizer.start_id());
  CHECK(tokenizer.encode("!<|startoftext|>").size() > 10);  // inside a run of signs it is none
}

TEST_CASE("bytes are written as GPT-2 writes them, and the last one ends the word") {
  TinyFiles files({});
  const Tokenizer tokenizer = files.load();
  CHECK(written(tokenizer, "é") == std::vector<std::string>{"Ã", "©</w>"});
  CHECK(written(tokenizer, "猫") == std::vector<std::string>{"ç", "Į", "«</w>"});
  CHECK(written(tokenizer, "😀") == std::vector<std::string>{"ð", "Ł", "ĺ", "Ģ</w>"});
  CHECK(written(tokenizer, "a") == std::vector<std::string>{"a</w>"});
  CHECK_THROWS_AS(tokenizer.token(-1), Error);
  CHECK_THROWS_AS(tokenizer.token(tokenizer.vocabulary_size()), Error);
}

TEST_CASE("pairs merge by rank, not from left to right") {
  const std::vector<std::string> merges = {"b c", "a b", "a bc", "x x", "xx xx", "x y</w>"};
  TinyFiles files(merges);
  const Tokenizer tokenizer = files.load();
  using Words = std::vector<std::string>;
  // b c has the lower rank, then a bc.
  CHECK(written(tokenizer, "abcd") == Words{"abc", "d</w>"});
  CHECK(left_to_right({"a", "b", "c", "d</w>"}, merges) == Words{"ab", "c", "d</w>"});  // the wrong twin
  CHECK(written(tokenizer, "abbcd") == Words{"ab", "bc", "d</w>"});
  // Among equals the left one goes first, and what has just been joined is not joined again in the same pass.
  CHECK(written(tokenizer, "xxxd") == Words{"xx", "x", "d</w>"});
  CHECK(written(tokenizer, "xxxxxd") == Words{"xxxx", "x", "d</w>"});
  CHECK(written(tokenizer, "xxy") == Words{"xx", "y</w>"});
  CHECK(written(tokenizer, "xxxy") == Words{"xx", "xy</w>"});

  // The same merges in another order give other tokens: the rank is the line, not the place in the word.
  TinyFiles reversed({"a b", "b c", "x y</w>", "x x"});
  CHECK(written(reversed.load(), "abcd") == Words{"ab", "c", "d</w>"});
  CHECK(written(reversed.load(), "xxy") == Words{"x", "xy</w>"});

  // "</w>" belongs to the letter: a merge inside a word is not one at its end.
  TinyFiles ends({"a t", "a t</w>"});
  CHECK(written(ends.load(), "at") == Words{"at</w>"});
  CHECK(written(ends.load(), "att") == Words{"at", "t</w>"});

  // All places of a pair are joined before any pair that this makes, even one with a lower rank.
  TinyFiles passes({"ab a", "a b"});
  CHECK(written(passes.load(), "ababz") == Words{"ab", "ab", "z</w>"});
}

// Quadratic ways would take an hour.
TEST_CASE("a megabyte is encoded") {
  CHECK(demo().encode(std::string(1 << 20, 'a')).size() > 100000);
  CHECK(demo().encode(repeat("a cat ", 170000)).size() == 340000);
  CHECK(demo().encode_padded(repeat("tree", 250000)).used == 24);
  CHECK(demo().encode("&" + repeat("amp;", 250000)).size() > 100000);  // takes one "amp;" off each time
  CHECK(demo().encode("a" + repeat("\u0301\u0323", 200000)).size() > 100000);
  CHECK(demo().encode(repeat("Ã© 猫 ", 100000)).size() > 100000);
}

TEST_CASE("bytes that are not UTF-8 become U+FFFD, one each") {
  CHECK(encode_utf8(decode_utf8("a\xFF\xC3(b")) == "a\uFFFD\uFFFD(b");
  CHECK(encode_utf8(decode_utf8("\xED\xA0\x80")) == "\uFFFD\uFFFD\uFFFD");  // a surrogate
  CHECK(encode_utf8(decode_utf8("\xF0\x9F\x98")) == "\uFFFD\uFFFD\uFFFD");  // an emoji without its end
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; second += 3) {
      const std::string text{static_cast<char>(first), static_cast<char>(second)};
      const auto ids = demo().encode(text);
      for (const int64_t id : ids) REQUIRE((id >= 0 && id < demo().vocabulary_size()));
      REQUIRE(is_utf8(cleaned(text)));
    }
  }
}

TEST_CASE("small letters are those of Python") {
  CHECK(through(lower_case, "ABC ÀÉÎ ЖЩ ΑΒΓ") == "abc àéî жщ αβγ");
  CHECK(through(lower_case, "İstanbul") == "i\u0307stanbul");
  CHECK(through(lower_case, "ΟΔΟΣ ΟΔΟΣ, Σ ΣΑΣ") == "οδος οδος, σ σας");
  CHECK(through(lower_case, "ΑΣ'Α ΑΣ' Α\u0301Σ") == "ασ'α ας' α\u0301ς");
  CHECK(through(lower_case, "ẞ\u212A") == "ßk");
}

TEST_CASE("spaces of every kind become one") {
  CHECK(through(collapse_spaces, "  a \t\n\r\v\f b\u00A0\u2003\u3000c\u0085\u2028 ") == "a b c");
  CHECK(through(collapse_spaces, "a\u200Bb") ==
        "a\u200Bb");  // has no width, and is not white space in Unicode
}

TEST_CASE("HTML entities are read as browsers do") {
  CHECK(through(unescape_html, "&amp; &lt;b&gt; &quot;&apos;&nbsp;") == "& <b> \"'\u00A0");
  CHECK(through(unescape_html, "&eacute;&Omega;&hearts;&percnt;&lang;") == "éΩ♥%\u27E8");
  CHECK(through(unescape_html, "&#65;&#x41;&#X41;&#65 &#128512;") == "AAAA 😀");
  CHECK(through(unescape_html, "&#128;&#x99;&#129;") == "€™\u0081");  // Windows-1252
  CHECK(through(unescape_html, "&#0;&#xD800;&#x110000;&#99999999999;") == "\uFFFD\uFFFD\uFFFD\uFFFD");
  CHECK(through(unescape_html, "[&#1;&#x7F;&#xFDD0;&#x1FFFF;]") == "[]");
  CHECK(through(unescape_html, "&notit; &ampx &copy2024 &EACUTE;") == "¬it; &x ©2024 &EACUTE;");
  CHECK(through(unescape_html, "&; &# &#x &#; && AT&T &nosuch; &alpha x") ==
        "&; &# &#x &#; && AT&T &nosuch; &alpha x");
  CHECK(through(unescape_closed_entities, "&EACUTE; &eacute &#65 &copy; &#59;") == "É &eacute &#65 © &#59;");
}

TEST_CASE("entities stay where a text has a '<', from that line on") {
  CHECK(fixed("a &lt;b&gt;") == "a <b>");
  CHECK(fixed("a < b &amp; c") == "a < b &amp; c");
  CHECK(fixed("&amp;\n<\n&amp;") == "&\n<\n&amp;");
  CHECK(cleaned("a < b &amp;amp; c") == "a < b & c");  // CLIP reads them twice all the same
  CHECK(cleaned("a < b &amp;amp;amp; c") == "a < b &amp; c");
}

TEST_CASE("UTF-8 that was read in the wrong encoding is read again") {
  CHECK(through(fix_encoding, "cafÃ© naÃ¯ve") == "café naïve");
  CHECK(through(fix_encoding, "â€œquotesâ€\u009D â€™ âœ” No problems") == "“quotes” ’ ✔ No problems");
  CHECK(through(fix_encoding, "ðŸ˜€") == "😀");
  CHECK(through(fix_encoding, "Ã°Å¸ËœÂ€ Ã°Å¸ËœÂ€").find("Ã") == std::string::npos);
  CHECK(through(fix_encoding, "cafÃƒÂ©") == "café");            // twice
  CHECK(through(fix_encoding, "猫 cafÃ© 猫") == "猫 café 猫");  // in a text that neither encoding has
  CHECK(through(fix_encoding, "a\u0093b\u0094") == "a“b”");
  // These could be read again but are meant; the wrong twin takes every text that is UTF-8.
  for (const char* meant : {"café", "Ãngela à São Paulo", "CAFÉ®", "£5 ½ °C", "“a” — b…", "Œuvre",
                            "naïve Ärger", "Привет", "שלום", "©2024", "É…"}) {
    CAPTURE(meant);
    CHECK(through(fix_encoding, meant) == meant);
  }
  CHECK(looks_like_mojibake(U"Ã©"));
  CHECK_FALSE(looks_like_mojibake(U"É…"));
}

TEST_CASE("each repair of characters") {
  CHECK(through(split_ligatures, "ﬁne ﬂower eﬃcient Ĳssel ǅ ﬅ") == "fine flower efficient IJssel Dž ſt");
  CHECK(through(split_ligatures, "æ œ") == "æ œ");  // letters of their own
  CHECK(through(fix_character_width, "ＦＵＬＬ　１２！ｶﾀ￡") == "FULL 12!カタ£");
  CHECK(through(uncurl_quotes, "‘a’ ‚b‛ “c” „d‟ ʼ «e»") == "'a' 'b' \"c\" \"d\" ' «e»");
  CHECK(through(fix_line_breaks, "a\r\nb\rc\u2028d\u2029e\u0085f\n\r") == "a\nb\nc\nd\ne\nf\n\n");
  CHECK(through(remove_terminal_escapes, "\x1B[31mred\x1B[0m \x1B[1;2Hx \x1B[9 \x1B]") ==
        "red x \x1B[9 \x1B]");
  const std::string zero(1, '\0');
  CHECK(through(remove_control_characters, "a" + zero + "\x01\v\x1F\x7F\t\n\f\uFEFF\u206A\uFFF9z") ==
        "a\t\n\fz");
  CHECK(through(normalize, "e\u0301 a\u0323\u0302 a\u0302\u0323 \u1112\u1161\u11AB \u212B") == "é ậ ậ 한 Å");
  CHECK(fixed("it’s &ldquo;ﬁne&rdquo; cafe\u0301") == "it's \"fine\" café");
}

TEST_CASE("files that cannot be a tokenizer are refused with a sentence") {
  const std::string nearly_json = "{\"a\": 0";
  const struct {
    const char* name;
    std::string content;
    const char* says;
  } cases[] = {
      {"vocab.json", "", "is empty"},
      {"vocab.json", nearly_json, "not valid JSON"},
      {"vocab.json", "[1, 2]", "must be a JSON object of tokens"},
      {"vocab.json", "{}", "has no token"},
      {"vocab.json", R"({"a": 0, "b": -1})", "the number '-1', but its 2 tokens must be numbered 0 to 1"},
      {"vocab.json", R"({"a": 0, "b": 2})", "the number '2'"},
      {"vocab.json", R"({"a": 0, "b": 18446744073709551615})", "the number '18446744073709551615'"},
      {"vocab.json", R"({"a": 0, "b": 1e300})", "the number"},
      {"vocab.json", R"({"a": 0, "b": 1.0})", "the number '1.0'"},
      {"vocab.json", R"({"a": 0, "b": "1"})", "the number '\"1\"'"},
      {"vocab.json", R"({"a": 0, "b": null})", "the number 'null'"},
      {"vocab.json", R"({"a": 0, "b": 0})", "the number 0 to both 'a' and 'b'"},
      {"vocab.json", R"({"a": 0, "a": 1})", "twice"},
      {"vocab.json", "{\"\xFF\": 0}", "not valid JSON"},
      {"merges.txt", "", "is empty"},
      {"merges.txt", "\n\n", "only empty lines"},
      {"merges.txt", "a b\n", "in line 1, but the first line must be '#version: 0.2'"},
      {"merges.txt", "#version: 0.3\n", "'#version: 0.3' in line 1"},
      {"merges.txt", "#version: 0.2\na b\nab\n", "'ab' in line 3, but a merge is two tokens"},
      {"merges.txt", "#version: 0.2\na b c\n", "'a b c' in line 2"},
      {"merges.txt", "#version: 0.2\na  b\n", "line 2"},
      {"merges.txt", "#version: 0.2\n b\n", "line 2"},
      {"merges.txt", "#version: 0.2\n\na b\n", "'' in line 2"},
      {"merges.txt", "#version: 0.2\na c\n", "the vocabulary has no token 'ac'"},
      {"merges.txt", "#version: 0.2\nnew b\n", "the vocabulary has no token 'new'"},
      {"merges.txt", "#version: 0.2\n\xFF b\n", "'\\xff b' in line 2"},
      {"merges.txt", "#version: 0.2\na b\na b\n", "in line 3, but an earlier line has the same merge"},
      {"merges.txt", "#version: 0.2\n" + std::string(9 << 20, 'a'), "bytes, and merges are read up to"},
      {"tokenizer_config.json", "[]", "must be a JSON object"},
      {"tokenizer_config.json", R"({"pad_token": 3})", "\"pad_token\", but it must be a token's text"},
      {"tokenizer_config.json", R"({"pad_token": {"content": 3}})", "must be a token's text"},
      {"tokenizer_config.json", R"({"pad_token": "<pad>"})", "has no token '<pad>'"},
      {"tokenizer_config.json", R"({"model_max_length": 2})", "must be a whole number from 3 on"},
      {"tokenizer_config.json", R"({"model_max_length": -77})", "must be a whole number from 3 on"},
      {"tokenizer_config.json", R"({"model_max_length": "77"})", "must be a whole number from 3 on"},
      {"tokenizer_config.json", R"({"model_max_length": 7.5})", "must be a whole number from 3 on"},
      {"special_tokens_map.json", "\"text\"", "must be a JSON object"},
      {"special_tokens_map.json", R"({"pad_token": "nope"})", "has no token 'nope'"},
  };
  for (const auto& c : cases) {
    const std::string which = c.name + (": " + c.content.substr(0, 40));
    SUBCASE(which.c_str()) {
      TinyFiles files({"a b"});
      REQUIRE(files.refusal() == "accepted");
      files.put(c.name, c.content);
      const std::string said = files.refusal();
      CAPTURE(said);
      CHECK(said.find(c.says) != std::string::npos);
      CHECK(said.find(c.name) != std::string::npos);
      CHECK(said.find('\n') == std::string::npos);
    }
  }
}

TEST_CASE("missing files and tokens are named") {
  for (const char* name : {"vocab.json", "merges.txt"}) {
    TinyFiles files({});
    files.remove(name);
    CHECK(files.refusal().find(name) != std::string::npos);
  }
  for (const char* token : {"<|startoftext|>", "<|endoftext|>", "a", "Ġ</w>"}) {
    TinyFiles files({});
    const auto id = files.vocabulary.at(token).get<int64_t>();
    files.vocabulary.erase(token);
    files.vocabulary["other"] = id;
    files.put_vocabulary();
    CHECK(files.refusal().find("has no token '" + std::string(token) + "'") != std::string::npos);
  }
  CHECK_THROWS_AS(Tokenizer::load("/no/such/folder"), Error);
}

TEST_CASE("a vocabulary of more than 131,072 tokens is refused") {
  TinyFiles files({});
  std::string text = "{";
  for (int i = 0; i <= 1 << 17; ++i)
    text += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":" + std::to_string(i);
  files.put("vocab.json", text + "}");
  CHECK(files.refusal().find("has 131073 tokens, and vocabularies are read up to 131072") !=
        std::string::npos);
}

TEST_CASE("files with Windows line ends are read") {
  TinyFiles files({"a b"});
  files.put("merges.txt", "#version: 0.2\r\na b\r\n\r\n");
  CHECK(files.load().encode("abc").size() == 2);
}
