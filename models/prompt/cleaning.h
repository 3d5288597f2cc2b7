// Cleaning of prompts, before the tokenizer: what ftfy and CLIP do to the text.   Doc: docs/tokenizer.md
#pragma once

#include <string>
#include <string_view>

namespace cutaway {

// Text is UTF-32 here, so that one element is one character (a Unicode code point).

/// Each byte that is not part of valid UTF-8 becomes U+FFFD.
std::u32string decode_utf8(std::string_view text);
std::string encode_utf8(std::u32string_view text);

// Character classes of Unicode: \p{L}, \p{N} and \s of the regular expression that splits words.
bool is_letter(char32_t c);
bool is_number(char32_t c);
bool is_space(char32_t c);

/// All of it, in CLIP's order: fix_text, unescape_html twice, collapse_spaces, lower_case.
std::u32string clean_prompt(std::string_view prompt);

/// What a browser shows for the entities in `text`: "&amp;", "&#65;", "&#x41;", and old
/// names also without ";". Numbers 128 to 159 mean Windows-1252; impossible numbers vanish
/// or become U+FFFD. (Python: html.unescape)
std::u32string unescape_html(std::u32string_view text);
/// No space at the ends, one ' ' for each run of white space inside.
std::u32string collapse_spaces(std::u32string_view text);
/// Python's str.lower: character by character, but a capital sigma at
/// the end of a word becomes the final one.
std::u32string lower_case(std::u32string_view text);

/// What ftfy.fix_text does with its default settings, line by line: the steps below until nothing changes.
/// Entities stay from the first line on that has a '<', since such a text may be HTML on purpose.
std::u32string fix_text(std::u32string_view text);
/// A repair can bring the next fault to light. ftfy goes on until nothing changes, which a hostile text can
/// make very long; here it ends after this many times.
inline constexpr int most_repairs = 16;

// Its steps, in order.

/// As unescape_html, but only with ";", and also names that someone put into capitals: "&EACUTE;".
std::u32string unescape_closed_entities(std::u32string_view text);
/// UTF-8 that was read as Latin-1 or Windows-1252 is read again: "cafÃ©" becomes "café".
std::u32string fix_encoding(std::u32string_view text);
/// The control characters U+0080 to U+009F become what Windows-1252 has in their place, such as curly quotes.
std::u32string from_windows_1252(std::u32string_view text);
char32_t from_windows_1252(char32_t c);
/// Whether characters stand side by side that hardly anyone writes so, but that wrong reading makes.
bool looks_like_mojibake(std::u32string_view text);
/// Ligatures of Latin letters become the letters.
std::u32string split_ligatures(std::u32string_view text);
/// Full-width Latin and half-width Japanese and Korean characters become those of normal width.
std::u32string fix_character_width(std::u32string_view text);
/// Typographic quotation marks and apostrophes become ' and ".
std::u32string uncurl_quotes(std::u32string_view text);
/// Every kind of line end becomes '\n'.
std::u32string fix_line_breaks(std::u32string_view text);
/// Removes commands to terminals, such as ESC [31m for red.
std::u32string remove_terminal_escapes(std::u32string_view text);
/// Removes control characters that mean nothing in a text, and the byte order mark.
std::u32string remove_control_characters(std::u32string_view text);
/// Unicode's normal form C: "e" and a combining accent become "é".
std::u32string normalize(std::u32string_view text);

}  // namespace cutaway
