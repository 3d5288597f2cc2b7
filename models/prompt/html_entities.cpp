// HTML entities in prompts: "&amp;", "&#65;".
#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <sstream>
#include <unordered_map>

#include "models/prompt/cleaning.h"

namespace cutaway {
namespace {

bool is_ascii_letter(char32_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char32_t c) { return c >= '0' && c <= '9'; }

// The names of HTML 4 for U+00A0 to U+00FF in order: those that browsers also know without ";".
constexpr char latin_1_names[] =
    "nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 "
    "sup3 acute micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc "
    "Atilde Auml Aring AElig Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve "
    "Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc Uuml Yacute THORN szlig agrave aacute "
    "acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave iacute icirc iuml eth ntilde "
    "ograve oacute ocirc otilde ouml divide oslash ugrave uacute ucirc uuml yacute thorn yuml";

constexpr char other_unclosed_names[] =
    "amp=26 AMP=26 lt=3C LT=3C gt=3E GT=3E quot=22 QUOT=22 COPY=A9 REG=AE";

// HTML 5's names of ASCII characters, and HTML 4's of letters and symbols, with their code points.
constexpr char other_names[] =
    "Tab=9 NewLine=A excl=21 num=23 dollar=24 percnt=25 apos=27 lpar=28 rpar=29 ast=2A midast=2A "
    "plus=2B comma=2C period=2E sol=2F colon=3A semi=3B equals=3D quest=3F commat=40 lbrack=5B lsqb=5B "
    "bsol=5C rbrack=5D rsqb=5D Hat=5E UnderBar=5F lowbar=5F DiacriticalGrave=60 grave=60 lbrace=7B "
    "lcub=7B VerticalLine=7C verbar=7C vert=7C rbrace=7D rcub=7D "
    "OElig=152 oelig=153 Scaron=160 scaron=161 Yuml=178 fnof=192 circ=2C6 tilde=2DC Alpha=391 Beta=392 "
    "Gamma=393 Delta=394 Epsilon=395 Zeta=396 Eta=397 Theta=398 Iota=399 Kappa=39A Lambda=39B Mu=39C "
    "Nu=39D Xi=39E Omicron=39F Pi=3A0 Rho=3A1 Sigma=3A3 Tau=3A4 Upsilon=3A5 Phi=3A6 Chi=3A7 Psi=3A8 "
    "Omega=3A9 alpha=3B1 beta=3B2 gamma=3B3 delta=3B4 epsilon=3B5 zeta=3B6 eta=3B7 theta=3B8 iota=3B9 "
    "kappa=3BA lambda=3BB mu=3BC nu=3BD xi=3BE omicron=3BF pi=3C0 rho=3C1 sigmaf=3C2 sigma=3C3 tau=3C4 "
    "upsilon=3C5 phi=3C6 chi=3C7 psi=3C8 omega=3C9 thetasym=3D1 upsih=3D2 piv=3D6 ensp=2002 emsp=2003 "
    "thinsp=2009 zwnj=200C zwj=200D lrm=200E rlm=200F ndash=2013 mdash=2014 lsquo=2018 rsquo=2019 "
    "sbquo=201A ldquo=201C rdquo=201D bdquo=201E dagger=2020 Dagger=2021 bull=2022 hellip=2026 "
    "permil=2030 prime=2032 Prime=2033 lsaquo=2039 rsaquo=203A oline=203E frasl=2044 euro=20AC "
    "image=2111 weierp=2118 real=211C trade=2122 alefsym=2135 larr=2190 uarr=2191 rarr=2192 darr=2193 "
    "harr=2194 crarr=21B5 lArr=21D0 uArr=21D1 rArr=21D2 dArr=21D3 hArr=21D4 forall=2200 part=2202 "
    "exist=2203 empty=2205 nabla=2207 isin=2208 notin=2209 ni=220B prod=220F sum=2211 minus=2212 "
    "lowast=2217 radic=221A prop=221D infin=221E ang=2220 and=2227 or=2228 cap=2229 cup=222A int=222B "
    "there4=2234 sim=223C cong=2245 asymp=2248 ne=2260 equiv=2261 le=2264 ge=2265 sub=2282 sup=2283 "
    "nsub=2284 sube=2286 supe=2287 oplus=2295 otimes=2297 perp=22A5 sdot=22C5 lceil=2308 rceil=2309 "
    "lfloor=230A rfloor=230B lang=27E8 rang=27E9 loz=25CA spades=2660 clubs=2663 hearts=2665 diams=2666";

using Names = std::unordered_map<std::u32string, char32_t>;

struct Entities {
  Names all;
  Names unclosed;  // those that are also known without ";"
};

void add(Names& names, const char* list) {
  std::istringstream words(list);
  for (std::string word; words >> word;) {
    const size_t equals = word.find('=');
    names[decode_utf8(word.substr(0, equals))] =
        static_cast<char32_t>(std::stoul(word.substr(equals + 1), nullptr, 16));
  }
}

const Entities& entities() {
  static const Entities both = [] {
    Entities result;
    std::istringstream latin_1(latin_1_names);
    char32_t c = 0xA0;
    for (std::string name; latin_1 >> name; ++c) result.unclosed[decode_utf8(name)] = c;
    add(result.unclosed, other_unclosed_names);
    result.all = result.unclosed;
    add(result.all, other_names);
    return result;
  }();
  return both;
}

// The number of characters from text[at] on that are `wanted`, at most `most`.
template <class Wanted>
size_t count_while(std::u32string_view text, size_t at, size_t most, Wanted wanted) {
  size_t count = 0;
  while (count < most && at + count < text.size() && wanted(text[at + count])) ++count;
  return count;
}

// The text of "&#number;". HTML 5 (13.2.5.80) repairs the numbers of old pages, which meant Windows-1252.
std::u32string numbered_character(uint32_t number) {
  if (number == 0 || number > 0x10FFFF || (number >= 0xD800 && number < 0xE000)) return U"\uFFFD";
  if (number >= 0x80 && number < 0xA0) return {from_windows_1252(number)};
  const bool control =
      (number < 0x20 && !(number >= '\t' && number <= '\r' && number != 0x0B)) || number == 0x7F;
  const bool no_character = (number >= 0xFDD0 && number <= 0xFDEF) || (number & 0xFFFE) == 0xFFFE;
  if (control || no_character) return {};
  return {static_cast<char32_t>(number)};
}

struct Entity {
  std::u32string meaning;
  size_t length;  // of "&...;" in the text
};

// "&#65;" or "&#x41;", also without ";".
std::optional<Entity> numeric_entity(std::u32string_view text, size_t at) {
  size_t end = at + 2;
  const bool hex = end < text.size() && (text[end] == 'x' || text[end] == 'X');
  if (hex) ++end;
  const size_t first_digit = end;
  uint32_t number = 0;
  for (; end < text.size(); ++end) {
    const char32_t c = text[end];
    const char32_t small = c | 0x20U;
    const bool letter = hex && small >= 'a' && small <= 'f' && is_ascii_letter(c);
    if (!is_digit(c) && !letter) break;
    const uint32_t digit = letter ? small - 'a' + 10 : c - '0';
    // More is as wrong, and must not overflow.
    number = std::min(number * (hex ? 16U : 10U) + digit, 0x110000U);
  }
  if (end == first_digit) return std::nullopt;
  if (end < text.size() && text[end] == ';') ++end;
  return Entity{numbered_character(number), end - at};
}

// "&eacute;", or the longest name without ";" that the text goes on with: "&notit" is "¬it".
std::optional<Entity> named_entity(std::u32string_view text, size_t at) {
  constexpr size_t longest = 32;
  const auto in_name = [](char32_t c) {
    return std::u32string_view(U"\t\n\f <&#;").find(c) == std::u32string::npos;
  };
  size_t length = count_while(text, at + 1, longest, in_name);
  std::u32string name(text.substr(at + 1, length));
  const size_t end = at + 1 + length;
  if (end < text.size() && text[end] == ';') {
    const auto known = entities().all.find(name);
    if (known != entities().all.end()) return Entity{{known->second}, length + 2};
  }
  for (; !name.empty(); name.pop_back()) {
    const auto known = entities().unclosed.find(name);
    if (known == entities().unclosed.end()) continue;
    const bool closed = at + 1 + name.size() == end && end < text.size() && text[end] == ';';
    return Entity{{known->second}, name.size() + (closed ? 2 : 1)};
  }
  return std::nullopt;
}

// As HTML entities are written with care: "&", perhaps "#", 1 to 24 letters and digits, ";".
std::optional<Entity> closed_entity(std::u32string_view text, size_t at) {
  constexpr size_t longest = 24;
  const bool numeric = at + 1 < text.size() && text[at + 1] == '#';
  const size_t start = at + (numeric ? 2 : 1);
  const size_t length =
      count_while(text, start, longest, [](char32_t c) { return is_ascii_letter(c) || is_digit(c); });
  const size_t end = start + length;
  if (length == 0 || end == text.size() || text[end] != ';') return std::nullopt;
  if (numeric) {
    const auto entity = numeric_entity(text, at);
    if (!entity || entity->length != end + 1 - at || entity->meaning == U";") return std::nullopt;
    return entity;
  }
  const std::u32string name(text.substr(start, length));
  const auto known = entities().all.find(name);
  if (known != entities().all.end()) return Entity{{known->second}, length + 2};
  const bool capitals =
      std::none_of(name.begin(), name.end(), [](char32_t c) { return c >= 'a' && c <= 'z'; });
  const auto small = entities().all.find(lower_case(name));
  if (!capitals || small == entities().all.end()) return std::nullopt;
  if (small->second == U'ß') return Entity{U"SS", length + 2};
  const auto upper = utf8proc_toupper(static_cast<utf8proc_int32_t>(small->second));
  return Entity{{static_cast<char32_t>(upper)}, length + 2};
}

template <class Find>
std::u32string replace_entities(std::u32string_view text, Find find) {
  std::u32string result;
  result.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const std::optional<Entity> entity = text[at] == '&' ? find(text, at) : std::nullopt;
    result += entity ? entity->meaning : std::u32string{text[at]};
    at += entity ? entity->length : 1;
  }
  return result;
}

}  // namespace

std::u32string unescape_html(std::u32string_view text) {
  return replace_entities(text, [](std::u32string_view all, size_t at) {
    const bool numeric = at + 1 < all.size() && all[at + 1] == '#';
    return numeric ? numeric_entity(all, at) : named_entity(all, at);
  });
}

std::u32string unescape_closed_entities(std::u32string_view text) {
  return replace_entities(text, closed_entity);
}

}  // namespace cutaway
