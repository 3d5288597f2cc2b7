#include "apps/describe/format.h"

#include <cstdio>

namespace cutaway::describe {
namespace {

// Three digits that say something: 1.84, 18.4, 184.
std::string three_digits(double number) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.*f", number < 9.995 ? 2 : number < 99.95 ? 1 : 0, number);
  return text;
}

}  // namespace

std::string with_commas(int64_t number) {
  std::string text = std::to_string(number);
  for (size_t at = text.size(); at > 3;) text.insert(at -= 3, ",");
  return text;
}

std::string short_count(double number) {
  if (number < 1000) return std::to_string(static_cast<int64_t>(number));
  if (number < 999.5e3) return three_digits(number / 1e3) + " k";
  if (number < 999.5e6) return three_digits(number / 1e6) + " M";
  if (number < 999.5e9) return three_digits(number / 1e9) + " G";
  return three_digits(number / 1e12) + " T";
}

std::string short_flops(double flops) {
  const std::string count = short_count(flops);
  return count + (count.find(' ') == std::string::npos ? " FLOP" : "FLOP");
}

std::string short_time(double seconds) {
  if (seconds < 1) return three_digits(1000 * seconds) + " ms";
  return three_digits(seconds) + " s";
}

std::string short_shape(const Shape& shape) {
  std::string text;
  for (int axis = shape.rank() > 1 ? 1 : 0; axis < shape.rank(); ++axis) {
    text += (text.empty() ? "" : "×") + std::to_string(shape[axis]);
  }
  return text;
}

}  // namespace cutaway::describe
