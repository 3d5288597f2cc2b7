#include "tensor/files/json.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <vector>

#include "tensor/error.h"
#include "tensor/files/mapped_file.h"
#include "tensor/files/text.h"

namespace cutaway {
namespace {

using nlohmann::json;

// A parsed tree can be twenty times larger than the text: a 0 in a list takes two letters
// and 32 bytes. So the values are counted as well. CLIP's vocabulary, the largest file
// that is read, has 1 MB and 49,408 values.
constexpr size_t largest_text = 8 << 20;
constexpr size_t most_values = 300'000;
constexpr int deepest = 64;

std::string line_of(std::string_view text, size_t byte) {
  const auto lines = std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(byte), '\n');
  return "line " + std::to_string(lines + 1) + ", byte " + std::to_string(byte + 1);
}

// Called by the parser for each piece. Throws Error when the nesting is too deep or a key comes again.
class StructureCheck {
 public:
  explicit StructureCheck(const std::string& what) : what_(what) {}

  bool operator()(int depth, json::parse_event_t event, json& piece) {
    const bool opens =
        event == json::parse_event_t::object_start || event == json::parse_event_t::array_start;
    if ((opens || event == json::parse_event_t::value) && ++values_ > most_values) {
      throw Error(what_ + " holds more than " + std::to_string(most_values) + " values");
    }
    if (opens && depth >= deepest) {
      throw Error(what_ + " is nested deeper than " + std::to_string(deepest));
    }
    if (event == json::parse_event_t::object_start) keys_.emplace_back();
    if (event == json::parse_event_t::object_end) keys_.pop_back();
    if (event == json::parse_event_t::key && !keys_.back().insert(piece.get<std::string>()).second) {
      throw Error(what_ + " has the key " + in_quotes(piece.get<std::string>()) + " twice in one object");
    }
    return true;  // keep the piece
  }

 private:
  const std::string& what_;
  size_t values_ = 0;
  std::vector<std::set<std::string>> keys_;  // of the objects that are open
};

}  // namespace

json parse_json(const std::string& what, std::string_view text) {
  if (text.size() > largest_text) {
    throw Error(what + " has " + std::to_string(text.size()) + " bytes, and JSON is read up to " +
                std::to_string(largest_text));
  }
  // The parser takes a zero byte for the end, so that what follows would go unseen.
  if (const size_t zero = text.find('\0'); zero != std::string_view::npos) {
    throw Error(what + " is not valid JSON: it has a zero byte at " + line_of(text, zero));
  }
  try {
    StructureCheck check(what);
    return json::parse(text.begin(), text.end(), std::ref(check));
  } catch (const json::parse_error& error) {
    const std::string_view says =
        error.what();  // "[json.exception...] parse error at line 1, column 2: what is wrong"
    const size_t colon = says.find(": ");
    const size_t byte = std::min(text.size(), error.byte) - (error.byte > 0 ? 1 : 0);
    throw Error(what + " is not valid JSON at " + line_of(text, byte) + ": " +
                in_quotes(colon == std::string_view::npos ? says : says.substr(colon + 2)));
  } catch (const json::exception& error) {
    throw Error(what + " cannot be read as JSON: " + in_quotes(error.what()));
  }
}

json read_json_file(const std::string& path) {
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  return parse_json("the file " + path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace cutaway
