#include "tensor/observers/error_hints.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "tensor/weight.h"

namespace cutaway::observers {
namespace {

double largest(const Tensor& x) {
  double most = 0;
  for (const float value : x.values()) most = std::max(most, std::fabs(static_cast<double>(value)));
  return most;
}

// A guess is right when it leaves at most a hundredth of the error that it is to explain.
double allowed_rest(const Tensor& actual, const Tensor& expected) {
  double most = 0;
  for (int64_t i = 0; i < actual.count(); ++i)
    most = std::max(most, std::fabs(static_cast<double>(actual.data()[i]) - expected.data()[i]));
  return 0.01 * most;
}

// Does actual[i] == expected[source(i)] for every i? A guess that changes nothing explains nothing.
bool is_rearranged(const Tensor& actual, const Tensor& expected,
                   const std::function<int64_t(int64_t)>& source) {
  const double allowed = allowed_rest(actual, expected);
  for (int64_t i = 0; i < actual.count(); ++i) {
    const double difference = std::fabs(static_cast<double>(actual.data()[i]) - expected.data()[source(i)]);
    if (!(difference <= allowed)) return false;
  }
  return true;
}

// An axis as three numbers: how many blocks before it, its extent, how many numbers behind it.
struct Axis {
  int64_t before = 1, extent = 1, behind = 1;
};

Axis axis_of(const Shape& shape, int axis) {
  Axis result;
  for (int i = 0; i < shape.rank(); ++i)
    (i < axis ? result.before : i > axis ? result.behind : result.extent) *= shape[i];
  return result;
}

std::string axis_name(const Shape& shape, int axis) {
  if (shape.rank() == 4)
    return std::vector<std::string>{"N", "channels", "rows", "columns"}[static_cast<size_t>(axis)];
  return axis == shape.rank() - 1 ? "channels" : axis == 0 ? "N" : "tokens";
}

std::string halves_swapped(const Tensor& actual, const Tensor& expected) {
  const Shape& shape = actual.shape();
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const Axis a = axis_of(shape, axis);
    if (a.extent % 2 != 0) continue;
    const int64_t half = a.extent / 2 * a.behind, whole = a.extent * a.behind;
    if (is_rearranged(actual, expected, [&](int64_t i) { return i % whole < half ? i + half : i - half; }))
      return "the two halves of the " + axis_name(shape, axis) + " have changed places";
  }
  return "";
}

std::string axis_reversed(const Tensor& actual, const Tensor& expected) {
  const Shape& shape = actual.shape();
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const Axis a = axis_of(shape, axis);
    if (a.extent < 2) continue;
    const auto source = [&](int64_t i) {
      const int64_t at = i / a.behind % a.extent;
      return i + (a.extent - 1 - 2 * at) * a.behind;
    };
    if (is_rearranged(actual, expected, source)) return "the " + axis_name(shape, axis) + " run backwards";
  }
  return "";
}

std::string last_axes_exchanged(const Tensor& actual, const Tensor& expected) {
  const Shape& shape = actual.shape();
  if (shape.rank() < 2) return "";
  const int64_t rows = shape[-2], columns = shape[-1];
  if (rows < 2 || columns < 2) return "";
  const auto source = [&](int64_t i) {
    const int64_t at = i % (rows * columns), begin = i - at;
    return begin + at % rows * columns + at / rows;  // the same memory, read as [columns, rows]
  };
  return is_rearranged(actual, expected, source)
             ? "the last two axes are exchanged: another layout, or a transposed weight"
             : "";
}

