// What the tests of operations share: tensors written out, weights as files store them, and the comparison of
// one version of an operation with another.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tensor/backend.h"
#include "tensor/ops.h"
#include "tests/check.h"

namespace cutaway::test {

inline Tensor tensor_of(const Shape& shape, std::initializer_list<float> values) {
  return Tensor(shape, std::span<const float>(values.begin(), values.size()));
}

inline Weight weight_of(const Shape& shape, std::initializer_list<float> values) {
  return Weight::of(tensor_of(shape, values));
}

/// 0, 1, 2, ...: a number that tells its place.
inline Tensor counting(const Shape& shape) {
  Tensor y(shape);
  for (int64_t i = 0; i < y.count(); ++i) y.mutable_data()[i] = static_cast<float>(i);
  return y;
}

/// The values as a file would hold them, `offset` bytes into its
/// memory: rounded to the dtype, aligned or not.
inline Weight stored_as(const Tensor& values, DType dtype, int64_t offset) {
  const auto bytes = std::make_shared<std::vector<unsigned char>>(
      static_cast<size_t>(offset + stored_bytes(dtype, values.count())));
  Weight weight(values.shape());
  weight.dtype = dtype;
  weight.data = bytes->data() + offset;
  weight.owner = bytes;
  for (int64_t i = 0; dtype == DType::q8_0 && i < values.count(); i += q8_0_block) {
    float block[q8_0_block] = {};  // the last one may be filled up with zeros
    std::copy_n(values.data() + i, std::min(q8_0_block, values.count() - i), block);
    REQUIRE(pack_q8_0(block, bytes->data() + offset + stored_bytes(dtype, i)));
  }
  if (dtype == DType::q8_0) return weight;
  for (int64_t i = 0; i < values.count(); ++i) {
    const float value = values.data()[i];
    const uint16_t half = dtype == DType::f16 ? f32_to_f16(value) : f32_to_bf16(value);
    unsigned char* to = bytes->data() + offset + stored_bytes(dtype, i);
    if (dtype == DType::f32) {
      std::memcpy(to, &value, sizeof value);
    } else {
      std::memcpy(to, &half, sizeof half);
    }
  }
  return weight;
}

inline double largest_of(const Tensor& x) {
  double largest = 0;
  for (const float v : x.values()) largest = std::max<double>(largest, std::fabs(v));
  return largest;
}

/// A wrong twin must have the right shape and clearly other numbers, or the right test would not catch it.
inline void check_twin(const Tensor& wrong, const Tensor& right, double tolerance) {
  REQUIRE(wrong.shape() == right.shape());
  CHECK_DIFFERS(wrong, right, 100 * tolerance);
}

// ---- One version against another

/// Tolerances, relative to the largest value of the expected result. None of them is ever widened to make a
/// test pass: a kernel that needs more is wrong.
namespace within {
constexpr double unit = 0x1p-24;  // rounding of one float32 operation
/// A sum of `terms` products kept in float32: roundings add up like
/// steps of a random walk, here 4 sigma of it.
inline double products(int64_t terms) { return 1e-6 + 4 * unit * std::sqrt(static_cast<double>(terms)); }
/// Two sums with an exponential between them.
inline double attention(int64_t d, int64_t keys) { return 2e-6 + products(d) + products(keys); }
constexpr double norm = 4e-6;
constexpr double softmax = 2e-6;
constexpr double value = 2e-6;     // an activation, relative to each value itself
constexpr double resample = 1e-6;  // a few products
constexpr double exact = 0;        // moved, compared, or computed in one operation
}  // namespace within

/// Puts instruction set and threads back.
class KeepIsaAndThreads {
 public:
  KeepIsaAndThreads() = default;
  KeepIsaAndThreads(const KeepIsaAndThreads&) = delete;
  KeepIsaAndThreads& operator=(const KeepIsaAndThreads&) = delete;
  ~KeepIsaAndThreads() {
    choose_isa(to_string(isa_));
    choose_threads(threads_);
  }

 private:
  Isa isa_ = current_isa();
  int threads_ = current_threads();
};

/// Every instruction set this processor has.
inline std::vector<Isa> known_isas() {
  std::vector<Isa> isas;
  for (const Isa isa : {Isa::generic, Isa::avx2, Isa::avx512}) {
    if (isa <= best_isa()) isas.push_back(isa);
  }
  return isas;
}

/// Calls `check(result)` with what `run` gives with one thread on each instruction set, and requires the very
/// same bits from two and three threads.
template <class Run, class Check>
void on_every_machine(const Run& run, const Check& check) {
  const KeepIsaAndThreads keep;
  for (const Isa isa : known_isas()) {
    choose_isa(to_string(isa));
    choose_threads(1);
    const Tensor one = run();
    CAPTURE(std::string(to_string(isa)));
    check(one);
    for (const int threads : {2, 3}) {
      choose_threads(threads);
      const Tensor more = run();
      REQUIRE(more.shape() == one.shape());
      const bool same_bits =
          std::memcmp(more.data(), one.data(), static_cast<size_t>(one.count()) * sizeof(float)) == 0;
      CHECK_MESSAGE(same_bits, threads,
                    " threads give other bits than one: ", describe(difference(more, one), more, one));
    }
  }
}

/// `run` must agree with `expected` within `tolerance` of its largest value, on every machine.
template <class Run>
void check_versions(const Tensor& expected, double tolerance, const Run& run) {
  on_every_machine(run, [&](const Tensor& y) { CHECK_CLOSE(y, expected, tolerance * largest_of(expected)); });
}

}  // namespace cutaway::test
