// Files that break a rule of their format: one SUBCASE for each, which is refused for the right reason.
#pragma once

#include <string>
#include <vector>

#include "tensor/files/tensor_file.h"
#include "tests/tensor/files/files.h"

namespace cutaway::test {

struct Wrong {
  const char* what;
  std::string bytes;
  const char* says;  // a part of the message
};

/// A message for people: one line of reasonable length that names the file.
inline void check_sentence(const std::string& message, const std::string& file) {
  CAPTURE(message);
  CHECK(contains(message, file));
  CHECK_FALSE(contains(message, "\n"));
  CHECK(message.size() < 900);
}

/// Each is refused with one sentence that names the file and holds the words.
inline void check_each_refused(const std::vector<Wrong>& cases, const std::string& file) {
  for (const Wrong& wrong : cases) {
    SUBCASE(wrong.what) {
      const TemporaryFolder folder;
      write_bytes(folder / file, wrong.bytes);
      const std::string message = error_of([&] { TensorFile::open(folder / file); });
      check_sentence(message, folder / file);
      CHECK(contains(message, wrong.says));
    }
  }
}

}  // namespace cutaway::test
