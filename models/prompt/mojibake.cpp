// UTF-8 that was read in another encoding, such as "cafÃ©" for "café".
#include <algorithm>
#include <cstdint>
#include <optional>
#include <unordered_map>

#include "models/prompt/cleaning.h"
#include "tensor/files/text.h"

namespace cutaway {
namespace {

// Windows-1252 is Latin-1, except that bytes 128 to 159 are printed characters. Five of them are not
// assigned; browsers and ftfy let these stay what they are in Latin-1.
constexpr char32_t windows_1252_high[] =
    U"\u20AC\u0081\u201A\u0192\u201E\u2026\u2020\u2021\u02C6\u2030\u0160\u2039\u0152\u008D\u017D\u008F"
    U"\u0090\u2018\u2019\u201C\u201D\u2022\u2013\u2014\u02DC\u2122\u0161\u203A\u0153\u009D\u017E\u0178";

}  // namespace

char32_t from_windows_1252(char32_t byte) {
  return byte >= 0x80 && byte < 0xA0 ? windows_1252_high[byte - 0x80] : byte;
}

std::u32string from_windows_1252(std::u32string_view text) {
  std::u32string result(text);
  for (char32_t& c : result) c = from_windows_1252(c);
  return result;
}

namespace {

// Kinds of characters, for the patterns of looks_like_mojibake. A character can be of several.
enum Kind : uint32_t {
  control = 1U << 0,  // U+0080 to U+009F
  odd = 1U << 1,      // signs that are rare by themselves: ¦ ¤ ¨ ...
  law = 1U << 2,
  money = 1U << 3,
  opening = 1U << 4,
  closing = 1U << 5,
  number = 1U << 6,
  capital = 1U << 7,  // with accents
  small = 1U << 8,    // with accents
  ascii_small = 1U << 9,
  word = 1U << 10,  // letters, numbers, _
  space = 1U << 11,
  oe = 1U << 12,
  not_ascii_letter = 1U << 13,
  degree = 1U << 14,
  lead = 1U << 15,           // Â Ã Î Ð: what the first byte of Latin and Greek letters looks like
  after_lead = 1U << 16,     // further signs that are suspicious behind one
  arabic_lead = 1U << 17,    // Ø Ù: the first byte of Arabic letters
  after_arabic = 1U << 18,   // further signs that the second byte looks like
  a_grave = 1U << 19,        // the first byte of Indian letters
  after_a_grave = 1U << 20,  // signs that their second byte looks like
};

const std::unordered_map<char32_t, uint32_t>& kinds_by_character() {
  static const std::unordered_map<char32_t, uint32_t> kinds = [] {
    std::unordered_map<char32_t, uint32_t> result;
    const auto add_kind = [&](uint32_t kind, std::u32string_view characters) {
      for (const char32_t c : characters) result[c] |= kind;
    };
    const auto add_range = [&](uint32_t kind, char32_t first, char32_t last) {
      for (char32_t c = first; c <= last; ++c) result[c] |= kind;
    };
    add_range(control, 0x80, 0x9F);
    add_kind(odd, U"¦¤¨¬¯¸ƒˆˇ˘˛˜†‡‰⌐◊\uFFFDªº");
    add_kind(law, U"¶§");
    add_kind(money, U"¢£¥€");
    add_kind(opening, U"¡«¿©‘‚“„•‹");
    add_kind(closing, U"®»”›™");
    add_kind(number, U"²³¹±¼½¾×µ÷");
    add_range(capital, U'À', U'Ñ');
    add_kind(capital, U"ØÜÝŒŠŸŽ");
    add_range(small, U'à', U'ñ');
    add_kind(small, U"ßœšüž");
    add_kind(oe, U"Œœ");
    add_kind(degree, U"°");
    add_kind(lead, U"ÂÃÎÐ");
    add_kind(after_lead, U"€œŠš¢£Ÿž\u00A0\u00AD®©°·»–—´");
    add_kind(arabic_lead, U"ØÙ");
    add_kind(after_arabic, U"\u00A0\u00AD·´–—…’ŸŠ®°µ»");
    add_kind(a_grave, U"à");
    add_kind(after_a_grave, U"²µ¹¼½¾");
    return result;
  }();
  return kinds;
}

uint32_t kinds_of(char32_t c) {
  const bool ascii_capital = c >= 'A' && c <= 'Z';
  uint32_t kinds = c >= 'a' && c <= 'z' ? uint32_t{ascii_small} : 0;
  if (!ascii_capital && kinds == 0) kinds |= not_ascii_letter;
  if (is_letter(c) || is_number(c) || c == '_') kinds |= word;
  if (is_space(c)) kinds |= space;
  const auto known = kinds_by_character().find(c);
  return known == kinds_by_character().end() ? kinds : kinds | known->second;
}

// What text that was read in the wrong encoding has, and other text hardly ever. From ftfy's badness.py
// (Robyn Speer), as far as it is about Latin-1 and Windows-1252.
constexpr uint32_t sign = law | money | opening | closing | number;
constexpr uint32_t accented = small | capital;
constexpr uint32_t misread_patterns[][4] = {
    {control},
    {accented | sign | odd, odd},
    {odd, accented | sign},
    {small | closing | money | number, capital},
    {closing | money | number, small},
    {small | closing, money},
    {space, capital, money},
    {capital, number | law},
    {accented | money | closing, opening, number},
    {accented | money | number | law, closing, opening},
    {money | number, opening},
    {ascii_small, capital, opening | money},
    {accented, opening | closing, word},
    {oe, not_ascii_letter},
    {capital, degree},
    {lead, after_lead | opening | closing},
    {arabic_lead, after_arabic | money | odd | number | opening | closing, arabic_lead,
     after_arabic | money | odd | number | opening | closing},
    {a_grave, after_a_grave},
};

// The byte that Latin-1 or Windows-1252 writes the character as, if any.
std::optional<char> byte_in(char32_t c, bool windows) {
  if (windows && (c > 0xFF || (c >= 0x80 && c < 0xA0))) {
    const size_t place = std::u32string_view(windows_1252_high, 32).find(c);
    if (place == std::u32string_view::npos) return std::nullopt;
    return static_cast<char>(0x80 + place);
  }
  if (c > 0xFF) return std::nullopt;
  return static_cast<char>(c);
}

std::optional<std::string> bytes_in(std::u32string_view text, bool windows) {
  std::string bytes;
  bytes.reserve(text.size());
  for (const char32_t c : text) {
    const auto byte = byte_in(c, windows);
    if (!byte) return std::nullopt;
    bytes += *byte;
  }
  return bytes;
}

std::optional<std::u32string> read_again(std::u32string_view text) {
  for (const bool windows : {false, true}) {
    const auto bytes = bytes_in(text, windows);
    if (bytes && is_utf8(*bytes)) return decode_utf8(*bytes);
  }
  return std::nullopt;
}

// The number of characters from text[at] on that can be one character's UTF-8, as it looks in Windows-1252.
size_t misread_length(std::u32string_view text, size_t at) {
  const char32_t c = text[at];
  const size_t length = c < 0xC2 || c > 0xF4 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
  if (length > text.size() - at) return 0;
  return length > 0 && read_again(text.substr(at, length)) ? length : 0;
}

// Whether a misread character may begin behind c: not behind what looks like a byte from the middle of
// another, unless it is also a common punctuation mark.
bool can_begin_after(char32_t c) {
  if (c < 0x80 || std::u32string_view(U"–—‘’‚“”„•…").find(c) != std::u32string::npos) return true;
  const auto byte = byte_in(c, c > 0xFF);
  return !byte || (static_cast<unsigned char>(*byte) & 0xC0U) != 0x80U;
}

// Where only parts were misread, or the rest has characters that are in neither encoding.
std::u32string read_parts_again(std::u32string_view text) {
  std::u32string result;
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    const bool can_begin = at == 0 || can_begin_after(text[at - 1]);
    while (can_begin && end < text.size()) {
      const size_t length = misread_length(text, end);
      if (length == 0) break;
      end += length;
    }
    const std::u32string_view part = text.substr(at, std::max(end - at, size_t{1}));
    const bool misread = end > at && part.size() < text.size() && looks_like_mojibake(part);
    result += misread ? fix_encoding(part) : std::u32string(part);
    at += part.size();
  }
  return result;
}

std::u32string fix_encoding_once(std::u32string_view text) {
  if (!looks_like_mojibake(text)) return std::u32string(text);
  if (auto again = read_again(text)) return *again;
  std::u32string parts = read_parts_again(text);
  if (parts != text) return parts;
  return from_windows_1252(text);  // nobody means the control characters of Latin-1
}

}  // namespace

bool looks_like_mojibake(std::u32string_view text) {
  const bool ascii = std::all_of(text.begin(), text.end(), [](char32_t c) { return c < 0x80; });
  if (ascii) return false;
  uint32_t window[4] = {};  // the kinds of the last four characters, the newest last
  for (const char32_t c : text) {
    std::rotate(window, window + 1, window + 4);
    window[3] = kinds_of(c);
    for (const auto& pattern : misread_patterns) {
      size_t length = 0;
      while (length < 4 && pattern[length] != 0) ++length;
      bool same = true;
      for (size_t i = 0; i < length && same; ++i) same = (window[4 - length + i] & pattern[i]) != 0;
      if (same) return true;
    }
  }
  return false;
}

std::u32string fix_encoding(std::u32string_view text) {
  std::u32string result(text);
  for (int round = 0; round < most_repairs; ++round) {
    std::u32string better = fix_encoding_once(result);
    if (better == result) break;
    result = std::move(better);
  }
  return result;
}

}  // namespace cutaway
