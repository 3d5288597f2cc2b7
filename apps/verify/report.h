// What `cutaway verify` prints.
#pragma once

#include <string>

#include "apps/verify/cases.h"

namespace cutaway::verify {

enum class Status { passed, failed, skipped };

struct Result {
  Status status = Status::failed;
  Comparisons comparisons;
  std::string reason;  // why skipped, or why it could not be run
};

class Report {
 public:
  /// `layers`: also a table of every value of each case.
  Report(size_t longest_name, bool layers);

  void add(const std::string& name, const Result& result);
  /// The closing line.
  void close() const;
  int failed() const { return failed_; }

 private:
  void print_layers(const Comparisons& comparisons) const;
  std::string coloured(const std::string& text, const char* colour) const;

  size_t longest_name_;
  bool layers_;
  bool terminal_;
  int passed_ = 0, failed_ = 0, skipped_ = 0;
};

}  // namespace cutaway::verify
