// Shape: the extents of a tensor, outermost first.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace cutaway {

/// Up to four extents, outermost first: [N, C, H, W] images, [N, T, C] tokens, [N, heads, T, d] attention.
/// A shape without extents, [], is that of a single number.
class Shape {
 public:
  static constexpr int max_rank = 4;

  Shape() = default;
  /// Throws Error when there are more than four extents, one is below 1, or their product overflows.
  Shape(std::initializer_list<int64_t> extents)
      : Shape(std::span<const int64_t>(extents.begin(), extents.size())) {}
  explicit Shape(std::span<const int64_t> extents);

  int rank() const { return rank_; }
  /// The extent of one axis; -1 is the last axis, -2 the one before it.
  /// Throws Error when there is no such axis.
  int64_t operator[](int axis) const;
  /// How many numbers a tensor of this shape holds.
  int64_t count() const { return count_; }
  /// The same shape with another extent at one axis (negative axes count from the end).
  Shape with(int axis, int64_t extent) const;

  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  int resolve(int axis) const;

  std::array<int64_t, max_rank> extents_{};
  int rank_ = 0;
  int64_t count_ = 1;
};

/// "[1, 4, 64, 64]"
std::string to_string(const Shape& shape);

}  // namespace cutaway
