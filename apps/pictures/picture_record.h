// apps/pictures/: what a run takes in, leaves behind, and says of itself.
//
// What a picture says of itself, and drawing it again from that.   Doc: docs/workflows.md#drawing-again
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tensor/files/png.h"

namespace cutaway::pictures {

/// One thing that a picture's text chunks say.
struct RecordEntry {
  const char* keyword;  // of the chunk
  const char* option;   // on the command line it is this option; "" where it is not chosen, but found out
  const char* hash_of;  // it tells whether the file of this option has changed; "" for all others
};

/// All of them. **A new option that changes the picture gets one line in picture_record.cpp**, and both
/// `generate` and `--from` know it.
const std::vector<RecordEntry>& record_entries();

/// What is known better than the command line says it, by keyword: the seed that
/// was drawn, the size that the model chose.
using Known = std::map<std::string, std::string>;

/// The chunks of a picture: every entry that is known, was given on the command line, or has a default.
std::vector<PngText> to_texts(const CLI::App& command, const Known& known);

/// The run that a picture was drawn by, read from its chunks.
class EarlierRun {
 public:
  /// Sets every option that the command line leaves open. Throws Error when the file is no picture of ours,
  /// or a text in it is no value of its option.
  EarlierRun(const std::string& path, CLI::App& command);

  /// Which picture it is of a batch that was drawn at once, from 1; 0 when all that is drawn is to be kept.
  int64_t place_in_batch() const;

  /// Compares what was found out in this run with what the picture says. Throws Error when a file that it
  /// came from has changed; tells by `warning` what may change the last bits, such as another version.
  void check(const Known& known, const std::function<void(const std::string&)>& warning) const;

 private:
  std::vector<std::string> all(const std::string& keyword) const;
  bool same_batch() const;

  std::string path_;
  std::vector<PngText> texts_;
  std::set<std::string> given_;  // the options that the command line itself has
};

}  // namespace cutaway::pictures
