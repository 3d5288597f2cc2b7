// What tests compare with: the worst element, named by its place.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <string>

#include "tensor/tensor.h"

namespace cutaway::test {

/// The largest absolute difference and where it is. NaN on either side counts as infinite.
struct Difference {
  double worst = 0;
  int64_t at = -1;
  float actual = 0, expected = 0;
};

inline Difference difference(const Tensor& actual, const Tensor& expected) {
  Difference d;
  if (actual.shape() != expected.shape()) return {INFINITY, -1, 0, 0};
  for (int64_t i = 0; i < actual.count(); ++i) {
    double delta = std::fabs(static_cast<double>(actual.data()[i]) - expected.data()[i]);
    if (actual.data()[i] == expected.data()[i]) delta = 0;  // equal infinities
    if (std::isnan(delta)) delta = INFINITY;
    if (d.at < 0 || delta > d.worst) d = {delta, i, actual.data()[i], expected.data()[i]};
  }
  return d;
}

inline std::string describe(const Difference& d, const Tensor& actual, const Tensor& expected) {
  if (actual.shape() != expected.shape()) {
    return "shapes differ: " + to_string(actual.shape()) + " and expected " + to_string(expected.shape());
  }
  std::string index;
  int64_t rest = d.at;
  for (int axis = actual.shape().rank() - 1; axis >= 0; --axis) {
    index = std::to_string(rest % actual.shape()[axis]) + (index.empty() ? "" : ", ") + index;
    rest /= actual.shape()[axis];
  }
  return "worst at [" + index + "]: " + std::to_string(d.actual) + ", expected " +
         std::to_string(d.expected) + ", off by " + std::to_string(d.worst);
}

/// CHECK_CLOSE(actual, expected, atol): every element within atol.
#define CHECK_CLOSE(actual, expected, atol)                                   \
  do {                                                                        \
    const ::cutaway::Tensor& a_ = (actual);                                   \
    const ::cutaway::Tensor& e_ = (expected);                                 \
    const auto d_ = ::cutaway::test::difference(a_, e_);                      \
    CHECK_MESSAGE(d_.worst <= (atol), ::cutaway::test::describe(d_, a_, e_)); \
  } while (false)

/// For wrong twins: the mistake must show.
#define CHECK_DIFFERS(actual, expected, atol) \
  CHECK(::cutaway::test::difference((actual), (expected)).worst > (atol))

/// Normal numbers from a fixed seed.
inline Tensor random_tensor(const Shape& shape, uint32_t seed, float std_dev = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, std_dev);
  Tensor y(shape);
  for (int64_t i = 0; i < y.count(); ++i) y.mutable_data()[i] = normal(generator);
  return y;
}

}  // namespace cutaway::test