// In the interior, one pixel to the side.
std::string shifted_by_one(const Tensor& actual, const Tensor& expected) {
  const Shape& shape = actual.shape();
  if (shape.rank() != 4 || shape[2] < 4 || shape[3] < 4) return "";
  const int64_t height = shape[2], width = shape[3];
  const double allowed = allowed_rest(actual, expected);
  for (const auto& [down, right] :
       {std::pair<int64_t, int64_t>{1, 1}, {-1, -1}, {1, 0}, {-1, 0}, {0, 1}, {0, -1}}) {
    bool fits = true;
    for (int64_t plane = 0; fits && plane < shape[0] * shape[1]; ++plane) {
      for (int64_t y = 1; fits && y + 1 < height; ++y) {
        for (int64_t x = 1; fits && x + 1 < width; ++x) {
          const double a = actual.data()[(plane * height + y) * width + x];
          const double e = expected.data()[(plane * height + y + down) * width + x + right];
          fits = std::fabs(a - e) <= allowed;
        }
      }
    }
    if (fits) return "the picture is moved by one pixel: padding on the wrong side";
  }
  return "";
}

// Only the pixels at the border differ.
std::string only_border(const Tensor& actual, const Tensor& expected) {
  const Shape& shape = actual.shape();
  if (shape.rank() != 4 || shape[2] < 4 || shape[3] < 4) return "";
  const double allowed = allowed_rest(actual, expected);
  for (int64_t i = 0; i < actual.count(); ++i) {
    const int64_t x = i % shape[3], y = i / shape[3] % shape[2];
    const bool border = x == 0 || y == 0 || x == shape[3] - 1 || y == shape[2] - 1;
    if (!border && std::fabs(static_cast<double>(actual.data()[i]) - expected.data()[i]) > allowed) return "";
  }
  return "only pixels at the border differ: another padding";
}

// Every number here, and not every one of the reference, is one that half precision or bfloat16 has.
std::string rounded(const Tensor& actual, const Tensor& expected) {
  const auto all_survive = [](const Tensor& x, float (*round)(float)) {
    return std::all_of(x.values().begin(), x.values().end(),
                       [&](float value) { return round(value) == value; });
  };
  const auto f16 = [](float x) { return f16_to_f32(f32_to_f16(x)); };
  const auto bf16 = [](float x) { return bf16_to_f32(f32_to_bf16(x)); };
  if (all_survive(actual, bf16) && !all_survive(expected, bf16)) return "every number is rounded to bfloat16";
  if (all_survive(actual, f16) && !all_survive(expected, f16))
    return "every number is rounded to half precision (f16)";
  return "";
}

std::string scaled(const Tensor& actual, const Tensor& expected) {
  double ae = 0, ee = 0;
  for (int64_t i = 0; i < actual.count(); ++i) {
    ae += static_cast<double>(actual.data()[i]) * expected.data()[i];
    ee += static_cast<double>(expected.data()[i]) * expected.data()[i];
  }
  if (ee == 0) return "";
  const double factor = ae / ee, allowed = allowed_rest(actual, expected);
  if (std::fabs(factor - 1) < 1e-4) return "";
  for (int64_t i = 0; i < actual.count(); ++i) {
    if (std::fabs(actual.data()[i] - factor * expected.data()[i]) > allowed) return "";
  }
  char text[96];
  std::snprintf(text, sizeof text, "everything is %.4g times as large: a scale is wrong or missing", factor);
  return text;
}

// What is left of the error of one channel (of one image) once a constant, or a factor and a constant, is
// taken out of it.
struct ChannelFit {
  double constant = 0, factor = 1;
  bool equal = true, by_constant = true, by_line = true;
};

ChannelFit fit_channel(const Tensor& actual, const Tensor& expected, int64_t image, const Axis& axis,
                       int64_t channel, double allowed) {
  const auto at = [&](int64_t i) { return (image * axis.extent + channel) * axis.behind + i; };
  double sum_a = 0, sum_e = 0, sum_ae = 0, sum_ee = 0;
  const auto n = static_cast<double>(axis.behind);
  ChannelFit fit;
  for (int64_t i = 0; i < axis.behind; ++i) {
    const double a = actual.data()[at(i)], e = expected.data()[at(i)];
    sum_a += a;
    sum_e += e;
    sum_ae += a * e;
    sum_ee += e * e;
    if (std::fabs(a - e) > allowed) fit.equal = false;
  }
  fit.constant = (sum_a - sum_e) / n;
  const double variance = sum_ee - sum_e * sum_e / n;
  fit.factor = variance > 0 ? (sum_ae - sum_a * sum_e / n) / variance : 1;
  const double offset = (sum_a - fit.factor * sum_e) / n;
  for (int64_t i = 0; i < axis.behind; ++i) {
    const double a = actual.data()[at(i)], e = expected.data()[at(i)];
    if (std::fabs(a - e - fit.constant) > allowed) fit.by_constant = false;
    if (std::fabs(a - fit.factor * e - offset) > allowed) fit.by_line = false;
  }
  return fit;
}

