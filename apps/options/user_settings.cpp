#include "apps/options/user_settings.h"

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tensor/error.h"
#include "tensor/files/file_writer.h"
#include "tensor/files/json.h"

namespace cutaway {
namespace {

namespace fs = std::filesystem;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

// An empty object where there is no file.
nlohmann::json settings_file(const std::string& path) {
  std::error_code ignored;
  if (path.empty() || !fs::exists(path, ignored)) return nlohmann::json::object();
  nlohmann::json settings = read_json_file(path);
  if (!settings.is_object()) throw Error(path + " must hold a JSON object, {\"tokenizer\": \"DIR\"}");
  return settings;
}

}  // namespace

std::string settings_path() {
  // The specification: a path that is not absolute is to be ignored.
  if (const std::string config = variable("XDG_CONFIG_HOME"); config.starts_with('/'))
    return config + "/cutaway/config.json";
  if (const std::string home = variable("HOME"); home.starts_with('/'))
    return home + "/.config/cutaway/config.json";
  return "";
}

UserSettings read_settings() {
  const std::string path = settings_path();
  const nlohmann::json json = settings_file(path);
  UserSettings settings;
  if (const auto found = json.find("tokenizer"); found != json.end()) {
    if (!found->is_string()) throw Error(path + ": \"tokenizer\" must be a text, the path of a folder");
    settings.tokenizer = found->get<std::string>();
  }
  return settings;
}

void write_settings(const UserSettings& settings) {
  const std::string path = settings_path();
  if (path.empty())
    throw Error("there is no place to remember it in: neither XDG_CONFIG_HOME nor HOME is an absolute path");
  nlohmann::json json = settings_file(path);
  if (settings.tokenizer.empty()) {
    json.erase("tokenizer");
  } else {
    json["tokenizer"] = settings.tokenizer;
  }
  std::error_code error;
  fs::create_directories(fs::path(path).parent_path(), error);
  if (error)
    throw Error("cannot make the folder " + fs::path(path).parent_path().string() + ": " + error.message());
  FileWriter file(path);
  file.write(json.dump(2) + "\n");
  file.commit();
}

}  // namespace cutaway
