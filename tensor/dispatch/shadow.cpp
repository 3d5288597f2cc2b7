#include "tensor/dispatch/shadow.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include "tensor/distance.h"

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
  const Distance distance = cutaway::distance(fast, ref);
  Rows& rows = all();
  const std::lock_guard lock(rows.mutex);
  const auto [place, is_new] = rows.places.try_emplace({operation, path}, rows.rows.size());
  if (is_new) rows.rows.push_back({.operation = operation, .path = path});
  Row& row = rows.rows[place->second];
  ++row.calls;
  row.max_abs = std::max(row.max_abs, distance.max_abs);
  row.relative = std::max(row.relative, distance.relative);
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
