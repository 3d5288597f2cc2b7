#include "apps/verify/report.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace cutaway::verify {
namespace {

constexpr const char* green = "\033[32m";
constexpr const char* red = "\033[31m";
constexpr const char* yellow = "\033[33m";

// The value that is off most, measured by its tolerance.
const Comparison& worst_of(const Comparisons& comparisons) {
  return *std::max_element(comparisons.begin(), comparisons.end(),
                           [](const Comparison& a, const Comparison& b) { return a.ratio < b.ratio; });
}

std::string in_digits(const char* format, double number) {
  char text[32];
  std::snprintf(text, sizeof(text), format, number);
  return text;
}

std::string values(size_t count) { return std::to_string(count) + (count == 1 ? " value" : " values"); }

std::string passed_line(const Comparisons& comparisons) {
  const Comparison& worst = worst_of(comparisons);
  if (worst.ratio == 0) return "all equal (" + values(comparisons.size()) + ")";
  return "worst " + worst.name + " " + in_digits("%.2f", worst.ratio) + " of its tolerance (" +
         values(comparisons.size()) + ")";
}

std::string failure(const Comparison& comparison) {
  if (!comparison.problem.empty()) return comparison.name + ": " + comparison.problem;
  return comparison.name + ": off by " + in_digits("%.3g", comparison.difference) + " at " +
         to_string(comparison.index) + ", tolerance " + in_digits("%.3g", comparison.tolerance) + " (" +
         in_digits("%.3g", comparison.ratio) + " times)";
}

// The worst, how many, and the first in the order of execution: where to start looking.
std::string failed_line(const Comparisons& comparisons) {
  const auto wrong = [](const Comparison& comparison) { return !comparison.passed(); };
  const auto count = std::count_if(comparisons.begin(), comparisons.end(), wrong);
  std::string text = failure(worst_of(comparisons)) + "; " + std::to_string(count) + " of " +
                     values(comparisons.size()) + " wrong";
  const auto first = std::find_if(comparisons.begin(), comparisons.end(), [&](const Comparison& comparison) {
    return wrong(comparison) && parts_of(comparison.name).section == "trace";
  });
  if (first != comparisons.end() && first->name != worst_of(comparisons).name) {
    text += ", the first layer " + first->name;
  }
  return text;
}

// A message of several lines, those after the first set in.
std::string indented(const std::string& text) {
  std::string result;
  for (const char c : text) {
    result += c;
    if (c == '\n') result += "         ";
  }
  return result;
}

std::string line_of(const Result& result) {
  if (!result.reason.empty()) return indented(result.reason);
  return result.status == Status::passed ? passed_line(result.comparisons) : failed_line(result.comparisons);
}

}  // namespace

Report::Report(size_t longest_name, bool layers)
    : longest_name_(longest_name), layers_(layers), terminal_(isatty(fileno(stdout)) == 1) {}

std::string Report::coloured(const std::string& text, const char* colour) const {
  return terminal_ ? colour + text + "\033[0m" : text;
}

void Report::add(const std::string& name, const Result& result) {
  std::string status;
  switch (result.status) {
    case Status::passed:
      ++passed_;
      status = coloured("passed ", green);
      break;
    case Status::failed:
      ++failed_;
      status = coloured("failed ", red);
      break;
    case Status::skipped:
      ++skipped_;
      status = coloured("skipped", yellow);
      break;
  }
  std::printf("%s  %-*s  %s\n", status.c_str(), static_cast<int>(longest_name_), name.c_str(),
              line_of(result).c_str());
  if (layers_) print_layers(result.comparisons);
  std::fflush(stdout);
}

void Report::print_layers(const Comparisons& comparisons) const {
  if (comparisons.empty()) return;
  size_t name = 5, shape = 5;
  for (const Comparison& comparison : comparisons) {
    name = std::max(name, comparison.name.size());
    shape = std::max(shape, to_string(comparison.shape).size());
  }
  const int name_width = static_cast<int>(name), shape_width = static_cast<int>(shape);
  std::printf("    %-*s  %-*s  %10s  %9s  %10s\n", name_width, "layer", shape_width, "shape", "difference",
              "tolerance", "of it");
  for (const Comparison& comparison : comparisons) {
    if (!comparison.problem.empty()) {
      std::printf("    %-*s  %s\n", name_width, comparison.name.c_str(),
                  coloured(comparison.problem, red).c_str());
      continue;
    }
    const std::string ratio = in_digits("%10.2f", comparison.ratio);
    std::printf("    %-*s  %-*s  %10.2e  %9.1e  %s\n", name_width, comparison.name.c_str(), shape_width,
                to_string(comparison.shape).c_str(), comparison.difference, comparison.tolerance,
                comparison.passed() ? ratio.c_str() : coloured(ratio + "  wrong", red).c_str());
  }
}

void Report::close() const { std::printf("%d passed, %d failed, %d skipped\n", passed_, failed_, skipped_); }

}  // namespace cutaway::verify
