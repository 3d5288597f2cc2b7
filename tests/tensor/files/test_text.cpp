// UTF-8 and text in messages.
#include <doctest/doctest.h>

#include "tensor/files/text.h"

using namespace cutaway;

TEST_CASE("UTF-8: the first and last character of each length") {
  const auto code_of = [](std::string_view text) {
    size_t at = 0;
    const auto code = next_code_point(text, at);
    REQUIRE(code.has_value());
    CHECK(at == text.size());
    return static_cast<uint32_t>(*code);
  };
  CHECK(code_of(std::string_view("\0", 1)) == 0);
  CHECK(code_of("\x7F") == 0x7F);
  CHECK(code_of("\xC2\x80") == 0x80);
  CHECK(code_of("\xDF\xBF") == 0x7FF);
  CHECK(code_of("\xE0\xA0\x80") == 0x800);
  CHECK(code_of("\xED\x9F\xBF") == 0xD7FF);
  CHECK(code_of("\xEE\x80\x80") == 0xE000);
  CHECK(code_of("\xEF\xBF\xBF") == 0xFFFF);
  CHECK(code_of("\xF0\x90\x80\x80") == 0x10000);
  CHECK(code_of("\xF4\x8F\xBF\xBF") == 0x10FFFF);
}

TEST_CASE("UTF-8: what is not") {
  for (const char* bad : {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC2", "\xC2x", "\xE0\x9F\xBF", "\xE2\x82",
                          "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x8F\xBF\xBF", "\xF0\x9F\x98",
                          "\xF4\x90\x80\x80", "\xF8\x88\x80\x80\x80", "\xFF"}) {
    CHECK_FALSE(is_utf8(bad));
    CHECK_FALSE(is_utf8(std::string("before ") + bad + " after"));
  }
  CHECK(is_utf8(""));
  CHECK(is_utf8("a cat, \xC3\xA9t\xC3\xA9, \xE7\x8C\xAB, \xF0\x9F\x90\x88"));
}

TEST_CASE("text in messages stays on one line and short") {
  CHECK(in_quotes("conv_in.weight") == "'conv_in.weight'");
  CHECK(in_quotes("\xE7\x8C\xAB") == "'\xE7\x8C\xAB'");
  CHECK(in_quotes("a\nb\x1B[31m\x7F") == "'a\\x0ab\\x1b[31m\\x7f'");
  CHECK(in_quotes("\xC2\x9B") == "'\\xc2\\x9b'");  // a terminal takes U+009B for the start of a command
  CHECK(in_quotes("\xFFz") == "'\\xffz'");
  CHECK(in_quotes(std::string_view("a\0b", 3)) == "'a\\x00b'");
  CHECK(in_quotes(std::string(5000, 'x')).size() < 120);
  CHECK(in_quotes(std::string(5000, 'x')).ends_with("x...'"));
}

TEST_CASE("what is quoted is cut at some hundred letters, however its bytes are shown") {
  CHECK(in_quotes(std::string(100, 'a')) == "'" + std::string(100, 'a') + "'");
  CHECK(in_quotes(std::string(500, 'a')) == "'" + std::string(100, 'a') + "...'");
  CHECK(in_quotes(std::string(500, '\x8B')).size() < 120);  // found by the fuzzer of tokenizers
}
