#include "models/prompt/cleaning.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <unordered_map>
#include <vector>

#include "tensor/files/text.h"

namespace cutaway {

std::u32string decode_utf8(std::string_view text) {
  std::u32string characters;
  characters.reserve(text.size());
  for (size_t at = 0; at < text.size();) characters += next_code_point(text, at).value_or(U'\uFFFD');
  return characters;
}

std::string encode_utf8(std::u32string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (const char32_t c : text) {
    utf8proc_uint8_t encoded[4];
    const auto count = utf8proc_encode_char(static_cast<utf8proc_int32_t>(c), encoded);
    bytes.append(encoded, encoded + count);
  }
  return bytes;
}

namespace {

utf8proc_category_t category(char32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

bool between(utf8proc_category_t low, char32_t c, utf8proc_category_t high) {
  return low <= category(c) && category(c) <= high;
}

bool is_ascii_letter(char32_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char32_t c) { return c >= '0' && c <= '9'; }

// In place of each character what `replace(character, result)` appends.
template <class Replace>
std::u32string replace_each(std::u32string_view text, Replace replace) {
  std::u32string result;
  result.reserve(text.size());
  for (const char32_t c : text) replace(c, result);
  return result;
}

template <class Unwanted>
std::u32string remove_if(std::u32string_view text, Unwanted unwanted) {
  std::u32string result(text);
  result.erase(std::remove_if(result.begin(), result.end(), unwanted), result.end());
  return result;
}

}  // namespace

bool is_letter(char32_t c) { return between(UTF8PROC_CATEGORY_LU, c, UTF8PROC_CATEGORY_LO); }
bool is_number(char32_t c) { return between(UTF8PROC_CATEGORY_ND, c, UTF8PROC_CATEGORY_NO); }
bool is_space(char32_t c) {
  return (c >= '\t' && c <= '\r') || c == 0x85 || between(UTF8PROC_CATEGORY_ZS, c, UTF8PROC_CATEGORY_ZP);
}

std::u32string clean_prompt(std::string_view prompt) {
  std::u32string text = fix_text(decode_utf8(prompt));
  text = unescape_html(text);
  text = unescape_html(text);
  text = collapse_spaces(text);
  return lower_case(text);
}

// ---- The other steps ----

std::u32string split_ligatures(std::u32string_view text) {
  static const std::unordered_map<char32_t, std::u32string> ligatures = {
      {U'Ĳ', U"IJ"},      {U'ĳ', U"ij"},      {U'ŉ', U"ʼn"},      {U'Ǆ', U"DŽ"},       {U'ǅ', U"Dž"},
      {U'ǆ', U"dž"},      {U'Ǉ', U"LJ"},      {U'ǈ', U"Lj"},      {U'ǉ', U"lj"},       {U'Ǌ', U"NJ"},
      {U'ǋ', U"Nj"},      {U'ǌ', U"nj"},      {U'Ǳ', U"DZ"},      {U'ǲ', U"Dz"},       {U'ǳ', U"dz"},
      {U'\uFB00', U"ff"}, {U'\uFB01', U"fi"}, {U'\uFB02', U"fl"}, {U'\uFB03', U"ffi"}, {U'\uFB04', U"ffl"},
      {U'\uFB05', U"ſt"}, {U'\uFB06', U"st"}};
  return replace_each(text, [](char32_t c, std::u32string& to) {
    const auto ligature = c < 0x132 ? ligatures.end() : ligatures.find(c);
    ligature == ligatures.end() ? to += c : to += ligature->second;
  });
}

std::u32string fix_character_width(std::u32string_view text) {
  return replace_each(text, [](char32_t c, std::u32string& to) {
    if (c == 0x3000) c = ' ';
    if (c < 0xFF01 || c >= 0xFFF0) {
      to += c;
      return;
    }
    std::array<utf8proc_int32_t, 32>
        normal{};  // Unicode: no character's compatibility form is longer than 18
    int last = UTF8PROC_BOUNDCLASS_START;
    const auto count =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), normal.data(), normal.size(),
                                static_cast<utf8proc_option_t>(UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE), &last);
    std::u32string pieces(normal.begin(), normal.begin() + count);
    to += normalize(pieces);
  });
}

std::u32string uncurl_quotes(std::u32string_view text) {
  return replace_each(text, [](char32_t c, std::u32string& to) {
    const bool one = (c >= 0x2018 && c <= 0x201B) || c == 0x02BC;
    const bool two = c >= 0x201C && c <= 0x201F;
    to += one ? U'\'' : two ? U'"' : c;
  });
}

std::u32string fix_line_breaks(std::u32string_view text) {
  std::u32string result;
  result.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const char32_t c = text[i];
    const bool first_of_two = c == '\r' && i + 1 < text.size() && text[i + 1] == '\n';
    if (first_of_two) continue;
    result += c == '\r' || c == 0x85 || c == 0x2028 || c == 0x2029 ? U'\n' : c;
  }
  return result;
}

