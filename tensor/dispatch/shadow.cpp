#include "tensor/dispatch/shadow.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <mutex>
#include <utility>

namespace cutaway::shadow {
namespace {

struct Rows {
  std::mutex mutex;  // networks may run on several threads
  std::vector<Row> rows;
  std::map<std::pair<std::string, std::string>, size_t> places;
};

Rows& all() {
  static Rows the_rows;
  return the_rows;
}

}  // namespace

void compare(const char* operation, const std::string& path, const Tensor& fast, const Tensor& ref) {
  double largest = 0, difference = 0;
  for (int64_t i = 0; i < ref.count(); ++i) {
    const double a = fast.data()[i], b = ref.data()[i];
    if (std::isfinite(b)) largest = std::max(largest, std::fabs(b));
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    const double here = std::fabs(a - b);
    difference = std::max(difference, std::isnan(here) ? std::numeric_limits<double>::infinity() : here);
  }
  Rows& rows = all();
  const std::lock_guard lock(rows.mutex);
  const auto [place, is_new] = rows.places.try_emplace({operation, path}, rows.rows.size());
  if (is_new) rows.rows.push_back({.operation = operation, .path = path});
  Row& row = rows.rows[place->second];
  ++row.calls;
  row.max_abs = std::max(row.max_abs, difference);
  row.relative = std::max(row.relative, difference == 0 ? 0 : difference / largest);
}

std::vector<Row> report() {
  Rows& rows = all();
  const std::lock_guard lock(rows.mutex);
  return rows.rows;
}

void clear() {
  Rows& rows = all();
  const std::lock_guard lock(rows.mutex);
  rows.rows.clear();
  rows.places.clear();
}

}  // namespace cutaway::shadow
