#include "apps/describe/format.h"

#include <cstdio>

namespace cutaway::describe {
namespace {

// The first digits that say something: 1.84, 18.4, 184.
std::string in_digits(double number, int digits) {
  const double edge = digits == 3 ? 9.995 : 9.95;
  int behind_point = number < edge ? digits - 1 : number < 10 * edge ? digits - 2 : 0;
  char text[32];
  std::snprintf(text, sizeof(text), "%.*f", behind_point, number);
  return text;
}

}  // namespace

std::string with_commas(int64_t number) {
  std::string text = std::to_string(number);
  for (size_t at = text.size(); at > 3;) text.insert(at -= 3, ",");
  return text;
}

std::string short_count(double number, int digits) {
  if (number < 1000) return std::to_string(static_cast<int64_t>(number));
  if (number < 999.5e3) return in_digits(number / 1e3, digits) + " k";
  if (number < 999.5e6) return in_digits(number / 1e6, digits) + " M";
  if (number < 999.5e9) return in_digits(number / 1e9, digits) + " G";
  return in_digits(number / 1e12, digits) + " T";
}

std::string short_flops(double flops, int digits) {
  const std::string count = short_count(flops, digits);
  return count + (count.find(' ') == std::string::npos ? " FLOP" : "FLOP");
}

std::string short_time(double seconds, int digits) {
  if (seconds < 1e-3) return in_digits(1e6 * seconds, digits) + " µs";
  if (seconds < 1) return in_digits(1000 * seconds, digits) + " ms";
  return in_digits(seconds, digits) + " s";
}

std::string short_shape(const Shape& shape) {
  std::string text;
  for (int axis = shape.rank() > 1 ? 1 : 0; axis < shape.rank(); ++axis) {
    text += (text.empty() ? "" : "×") + std::to_string(shape[axis]);
  }
  return text;
}

}  // namespace cutaway::describe
