// notebooks/twins/: the notebooks once more, in C++, to step through.
//
// What the twins of the notebooks share: numbers in the notebooks' own words.   Doc: docs/python.md#twins
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <string>

#include "models/stable_diffusion.h"

namespace cutaway::twins {

/// "name = 1.23456": the notebook prints the same line, and a test compares the two.
inline void report(const std::string& name, double value) { std::printf("%s = %.5f\n", name.c_str(), value); }

inline double mean(const Tensor& x) {
  double sum = 0;
  for (const float value : x.values()) sum += value;
  return sum / static_cast<double>(x.count());
}

inline double std_of(const Tensor& x) {
  const double middle = mean(x);
  double squares = 0;
  for (const float value : x.values()) squares += (value - middle) * (value - middle);
  return std::sqrt(squares / static_cast<double>(x.count()));
}

inline double largest_difference(const Tensor& a, const Tensor& b) {
  double largest = 0;
  for (int64_t i = 0; i < a.count(); ++i)
    largest =
        std::max(largest, std::fabs(static_cast<double>(a.data()[i]) - static_cast<double>(b.data()[i])));
  return largest;
}

/// Loads the model (the program's argument, or the demo model) and runs the steps of the notebook.
template <class Steps>
int run(int argc, char** argv, Steps&& steps) {
  try {
    steps(StableDiffusion::load(argc > 1 ? argv[1] : CUTAWAY_SOURCE_DIR "/weights/demo"));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

}  // namespace cutaway::twins
