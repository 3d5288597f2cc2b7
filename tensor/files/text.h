// Text from outside: UTF-8 taken apart, and shown safely in messages.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cutaway {

/// The code point that starts at text[at]; moves `at` behind it. Where the bytes are not UTF-8 (RFC 3629: no
/// overlong forms, no surrogates, nothing above U+10FFFF) the answer is empty and `at` moves by one byte.
std::optional<char32_t> next_code_point(std::string_view text, size_t& at);

/// Is all of it UTF-8, as next_code_point reads it?
bool is_utf8(std::string_view text);

/// The text between single quotes, fit for one line of a message: control characters and broken UTF-8 become
/// \xNN, and what is longer than about 100 bytes is cut, with "..." in place of the rest.
std::string in_quotes(std::string_view text);

/// Levenshtein's distance: how many letters to insert, delete or replace.
size_t edit_distance(std::string_view a, std::string_view b);

/// "; did you mean 'ddim'?" when one of the known names is near, else "".
std::string did_you_mean(std::string_view name, const std::vector<std::string>& known);

}  // namespace cutaway
