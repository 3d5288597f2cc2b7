// What tests compare with: the worst element, named by its place.
#pragma once

#include <cstdint>
#include <random>
#include <string>

#include "tensor/distance.h"

namespace cutaway::test {

/// NaN on either side counts as infinite.
inline Distance difference(const Tensor& actual, const Tensor& expected) {
  return distance(actual, expected, /*equal_nan=*/false);
}

inline std::string describe(const Distance& d, const Tensor& actual, const Tensor& expected) {
  if (!d.comparable) {
    return "shapes differ: " + to_string(actual.shape()) + " and expected " + to_string(expected.shape());
  }
  return "worst at " + index_text(actual.shape(), d.worst) + ": " + std::to_string(actual.data()[d.worst]) +
         ", expected " + std::to_string(expected.data()[d.worst]) + ", off by " + std::to_string(d.max_abs);
}

/// CHECK_CLOSE(actual, expected, atol): every element within atol.
#define CHECK_CLOSE(actual, expected, atol)                                     \
  do {                                                                          \
    const ::cutaway::Tensor& a_ = (actual);                                     \
    const ::cutaway::Tensor& e_ = (expected);                                   \
    const auto d_ = ::cutaway::test::difference(a_, e_);                        \
    CHECK_MESSAGE(d_.max_abs <= (atol), ::cutaway::test::describe(d_, a_, e_)); \
  } while (false)

/// For wrong twins: the mistake must show.
#define CHECK_DIFFERS(actual, expected, atol) \
  CHECK(::cutaway::test::difference((actual), (expected)).max_abs > (atol))

/// Normal numbers from a fixed seed.
inline Tensor random_tensor(const Shape& shape, uint32_t seed, float std_dev = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, std_dev);
  Tensor y(shape);
  for (int64_t i = 0; i < y.count(); ++i) y.mutable_data()[i] = normal(generator);
  return y;
}

}  // namespace cutaway::test
