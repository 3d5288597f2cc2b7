#include "apps/pictures/resize.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace cutaway::pictures {
namespace {

// Weights are whole numbers of 2^-22, as much as 8-bit values leave room for in 32 bits.
constexpr int weight_bits = 22;

double sinc(double x) { return x == 0 ? 1 : std::sin(std::numbers::pi * x) / (std::numbers::pi * x); }
double lanczos3(double x) { return -3 <= x && x < 3 ? sinc(x) * sinc(x / 3) : 0; }

// One pixel of the result: from which source pixel on, and how much of each.
struct Taps {
  int64_t first = 0;
  std::vector<int32_t> weights;
};

std::vector<Taps> taps_for(int64_t from, int64_t to) {
  const double step = static_cast<double>(from) / static_cast<double>(to);
  const double stretch = std::max(step, 1.0), reach = 3 * stretch;
  std::vector<Taps> all(static_cast<size_t>(to));
  for (int64_t i = 0; i < to; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * step;
    const auto first = std::max(static_cast<int64_t>(centre - reach + 0.5), int64_t{0});
    const auto end = std::min(static_cast<int64_t>(centre + reach + 0.5), from);
    std::vector<double> weights;
    double sum = 0;
    for (int64_t source = first; source < end; ++source) {
      weights.push_back(lanczos3((static_cast<double>(source) - centre + 0.5) / stretch));
      sum += weights.back();
    }
    Taps& taps = all[static_cast<size_t>(i)];
    taps.first = first;
    for (const double weight : weights)
      taps.weights.push_back(static_cast<int32_t>(std::round(weight / sum * (1 << weight_bits))));
  }
  return all;
}

// Along lines of `from` pixels that lie `step` bytes apart; `lines` of them, `next` bytes apart.
struct Lines {
  int64_t count, next, step;
};

void resize_lines(const unsigned char* source, const Lines& in, unsigned char* result, const Lines& out,
                  const std::vector<Taps>& taps) {
  for (int64_t line = 0; line < in.count; ++line) {
    for (size_t i = 0; i < taps.size(); ++i) {
      for (int64_t channel = 0; channel < 3; ++channel) {
        const unsigned char* pixel = source + line * in.next + taps[i].first * in.step + channel;
        int64_t sum = int64_t{1} << (weight_bits - 1);  // a half, to round
        for (const int32_t weight : taps[i].weights) {
          sum += int64_t{*pixel} * weight;
          pixel += in.step;
        }
        result[line * out.next + static_cast<int64_t>(i) * out.step + channel] =
            static_cast<unsigned char>(std::clamp<int64_t>(sum >> weight_bits, 0, 255));
      }
    }
  }
}

RgbPicture blank(int64_t width, int64_t height) {
  return {width, height, std::vector<unsigned char>(static_cast<size_t>(width * height * 3))};
}

}  // namespace

RgbPicture resized(const RgbPicture& picture, int64_t width, int64_t height) {
  RgbPicture wide = picture;
  if (width != picture.width) {
    wide = blank(width, picture.height);
    resize_lines(picture.rgb.data(), {picture.height, picture.width * 3, 3}, wide.rgb.data(),
                 {picture.height, width * 3, 3}, taps_for(picture.width, width));
  }
  if (height == picture.height) return wide;
  RgbPicture result = blank(width, height);
  resize_lines(wide.rgb.data(), {width, 3, width * 3}, result.rgb.data(), {width, 3, width * 3},
               taps_for(picture.height, height));
  return result;
}

}  // namespace cutaway::pictures
