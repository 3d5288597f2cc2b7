// Pickle, the part of it that describes tensors. Pickle is a language for a small machine with a stack, and
// in Python a pickle can run any function; here no function exists but those that describe a tensor. The
// format: pickletools.py of Python.   Doc: docs/checkpoints.md
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tensor/files/byte_reader.h"

namespace cutaway {

/// A value on the machine's stack. Texts point into the pickle.
struct PickleValue {
  enum class Kind {
    none,
    boolean,
    integer,
    big_integer,  // more than 64 bits; its bytes are in `text`
    real,
    text,
    bytes,
    tuple,
    list,
    dict,     // items: key, value, key, value, ...
    name,     // one of the known names, such as torch FloatStorage; in `text`
    storage,  // items: dtype (a name), key (a text), number of values
    tensor,   // items: storage, offset, sizes, strides
  };
  Kind kind = Kind::none;
  int64_t integer = 0;
  std::string_view text;
  std::vector<const PickleValue*> items;

  /// The value at a key of a dict, null when it has none.
  const PickleValue* at(std::string_view key) const;
};

/// All values that a pickle makes, and keeps until it is gone.
class Pickle {
 public:
  /// Runs the machine up to the first STOP. Throws Error for an unknown instruction, a name
  /// that is not among the known ones, a call of anything but what describes a tensor, a value
  /// of the wrong kind, or too many of them.
  explicit Pickle(ByteReader& reader);

  const PickleValue& root() const { return *root_; }

 private:
  friend class PickleMachine;
  std::deque<PickleValue> values_;
  const PickleValue* root_ = nullptr;
};

/// "F32" for "torch FloatStorage"; "" for other names.
std::string_view dtype_of_storage(std::string_view name);

// Far above any real checkpoint's (SD 1.x has 1131 tensors, some 60,000 instructions and 30,000 values); they
// bound the memory that a hostile pickle can claim, where a few bytes can stand for many.
namespace pickle_limits {
constexpr size_t bytes = 64 << 20;
constexpr size_t instructions = 1'000'000;
constexpr size_t values = 150'000;
constexpr size_t tensors = 50'000;
constexpr size_t name_bytes = 8 << 20;  // of all names together
}  // namespace pickle_limits

}  // namespace cutaway
