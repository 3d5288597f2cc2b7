// `cutaway inspect`: says what a file or a folder of weights is.   Doc: docs/checkpoints.md
#include <cstdio>
#include <nlohmann/json.hpp>

#include "apps/commands/commands.h"
#include "apps/describe/format.h"
#include "models/checkpoints/checkpoint.h"
#include "tensor/files/text.h"

namespace cutaway {
namespace {

using nlohmann::json;

std::string joined(const std::set<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

std::set<std::string> dtypes_of(const CheckpointSummary& summary) {
  std::set<std::string> dtypes;
  for (const CheckpointPart& part : summary.parts) dtypes.insert(part.dtypes.begin(), part.dtypes.end());
  return dtypes;
}

json as_json(const std::vector<CheckpointPart>& parts) {
  json list = json::object();
  for (const CheckpointPart& part : parts) {
    list[part.name] = {{"tensors", part.tensors}, {"parameters", part.parameters}, {"dtypes", part.dtypes}};
  }
  return list;
}

json as_json(const CheckpointSummary& summary, const std::string& path) {
  json out = {{"path", path},
              {"family", summary.family},
              {"naming", summary.naming},
              {"format", summary.format},
              {"layout", summary.folder ? "folder" : "file"},
              {"files", summary.files},
              {"dtypes", dtypes_of(summary)},
              {"parts", as_json(summary.parts)},
              {"ignored", as_json(summary.ignored)},
              {"in_channels", nullptr},
              {"advice", summary.advice}};
  if (summary.in_channels > 0) out["in_channels"] = summary.in_channels;
  return out;
}

void print_parts(const std::vector<CheckpointPart>& parts, const char* note) {
  for (const CheckpointPart& part : parts) {
    std::printf("  %-16s %6lld tensors %17s parameters  %s%s\n", part.name.c_str(),
                static_cast<long long>(part.tensors), describe::with_commas(part.parameters).c_str(),
                joined(part.dtypes).c_str(), note);
  }
}

void print_table(const CheckpointSummary& summary, const std::string& path) {
  std::printf("%s\n", path.c_str());
  std::printf("family        %s\n", summary.family.c_str());
  std::printf("naming        %s\n", summary.naming.c_str());
  std::printf("format        %s, %s\n", summary.format.c_str(),
              summary.files == 1 ? "1 file" : (std::to_string(summary.files) + " files").c_str());
  std::printf("dtypes        %s\n", joined(dtypes_of(summary)).c_str());
  if (summary.in_channels > 0)
    std::printf("in channels   %lld\n", static_cast<long long>(summary.in_channels));
  std::printf("parts\n");
  print_parts(summary.parts, "");
  print_parts(summary.ignored, "  (not used)");
  std::printf("%s.\n", summary.advice.c_str());
}

}  // namespace

void add_inspect_command(CLI::App& program, int&) {
  struct Arguments {
    std::string path, as = "table";
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App& command =
      *program.add_subcommand("inspect", "Say what a file or folder of weights is, without loading it");
  command.add_option("path", arguments->path, "A file, a list of shards (index.json) or a folder")
      ->type_name("FILE|FOLDER")
      ->required();
  command.add_option("--as", arguments->as, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  command.callback([arguments] {
    const CheckpointSummary summary = inspect_checkpoint(arguments->path);
    if (arguments->as == "json") {
      // Names from a file may hold anything; what is no UTF-8 is replaced.
      std::printf(
          "%s\n",
          as_json(summary, arguments->path).dump(2, ' ', false, json::error_handler_t::replace).c_str());
    } else {
      print_table(summary, arguments->path);
    }
  });
}

}  // namespace cutaway
