#include "tensor/files/text.h"

#include <algorithm>
#include <cstdint>
#include <numeric>

namespace cutaway {

std::optional<char32_t> next_code_point(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(text[i])); };
  const size_t start = at++;
  const uint32_t first = byte(start);
  if (first < 0x80) return first;
  const size_t following = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
  if (first < 0xC0 || first >= 0xF8 || following >= text.size() - start) return std::nullopt;
  uint32_t code = first & (0x3FU >> following);
  for (size_t i = 1; i <= following; ++i) {
    if ((byte(start + i) & 0xC0U) != 0x80U) return std::nullopt;
    code = code << 6 | (byte(start + i) & 0x3FU);
  }
  constexpr uint32_t smallest[] = {0, 0x80, 0x800, 0x10000};  // what needs this many following bytes
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (code < smallest[following] || surrogate || code > 0x10FFFF) return std::nullopt;
  at = start + 1 + following;
  return code;
}

bool is_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    if (!next_code_point(text, at)) return false;
  }
  return true;
}

std::string in_quotes(std::string_view text) {
  constexpr size_t longest = 100;
  constexpr char hex[] = "0123456789abcdef";
  std::string shown = "'";
  for (size_t at = 0; at < text.size();) {
    if (shown.size() > longest)
      return shown + "...'";  // what is shown counts: a broken byte takes four letters
    const size_t start = at;
    const auto code = next_code_point(text, at);
    if (code && *code >= 0x20 && !(*code >= 0x7F && *code < 0xA0)) {
      shown += text.substr(start, at - start);
      continue;
    }
    for (const char c : text.substr(start, at - start)) {
      const auto byte = static_cast<unsigned char>(c);
      shown += "\\x";
      shown += hex[byte >> 4];
      shown += hex[byte & 15];
    }
  }
  return shown + "'";
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);  // distances of a's first letters to each beginning of b
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

std::string did_you_mean(std::string_view name, const std::vector<std::string>& known) {
  const std::string* nearest = nullptr;
  size_t least = std::max<size_t>(2, name.size() / 3) + 1;
  for (const std::string& candidate : known) {
    const size_t distance = edit_distance(name, candidate);
    if (distance >= least) continue;
    least = distance;
    nearest = &candidate;
  }
  return nearest == nullptr ? "" : "; did you mean " + *nearest + "?";
}

}  // namespace cutaway
