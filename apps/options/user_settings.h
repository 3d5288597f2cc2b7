// What the program remembers for its user, in one small file.   Doc: docs/commands.md#config
#pragma once

#include <string>

namespace cutaway {

/// $XDG_CONFIG_HOME/cutaway/config.json, or ~/.config/cutaway/config.json (XDG Base Directory Specification).
/// "" where neither variable says where.
std::string settings_path();

struct UserSettings {
  std::string tokenizer;  // folder with vocab.json and merges.txt, for models in one file
};

/// Defaults where there is no such file. Throws Error when it is there and cannot be understood.
UserSettings read_settings();
/// Keys of the file that this program does not know stay. Throws Error when it cannot be written.
void write_settings(const UserSettings& settings);

}  // namespace cutaway