std::u32string remove_terminal_escapes(std::u32string_view text) {
  std::u32string result;
  result.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    // ESC [ numbers with ; between, and a letter.
    if (text.substr(at, 2) == U"\x1B[") {
      size_t end = at + 2;
      while (end < text.size() && (is_digit(text[end]) || text[end] == ';')) ++end;
      if (end < text.size() && is_ascii_letter(text[end])) {
        at = end + 1;
        continue;
      }
    }
    result += text[at++];
  }
  return result;
}

std::u32string remove_control_characters(std::u32string_view text) {
  return remove_if(text, [](char32_t c) {
    const bool ascii = (c < 0x20 && c != '\t' && c != '\n' && c != '\f' && c != '\r') || c == 0x7F;
    const bool old_format = c >= 0x206A && c <= 0x206F;  // Unicode advises against these
    const bool annotation = c >= 0xFFF9 && c <= 0xFFFC;
    return ascii || old_format || annotation || c == 0xFEFF;
  });
}

std::u32string normalize(std::u32string_view text) {
  // Decomposed here, not by utf8proc_decompose: that sorts long rows of accents in quadratic time.
  std::vector<utf8proc_int32_t> parts;
  parts.reserve(text.size());
  for (const char32_t c : text) {
    std::array<utf8proc_int32_t, 32> decomposed{};
    int last = UTF8PROC_BOUNDCLASS_START;
    const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), decomposed.data(),
                                               decomposed.size(), UTF8PROC_DECOMPOSE, &last);
    parts.insert(parts.end(), decomposed.begin(), decomposed.begin() + count);
  }
  const auto combining = [](utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; };
  for (auto start = parts.begin(); start != parts.end();) {
    auto end = start;
    while (end != parts.end() && combining(*end) != 0) ++end;
    std::stable_sort(start, end, [&](auto a, auto b) { return combining(a) < combining(b); });
    start = end == parts.end() ? end : end + 1;
  }
  const auto count =
      utf8proc_normalize_utf32(parts.data(), static_cast<utf8proc_ssize_t>(parts.size()),
                               static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  return {parts.begin(), parts.begin() + count};
}

std::u32string fix_text(std::u32string_view text) {
  std::u32string result;
  bool html = false;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find(U'\n', start), text.size() - 1) + 1;
    std::u32string line(text.substr(start, end - start));
    html = html || line.find(U'<') != std::u32string::npos;
    for (int round = 0; round < most_repairs; ++round) {
      const std::u32string before = line;
      if (!html) line = unescape_closed_entities(line);
      line = fix_encoding(line);
      line = from_windows_1252(std::u32string_view(line));
      line = split_ligatures(line);
      line = fix_character_width(line);
      line = uncurl_quotes(line);
      line = fix_line_breaks(line);
      line = remove_terminal_escapes(line);
      line = remove_control_characters(line);
      line = normalize(line);
      if (line == before) break;
    }
    result += line;
    start = end;
  }
  return result;
}

std::u32string collapse_spaces(std::u32string_view text) {
  std::u32string result;
  result.reserve(text.size());
  for (const char32_t c : text) {
    if (!is_space(c)) {
      result += c;
    } else if (!result.empty() && result.back() != ' ') {
      result += ' ';
    }
  }
  if (!result.empty() && result.back() == ' ') result.pop_back();
  return result;
}

// ---- Small letters ----

namespace {

// Unicode's Case_Ignorable: accents and marks that can stand inside a word, as in "Ο'Σ".
bool is_case_ignorable(char32_t c) {
  switch (category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      return std::u32string_view(
                 U"'.:·\u0387\u055F\u05F4\u2018\u2019\u2024\u2027\uFE13\uFE52\uFE55\uFF07\uFF0E\uFF1A")
                 .find(c) != std::u32string::npos;
  }
}

bool is_cased(char32_t c) {
  const bool roman = c >= 0x2160 && c <= 0x217F;
  const bool framed = (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
                      (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
  const bool ordinal = c == U'ª' || c == U'º';
  return roman || framed || ordinal || between(UTF8PROC_CATEGORY_LU, c, UTF8PROC_CATEGORY_LT);
}

// Σ is ς at the end of a word (Unicode, Final_Sigma): a letter before it, none after it.
bool is_final(std::u32string_view text, size_t sigma) {
  size_t before = sigma;
  while (before > 0 && is_case_ignorable(text[before - 1])) --before;
  size_t after = sigma + 1;
  while (after < text.size() && is_case_ignorable(text[after])) ++after;
  return before > 0 && is_cased(text[before - 1]) && !(after < text.size() && is_cased(text[after]));
}

}  // namespace

std::u32string lower_case(std::u32string_view text) {
  std::u32string result;
  result.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const char32_t c = text[i];
    if (c == U'İ') {
      result += U"i\u0307";  // the only letter that becomes two
    } else if (c == U'Σ') {
      result += is_final(text, i) ? U'ς' : U'σ';
    } else {
      result += static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
    }
  }
  return result;
}

}  // namespace cutaway
