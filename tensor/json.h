// JSON files: config.json, vocab.json, manifest.json.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace cutaway {

/// Reads a whole JSON file. Throws Error when it cannot be read, is larger than 32 MiB, is not valid JSON in
/// UTF-8 (the message has line and byte), is nested deeper than 64, or an object has the same key twice.
nlohmann::json read_json_file(const std::string& path);

}  // namespace cutaway
