#include "tensor/fast/peak_flops.h"

#include <omp.h>

#include <algorithm>
#include <chrono>

#include "tensor/backend.h"
#include "tensor/fast/simd.h"

namespace cutaway::fast {
namespace {

constexpr int64_t rounds = 1 << 16;

// Twelve sums that do not wait for each other: enough to hide the latency of a multiply-add on two units. The
// result goes out, or the compiler would leave all of it away.
template <int width>
CUTAWAY_INLINE float multiply_add(float a_value, float b_value) {
  constexpr int sums = 12;
  typename Simd<width>::Vec sum[sums], a, b;
  a = typename Simd<width>::Vec{} + a_value;
  b = typename Simd<width>::Vec{} + b_value;
  CUTAWAY_UNROLL for (int s = 0; s < sums; ++s) sum[s] = a + static_cast<float>(s);
  for (int64_t round = 0; round < rounds; ++round) {
    CUTAWAY_UNROLL for (int s = 0; s < sums; ++s) sum[s] = sum[s] * a + b;
    asm volatile("" : "+m"(round));  // no round may be folded into the next
  }
  typename Simd<width>::Vec total = sum[0];
  CUTAWAY_UNROLL for (int s = 1; s < sums; ++s) total += sum[s];
  return total[0];
}
template <int width>
constexpr double flops_of_a_call = 2.0 * 12 * width* rounds;

float peak_generic(float a, float b) { return multiply_add<4>(a, b); }
[[CUTAWAY_AVX2]] float peak_avx2(float a, float b) { return multiply_add<8>(a, b); }
[[CUTAWAY_AVX512]] float peak_avx512(float a, float b) { return multiply_add<16>(a, b); }

}  // namespace

double measured_peak_flops() {
  using Clock = std::chrono::steady_clock;
  const Isa isa = current_isa();
  const auto call = isa == Isa::avx512 ? peak_avx512 : isa == Isa::avx2 ? peak_avx2 : peak_generic;
  const double flops = isa == Isa::avx512 ? flops_of_a_call<16>
                       : isa == Isa::avx2 ? flops_of_a_call<8>
                                          : flops_of_a_call<4>;
  const int threads = current_threads();
  constexpr int calls = 16;
  double best = 0;
  volatile float sink = 0;
  const auto begin = Clock::now();
  while (std::chrono::duration<double>(Clock::now() - begin).count() < 0.25) {
    const auto start = Clock::now();
    float total = 0;
#pragma omp parallel for num_threads(threads) reduction(+ : total)
    for (int i = 0; i < calls * threads; ++i) total += call(0.999F, 0.001F);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    sink = total;
    best = std::max(best, flops * calls * threads / seconds);
  }
  (void)sink;
  return best;
}

}  // namespace cutaway::fast
