// ByteReader: numbers out of a file's bytes, never beyond their end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "tensor/error.h"

namespace cutaway {

/// Reads numbers and texts from front to back, and refuses to read beyond the end.
class ByteReader {
 public:
  /// `what` begins every message: the file, and what it is not: "x.gguf is not a usable GGUF file: ".
  ByteReader(std::span<const std::byte> bytes, std::string what) : bytes_(bytes), what_(std::move(what)) {}

  size_t at() const { return at_; }
  size_t left() const { return bytes_.size() - at_; }
  [[noreturn]] void fail(const std::string& problem) const { throw Error(what_ + problem); }

  /// The next `count` bytes. Throws Error when there are fewer.
  std::span<const std::byte> take(uint64_t count, const char* of) {
    if (count > left()) {
      fail(std::string("it ends within ") + of + ", at byte " + std::to_string(at_) + " of " +
           std::to_string(bytes_.size()));
    }
    const auto taken = bytes_.subspan(at_, static_cast<size_t>(count));
    at_ += static_cast<size_t>(count);
    return taken;
  }
  std::string_view text(uint64_t count, const char* of) {
    const auto taken = take(count, of);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }
  /// A little-endian number.
  template <class Number>
  Number number(const char* of) {
    static_assert(std::is_arithmetic_v<Number>);
    Number value;
    std::memcpy(&value, take(sizeof value, of).data(), sizeof value);
    return value;
  }

 private:
  std::span<const std::byte> bytes_;
  std::string what_;
  size_t at_ = 0;
};

}  // namespace cutaway
