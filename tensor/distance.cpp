#include "tensor/distance.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace cutaway {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

double difference(double a, double b, bool equal_nan) {
  if (a == b || (equal_nan && std::isnan(a) && std::isnan(b))) return 0;  // also equal infinities
  const double between = std::fabs(a - b);
  return std::isnan(between) ? infinity : between;
}

}  // namespace

Distance distance(std::span<const float> actual, std::span<const float> expected, bool equal_nan) {
  Distance result;
  double largest = 0, dot = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (std::bit_cast<uint32_t>(actual[i]) != std::bit_cast<uint32_t>(expected[i])) result.same_bits = false;
    const double a = actual[i], b = expected[i], here = difference(a, b, equal_nan);
    if (here > result.max_abs) {
      result.max_abs = here;
      result.worst = static_cast<int64_t>(i);
    }
    if (std::isfinite(b)) largest = std::max(largest, std::fabs(b));
    dot += a * b;
    aa += a * a;
    bb += b * b;
  }
  result.relative = result.max_abs == 0 ? 0 : largest == 0 ? infinity : result.max_abs / largest;
  result.cosine = aa == 0 && bb == 0 ? 1 : dot / (std::sqrt(aa) * std::sqrt(bb));
  return result;
}

Distance distance(const Tensor& actual, const Tensor& expected, bool equal_nan) {
  if (actual.shape() == expected.shape() && actual.count() == expected.count())
    return distance(actual.values(), expected.values(), equal_nan);
  return {.max_abs = infinity,
          .relative = infinity,
          .cosine = std::numeric_limits<double>::quiet_NaN(),
          .same_bits = false,
          .comparable = false};
}

std::string index_text(const Shape& shape, int64_t position) {
  std::string text;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    text = std::to_string(position % shape[axis]) + (text.empty() ? "" : ", ") + text;
    position /= shape[axis];
  }
  return "[" + text + "]";
}

}  // namespace cutaway
