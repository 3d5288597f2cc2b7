// manifest.json: which cases a folder of reference tensors has.   Doc: docs/verify.md
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cutaway::verify {

/// A JSON object read with checks; every mistake in it becomes an Error that names the key and the place.
class Params {
 public:
  Params() = default;
  Params(nlohmann::json values, std::string where);

  bool has(const std::string& key) const;
  int64_t integer(const std::string& key, int64_t otherwise) const;
  double number(const std::string& key, double otherwise) const;
  bool flag(const std::string& key, bool otherwise) const;
  std::string text(const std::string& key, const std::string& otherwise) const;
  /// Throws Error when it is absent.
  std::string text(const std::string& key) const;
  std::vector<int64_t> integers(const std::string& key) const;
  std::vector<std::string> texts(const std::string& key) const;
  /// The object under a key; an empty one when it is absent.
  Params object(const std::string& key) const;
  std::vector<std::string> keys() const;

  const nlohmann::json& values() const { return values_; }
  const std::string& where() const { return where_; }
  [[noreturn]] void refuse(const std::string& key, const std::string& rule) const;

 private:
  const nlohmann::json* find(const std::string& key) const;

  nlohmann::json values_ = nlohmann::json::object();
  std::string where_;
};

enum class Role { weight, input, output, trace };

/// One tensor of a file, as the manifest describes it.
struct TensorEntry {
  std::string name;
  Role role;
  std::vector<int64_t> shape;
  std::string dtype;
  std::optional<double> atol;  // for outputs and traces: how far a value may be off
};

/// One file of the manifest.
struct FileEntry {
  std::string file;     // below the folder
  std::string kind;     // what it is a case of: decides how it is run
  std::string weights;  // "file", "base", "formula" or "none"
  Params params;
  std::vector<TensorEntry> tensors;  // in the manifest's order, which is that of execution

  /// Null when there is none of this name.
  const TensorEntry* find(std::string_view name) const;
};

struct Manifest {
  std::string folder;
  std::vector<FileEntry> files;  // in the manifest's order

  /// Throws Error when the folder has no manifest.json or it is broken.
  static Manifest read(const std::string& folder);
  const FileEntry* find(std::string_view file) const;
  std::string path_of(const std::string& file) const { return folder + "/" + file; }
};

/// The parts of a tensor's name, "<tag>/<section>/<rest>": "small/out/sample" is small, out, sample.
struct NameParts {
  std::string tag;      // "" for the first run of a file
  std::string section;  // "in", "out", "trace", "act"; "" for a weight and for loose values
  std::string rest;
};
NameParts parts_of(const std::string& name);

}  // namespace cutaway::verify
