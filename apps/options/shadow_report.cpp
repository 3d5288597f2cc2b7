#include "apps/options/shadow_report.h"

#include <algorithm>
#include <cstdio>
#include <map>

#include "tensor/dispatch/shadow.h"

namespace cutaway {
namespace {

struct OfOperation {
  int64_t calls = 0;
  shadow::Row worst;
};

void print_row(const char* name, int64_t calls, const shadow::Row& row) {
  std::fprintf(stderr, "  %-20s %8lld %12.3g %12.3g  %s\n", name, static_cast<long long>(calls), row.max_abs,
               row.relative, row.path.empty() ? "-" : row.path.c_str());
}

}  // namespace

void print_shadow_report() {
  std::vector<shadow::Row> rows = shadow::report();
  if (rows.empty()) return;
  std::map<std::string, OfOperation> operations;
  for (const shadow::Row& row : rows) {
    OfOperation& operation = operations[row.operation];
    operation.calls += row.calls;
    if (operation.worst.operation.empty() || row.relative > operation.worst.relative) operation.worst = row;
  }
  std::fprintf(stderr, "fast beside ref: the largest difference, and over the largest value of its tensor\n");
  std::fprintf(stderr, "  %-20s %8s %12s %12s  %s\n", "operation", "calls", "max abs", "relative",
               "furthest off in");
  for (const auto& [name, operation] : operations) print_row(name.c_str(), operation.calls, operation.worst);

  constexpr size_t shown = 10;
  std::stable_sort(rows.begin(), rows.end(),
                   [](const shadow::Row& a, const shadow::Row& b) { return a.relative > b.relative; });
  std::fprintf(stderr, "the layers furthest off:\n");
  for (size_t i = 0; i < std::min(shown, rows.size()); ++i)
    print_row(rows[i].operation.c_str(), rows[i].calls, rows[i]);
}

}  // namespace cutaway
