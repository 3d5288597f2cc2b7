#include "tensor/observers/summary.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

namespace cutaway::observers {

Summary summarise(const Tensor& tensor) {
  Summary summary;
  double sum = 0, low = std::numeric_limits<double>::infinity(), high = -low;
  for (const float value : tensor.values()) {
    if (std::isnan(value)) {
      ++summary.nan;
    } else if (std::isinf(value)) {
      ++summary.infinite;
    } else {
      const double x = value;
      sum += x;
      low = std::min(low, x);
      high = std::max(high, x);
    }
  }
  const int64_t finite = tensor.count() - summary.nan - summary.infinite;
  if (finite == 0) {
    summary.mean = summary.std = summary.min = summary.max = std::numeric_limits<double>::quiet_NaN();
    return summary;
  }
  summary.mean = sum / static_cast<double>(finite);
  double squares = 0;
  for (const float value : tensor.values()) {
    if (std::isfinite(value)) squares += (value - summary.mean) * (value - summary.mean);
  }
  summary.std = std::sqrt(squares / static_cast<double>(finite));
  summary.min = low;
  summary.max = high;
  return summary;
}

std::string to_string(const Summary& summary) {
  char text[160];
  std::snprintf(text, sizeof text, "min %.4g, max %.4g, mean %.4g, std %.4g", summary.min, summary.max,
                summary.mean, summary.std);
  std::string all = text;
  if (summary.nan > 0) all += ", NaN " + std::to_string(summary.nan);
  if (summary.infinite > 0) all += ", infinite " + std::to_string(summary.infinite);
  return all;
}

nlohmann::json json_number(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json();
}

}  // namespace cutaway::observers
