#include "apps/verify/compare.h"

#include <limits>

#include "tensor/files/safetensors.h"
#include "tensor/observers/distance.h"

namespace cutaway::verify {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// Can both be cut into the same pieces, each piece one axis of at least one of the two?
bool differ_by_merged_axes(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    int64_t of_a = a[i++], of_b = b[j++];
    if (of_a < of_b) {
      while (of_a < of_b && i < a.size()) of_a *= a[i++];
    } else {
      while (of_b < of_a && j < b.size()) of_b *= b[j++];
    }
    if (of_a != of_b) return false;
  }
  for (; i < a.size(); ++i) {
    if (a[i] != 1) return false;
  }
  for (; j < b.size(); ++j) {
    if (b[j] != 1) return false;
  }
  return true;
}

}  // namespace

std::vector<int64_t> extents_of(const Shape& shape) {
  std::vector<int64_t> extents;
  for (int axis = 0; axis < shape.rank(); ++axis) extents.push_back(shape[axis]);
  return extents;
}

std::vector<int64_t> index_of(int64_t position, const std::vector<int64_t>& extents) {
  std::vector<int64_t> index(extents.size());
  for (size_t axis = extents.size(); axis-- > 0;) {
    index[axis] = position % extents[axis];
    position /= extents[axis];
  }
  return index;
}

Comparison not_compared(const std::string& name, const std::string& problem) {
  Comparison comparison;
  comparison.name = name;
  comparison.difference = comparison.ratio = infinity;
  comparison.problem = problem;
  return comparison;
}

Comparison compare(const std::string& name, std::span<const float> actual, std::span<const float> expected,
                   const std::vector<int64_t>& shape, double tolerance) {
  if (actual.size() != expected.size()) {
    return not_compared(name, "there are " + std::to_string(actual.size()) +
                                  " numbers, but the reference has " + std::to_string(expected.size()));
  }
  if (expected.empty()) return not_compared(name, "the reference has no numbers");
  Comparison comparison;
  comparison.name = name;
  comparison.shape = shape;
  comparison.tolerance = tolerance;
  const Distance distance = cutaway::distance(actual, expected, /*equal_nan=*/false);
  comparison.difference = distance.max_abs;
  if (comparison.difference > 0)
    comparison.ratio = comparison.difference / tolerance;  // infinite for tolerance 0
  comparison.index = index_of(distance.worst, shape);
  return comparison;
}

Comparison compare(const std::string& name, const Tensor& actual, std::span<const float> expected,
                   const std::vector<int64_t>& shape, double tolerance, bool merged_axes) {
  const std::vector<int64_t> ours = extents_of(actual.shape());
  if (ours != shape && !(merged_axes && differ_by_merged_axes(ours, shape))) {
    return not_compared(name,
                        "the shape is " + to_string(ours) + ", but the reference has " + to_string(shape));
  }
  return compare(name, actual.values(), expected, shape, tolerance);
}

Comparison compare_exactly(const std::string& name, const std::vector<int64_t>& actual,
                           const std::vector<int64_t>& expected) {
  Comparison comparison;
  comparison.name = name;
  comparison.shape = {static_cast<int64_t>(expected.size())};
  for (size_t i = 0; i < std::max(actual.size(), expected.size()); ++i) {
    if (i < actual.size() && i < expected.size() && actual[i] == expected[i]) continue;
    const auto at = [&](const std::vector<int64_t>& list) {
      return i < list.size() ? std::to_string(list[i]) : std::string("nothing");
    };
    return not_compared(
        name, at(actual) + " at place " + std::to_string(i) + ", but the reference has " + at(expected));
  }
  return comparison;
}

}  // namespace cutaway::verify
