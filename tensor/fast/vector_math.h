// exp and its kin for vectors of floats. Every function works on all lanes alike, without branches; NaN stays
// NaN, and what is too large or too small becomes infinity or 0.
#pragma once

#include <cmath>

#include "tensor/fast/simd.h"

namespace cutaway::fast {

template <int width>
struct Math {
  using S = Simd<width>;
  using Vec = typename S::Vec;
  using Int = typename S::Int;

  CUTAWAY_INLINE static void fill(Vec& v, float value) { v = Vec{} + value; }
  CUTAWAY_INLINE static void clamp(Vec& v, float low, float high) {
    Vec lows, highs;
    fill(lows, low);
    fill(highs, high);
    v = v < lows ? lows : v;  // this way round a NaN stays
    v = v > highs ? highs : v;
  }
  CUTAWAY_INLINE static void absolute(Vec& v) { v = (Vec)((Int)v & 0x7FFFFFFF); }

  /// e^(x + low) = 2^n (1 + p), where `low` is what rounding took from x (or 0) and |p| < 0.42.
  /// x = n ln 2 + r; ln 2 comes in two parts, the first so short that n times it is exact; p = e^r - 1 is the
  /// first seven terms of its series, the next would be below 6e-9.
  CUTAWAY_INLINE static void exp_parts(const Vec& x, const Vec& low, Vec& p, Int& n) {
    constexpr float round_to_whole = 0x1.8p23F;  // floats of this size have no digits after the point
    Vec in_range = x;
    clamp(in_range, -104, 89);  // e^-104 rounds to 0, e^89 to infinity
    const Vec shifted = in_range * 1.44269504F + round_to_whole;
    const Vec whole = shifted - round_to_whole;
    n = (Int)shifted - 0x4B400000;
    const Vec r = ((in_range - whole * 0.693359375F) + whole * 2.12194440e-4F) + low;
    Vec series = r * (1.0F / 5040) + (1.0F / 720);
    series = series * r + (1.0F / 120);
    series = series * r + (1.0F / 24);
    series = series * r + (1.0F / 6);
    series = series * r + 0.5F;
    p = series * r * r + r;
  }

  /// v *= 2^n, in two steps, since 2^n alone may overflow where the product does not.
  CUTAWAY_INLINE static void times_power_of_2(Vec& v, const Int& n) {
    const Int half = n >> 1;
    v *= (Vec)((half + 127) << 23);
    v *= (Vec)((n - half + 127) << 23);
  }

  /// x = e^(x + low)
  CUTAWAY_INLINE static void exp(Vec& x, const Vec& low) {
    Vec p;
    Int n;
    exp_parts(x, low, p, n);
    x = p + 1.0F;
    times_power_of_2(x, n);
  }
  CUTAWAY_INLINE static void exp(Vec& x) { exp(x, Vec{}); }

  /// x = e^x for x <= 0; 0 below e^-87, where the result would leave the range of ordinary floats.
  CUTAWAY_INLINE static void exp_below_0(Vec& x) {
    constexpr float lowest = -87, round_to_whole = 0x1.8p23F;
    const Vec shifted = x * 1.44269504F + round_to_whole, whole = shifted - round_to_whole;
    const Vec r = (x - whole * 0.693359375F) + whole * 2.12194440e-4F;
    Vec series = r * (1.0F / 5040) + (1.0F / 720);
    series = series * r + (1.0F / 120);
    series = series * r + (1.0F / 24);
    series = series * r + (1.0F / 6);
    series = series * r + 0.5F;
    const Vec p = (series * r * r + r) + 1.0F;
    const Vec power = (Vec)(((Int)shifted - (0x4B400000 - 127)) << 23);
    x = x < lowest ? Vec{} : p * power;
  }

  /// v = upper + lower, where upper has 12 bits: its product with another such number is exact. For large
  /// exponents, whose rounding would show in the result.
  CUTAWAY_INLINE static void split(const Vec& v, Vec& upper, Vec& lower) {
    upper = (Vec)((Int)v & -4096);
    lower = v - upper;
  }

  /// x = 1 / (1 + e^-(x + low))
  CUTAWAY_INLINE static void sigmoid(Vec& x, const Vec& low) {
    x = -x;
    exp(x, -low);
    x = 1.0F / (x + 1.0F);
  }
  CUTAWAY_INLINE static void sigmoid(Vec& x) { sigmoid(x, Vec{}); }

  /// tanh |x| = t / (t + 2) with t = e^(2 |x|) - 1 = 2^n p + (2^n - 1), which keeps its digits near 0.
  CUTAWAY_INLINE static void tanh(Vec& x) {
    Vec twice = x, p, power;
    absolute(twice);
    twice *= 2.0F;
    clamp(twice, 0, 40);  // tanh 20 rounds to 1
    Int n;
    exp_parts(twice, Vec{}, p, n);
    power = (Vec)((n + 127) << 23);
    const Vec t = power * p + (power - 1.0F);
    const Vec result = t / (t + 2.0F);
    x = (Vec)((Int)result | ((Int)x & INT32_MIN));
  }

  /// x = log(1 + e^x) = max(x, 0) + log(1 + u), u = e^-|x|. log(1 + u) = 2 artanh(s), s = u / (2 + u) <= 1/3,
  /// whose series in s^2 is cut where its terms fall below 3e-9.
  CUTAWAY_INLINE static void softplus(Vec& x) {
    Vec u = x, above = x;
    absolute(u);
    u = -u;
    exp(u);
    clamp(above, 0, HUGE_VALF);
    const Vec s = u / (u + 2.0F), s2 = s * s;
    Vec series = s2 * (1.0F / 17) + (1.0F / 15);
    series = series * s2 + (1.0F / 13);
    series = series * s2 + (1.0F / 11);
    series = series * s2 + (1.0F / 9);
    series = series * s2 + (1.0F / 7);
    series = series * s2 + (1.0F / 5);
    series = series * s2 + (1.0F / 3);
    series = series * s2 + 1.0F;
    x = above + 2.0F * s * series;
  }

  /// x = x Phi(x), Phi(x) the share of a normal distribution below x. Its tail beyond |x| is t P(t) e^(-x^2 /
  /// 2) with t = 1 / (1 + 0.35 |x|) and P our own fit of degree 8, right to 4e-8 of itself for |x| up
  /// to 14.5, where the tail leaves the range of floats.
  CUTAWAY_INLINE static void gelu(Vec& x) {
    Vec a = x, upper, lower;
    absolute(a);
    clamp(a, 0, 14.5F);
    const Vec t = 1.0F / (a * 0.35F + 1.0F);
    Vec tail = t * -0.0297322758F + 0.146783993F;
    tail = tail * t - 0.261410534F;
    tail = tail * t + 0.165510163F;
    tail = tail * t - 0.0273219105F;
    tail = tail * t + 0.107212499F;
    tail = tail * t + 0.119425096F;
    tail = tail * t + 0.139914334F;
    tail = tail * t + 0.139618635F;
    split(a, upper, lower);
    Vec power = upper * upper * -0.5F;
    exp(power, (a + upper) * lower * -0.5F);
    tail = tail * t * power;
    x *= x < 0.0F ? tail : 1.0F - tail;
  }
};

}  // namespace cutaway::fast
