// Where in the source tree a struct or an operation is declared.
#pragma once

#include <map>
#include <string>

namespace cutaway::describe {

class SourceLines {
 public:
  /// Scans the headers below `root`; an empty root gives no links. Links begin with `prefix`, or, when that
  /// is empty, with the way from the folder of the file `out` to `root`. Throws Error when `root` is no
  /// source tree of ours.
  SourceLines(const std::string& root, const std::string& prefix, const std::string& out);

  /// "../../nn/resblock.h#L14" for "ResBlock" (a struct) or "silu" (an operation); "" when it is not known.
  std::string link(const std::string& name) const;

 private:
  void scan(const std::string& root, const std::string& file);

  std::map<std::string, std::string> links_;
  std::string prefix_;
};

}  // namespace cutaway::describe
