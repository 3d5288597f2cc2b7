#include "apps/describe/sources.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <vector>

#include "tensor/error.h"
#include "tensor/files/text.h"

namespace cutaway::describe {

namespace fs = std::filesystem;

SourceLines::SourceLines(const std::string& root, const std::string& prefix, const std::string& out)
    : prefix_(prefix) {
  if (root.empty()) return;
  std::error_code error;
  if (prefix_.empty() && !out.empty()) {
    const fs::path folder = fs::absolute(out).parent_path();
    prefix_ = fs::relative(fs::absolute(root), folder, error).generic_string() + "/";
  }
  std::vector<std::string> files;
  for (const char* folder : {"tensor", "nn", "samplers", "models"}) {
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(root) / folder, error)) {
      if (entry.path().extension() == ".h")
        files.push_back(entry.path().lexically_relative(root).generic_string());
    }
  }
  if (files.empty()) {
    throw Error(in_quotes(root) + " is no source tree of Cutaway: tensor/, nn/ and models/ must be in it");
  }
  // An operation is declared in tensor/ops.h, its versions in folders below: what is further up comes first.
  std::sort(files.begin(), files.end(), [](const std::string& a, const std::string& b) {
    const auto depth = [](const std::string& file) { return std::count(file.begin(), file.end(), '/'); };
    return std::pair(depth(a), a) < std::pair(depth(b), b);
  });
  for (const std::string& file : files) scan(root, file);
}

void SourceLines::scan(const std::string& root, const std::string& file) {
  // What stands at the left margin is declared there: "struct ResBlock : Module {", "Tensor silu(const ...".
  static const std::regex declaration(R"(^(?:struct (\w+)[^;]*\{.*|Tensor (\w+)\(.*)$)");
  std::ifstream lines(fs::path(root) / file);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    std::smatch match;
    if (!std::regex_match(line, match, declaration)) continue;
    const std::string name = match[1].matched ? match[1] : match[2];
    links_.try_emplace(name, file + "#L" + std::to_string(number));
  }
}

std::string SourceLines::link(const std::string& name) const {
  const auto found = links_.find(name);
  return found == links_.end() ? "" : prefix_ + found->second;
}

}  // namespace cutaway::describe
