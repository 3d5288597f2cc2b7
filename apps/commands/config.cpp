// `cutaway config`: what the program remembers.   Doc: docs/commands.md#config
#include <cstdio>
#include <filesystem>
#include <memory>

#include "apps/commands/commands.h"
#include "apps/options/user_settings.h"
#include "models/prompt/tokenizer.h"
#include "tensor/error.h"

namespace cutaway {
namespace {

struct ConfigArguments {
  std::string name, value;
  bool forget = false;
};

void show() {
  const std::string path = settings_path(), tokenizer = read_settings().tokenizer;
  std::printf("%s\ntokenizer  %s\n", path.empty() ? "(no place for it)" : path.c_str(),
              tokenizer.empty() ? "(none)" : tokenizer.c_str());
}

void config(const ConfigArguments& arguments) {
  if (arguments.name.empty()) return show();
  UserSettings settings = read_settings();
  if (arguments.forget) {
    settings.tokenizer.clear();
  } else if (arguments.value.empty()) {
    throw Error(
        "name the folder to remember, with vocab.json and merges.txt in it: cutaway config tokenizer DIR");
  } else {
    Tokenizer::load(arguments.value);  // found out now that it cannot be used, not at the next picture
    settings.tokenizer = std::filesystem::absolute(arguments.value).lexically_normal().string();
  }
  write_settings(settings);
  show();
}

}  // namespace

void add_config_command(CLI::App& program, int&) {
  auto arguments = std::make_shared<ConfigArguments>();
  CLI::App& command = *program.add_subcommand(
      "config", "Show what is remembered, or remember where CLIP's vocabulary is, for models in one file");
  command.add_option("name", arguments->name, "What to remember: tokenizer")
      ->check(CLI::IsMember({"tokenizer"}));
  command.add_option("value", arguments->value, "The folder with vocab.json and merges.txt")
      ->type_name("DIR");
  command.add_flag("--forget", arguments->forget, "Remember it no longer");
  command.callback([arguments] { config(*arguments); });
}

}  // namespace cutaway