// [N, C, H, W] as it is, [N, T, C] as [N T rows turned into columns]: here the channels are the last axis.
Tensor channels_second(const Tensor& x) {
  if (x.shape().rank() == 4) return x;
  const int64_t channels = x.shape()[-1], rows = x.count() / channels;
  Tensor turned(Shape{1, channels, rows});
  float* to = turned.mutable_data();
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < channels; ++c) to[c * rows + r] = x.data()[r * channels + c];
  }
  return turned;
}

std::string by_channel(const Tensor& actual_in, const Tensor& expected_in) {
  const Tensor actual = channels_second(actual_in), expected = channels_second(expected_in);
  const Axis axis = axis_of(actual.shape(), 1);
  if (axis.behind < 4) return "";
  const double allowed = allowed_rest(actual, expected);
  int64_t wrong_channels = 0, first_wrong = -1;
  bool all_constant = true, all_lines = true, factors_near_one = true;
  for (int64_t channel = 0; channel < axis.extent; ++channel) {
    bool wrong = false;
    for (int64_t image = 0; image < axis.before; ++image) {
      const ChannelFit fit = fit_channel(actual, expected, image, axis, channel, allowed);
      wrong = wrong || !fit.equal;
      all_constant = all_constant && fit.by_constant;
      all_lines = all_lines && fit.by_line;
      factors_near_one = factors_near_one && std::fabs(fit.factor - 1) < 0.2;
    }
    if (!wrong) continue;
    if (first_wrong < 0) first_wrong = channel;
    ++wrong_channels;
  }
  if (wrong_channels == 0) return "";
  std::string text;
  if (wrong_channels <= std::max<int64_t>(1, axis.extent / 8)) {
    text = "only " + std::to_string(wrong_channels) + " of " + std::to_string(axis.extent) +
           " channels differ, the first is " + std::to_string(first_wrong) +
           ": look at that row of the weight, and at its bias";
    return text;
  }
  if (all_constant) return "every channel is off by a constant of its own: a bias is missing or wrong";
  if (all_lines && factors_near_one)
    return "every channel is stretched a little about its mean: the eps or the groups of a normalisation";
  if (all_lines) return "every channel is stretched by a factor of its own: the weight of a normalisation";
  return "";
}

}  // namespace

std::string error_hint(const Tensor& actual, const Tensor& expected) {
  if (actual.shape() != expected.shape()) {
    return "the shapes differ: " + to_string(actual.shape()) + " here, " + to_string(expected.shape()) +
           " in the reference";
  }
  bool finite = true;
  for (const float value : actual.values()) finite = finite && std::isfinite(value);
  if (!finite) return "there are NaN or infinite values";
  if (largest(actual) == 0)
    return "everything is zero: weights that were not loaded, or a layer that was left out";
  constexpr double rounding = 1e-6;  // of the largest value: an error that small has no pattern
  if (100 * allowed_rest(actual, expected) < rounding * largest(expected)) return "";
  using Guess = std::string (*)(const Tensor&, const Tensor&);
  for (const Guess guess : {rounded, halves_swapped, axis_reversed, last_axes_exchanged, scaled, only_border,
                            shifted_by_one, by_channel}) {
    if (std::string hint = guess(actual, expected); !hint.empty()) return hint;
  }
  return "";
}

}  // namespace cutaway::observers
