// JSON files: config.json, vocab.json, manifest.json.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace cutaway {

/// Reads a whole JSON file. Throws Error when it cannot be read, is larger than 8 MiB, is not valid JSON in
/// UTF-8 (the message has line and byte), is nested deeper than 64, holds more than 300,000 values, or an
/// object has the same key twice.
nlohmann::json read_json_file(const std::string& path);

/// The same for a text; `what` is what the messages call it, such as "the file x/config.json".
nlohmann::json parse_json(const std::string& what, std::string_view text);

}  // namespace cutaway
