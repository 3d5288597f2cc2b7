// Comparing a value with the reference's: how far off, and where.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace cutaway::verify {

/// One value of a case next to the reference's.
struct Comparison {
  std::string name;            // as in the reference file: "trace/norm1"
  std::vector<int64_t> shape;  // the reference's
  double difference = 0;       // the largest; infinite where one side is NaN
  double tolerance = 0;        // at that place
  double ratio = 0;            // the largest difference over its tolerance; above 1 is a failure
  std::vector<int64_t> index;  // where that is
  std::string problem;         // why nothing could be compared; "" when it could

  bool passed() const { return problem.empty() && ratio <= 1; }
};

std::vector<int64_t> extents_of(const Shape& shape);
/// Where a value is, one number for each axis.
std::vector<int64_t> index_of(int64_t position, const std::vector<int64_t>& extents);

/// A reference value that we have no counterpart of, or one that cannot be compared.
Comparison not_compared(const std::string& name, const std::string& problem);

/// Every element within `tolerance`; NaN on either side is a failure.
Comparison compare(const std::string& name, std::span<const float> actual, std::span<const float> expected,
                   const std::vector<int64_t>& shape, double tolerance);

/// The same for a tensor whose shape must be the reference's. `merged_axes` also allows one of
/// the two to have neighbouring axes of the other as one, [N, heads, T, T] and
/// [N heads, T, T]: the numbers are in the same order.
Comparison compare(const std::string& name, const Tensor& actual, std::span<const float> expected,
                   const std::vector<int64_t>& shape, double tolerance, bool merged_axes);

/// Whole numbers, text, shapes: equal or not.
Comparison compare_exactly(const std::string& name, const std::vector<int64_t>& actual,
                           const std::vector<int64_t>& expected);

}  // namespace cutaway::verify
