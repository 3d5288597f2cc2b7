// Error: what the library throws. One clear sentence that says where, what was found, what was expected.
#pragma once

#include <stdexcept>
#include <string>

namespace cutaway {

/// Thrown for every mistake the caller can make: wrong shapes, broken files, impossible options.
/// what() is one sentence, ready to be shown to a user.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace cutaway
