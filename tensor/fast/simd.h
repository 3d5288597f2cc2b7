// Vectors of floats in GCC's and Clang's own notation (a + b works on sixteen numbers at once), and the
// ladder that compiles one body three times: `..._generic`, `..._avx2`, `..._avx512`.
//
// A body is an always_inline template over the vector's width. It is compiled inside the function it is
// inlined into, with that function's instruction set; by itself it never becomes code. Vectors are passed by
// reference only: how they are passed by value depends on the instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/backend.h"

namespace cutaway::fast {

#define CUTAWAY_INLINE [[gnu::always_inline]] inline

// Unrolls the next loop completely, so that an array of vectors becomes registers.
#ifdef __clang__
#define CUTAWAY_UNROLL _Pragma("clang loop unroll(full)")
#else
#define CUTAWAY_UNROLL _Pragma("GCC unroll 16")
#endif

// The instruction sets of the ladder. On other processors only the generic version is ever called.
#ifdef __x86_64__
#define CUTAWAY_AVX2 gnu::target("avx2,fma")
#define CUTAWAY_AVX512 gnu::target("avx512f,avx512vl,fma")
#else
#define CUTAWAY_AVX2 maybe_unused
#define CUTAWAY_AVX512 maybe_unused
#endif

/// `width` floats side by side: 4 (generic), 8 (AVX2), 16 (AVX-512).
template <int width>
struct Simd {
  typedef float Vec __attribute__((vector_size(4 * width)));
  typedef int32_t Int __attribute__((vector_size(4 * width)));
  typedef uint32_t Bits __attribute__((vector_size(4 * width)));
  typedef uint16_t Half __attribute__((vector_size(2 * width)));
  // The same, at any address.
  typedef float VecAnywhere __attribute__((vector_size(4 * width), aligned(1), may_alias));
  typedef uint16_t HalfAnywhere __attribute__((vector_size(2 * width), aligned(1), may_alias));

  CUTAWAY_INLINE static void load(Vec& v, const void* from) { v = *static_cast<const VecAnywhere*>(from); }
  CUTAWAY_INLINE static void store(const Vec& v, void* to) { *static_cast<VecAnywhere*>(to) = v; }
  /// To memory, past the caches; `to` aligned to the vector. A core that writes to lines which
  /// another core has in its cache waits for each (7 GB/s where this was measured); past the
  /// caches it waits for none (40 GB/s). For what is long and read much later, or by another core.
  /// All of it has arrived after finish_streams().
  CUTAWAY_INLINE static void stream(const Vec& v, void* to) {
#if defined(__clang__)
    __builtin_nontemporal_store(v, static_cast<Vec*>(to));
#elif defined(__x86_64__)
    if constexpr (width == 4)
      asm("movntps %1, %0" : "=m"(*static_cast<Vec*>(to)) : "x"(v));
    else
      asm("vmovntps %1, %0" : "=m"(*static_cast<Vec*>(to)) : "v"(v));
#else
    store(v, to);
#endif
  }

  /// Reads the first `count` < width floats; the others become `filler`.
  CUTAWAY_INLINE static void load_some(Vec& v, const float* from, int64_t count, float filler) {
    float all[width];
    for (int i = 0; i < width; ++i) all[i] = i < count ? from[i] : filler;
    load(v, all);
  }
  CUTAWAY_INLINE static void store_some(const Vec& v, float* to, int64_t count) {
    float all[width];
    store(v, all);
    for (int i = 0; i < count; ++i) to[i] = all[i];
  }

  /// The sum of all, in halves: always in the same order.
  CUTAWAY_INLINE static float sum(const Vec& v) {
    float all[width];
    store(v, all);
    for (int half = width / 2; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) all[i] += all[i + half];
    }
    return all[0];
  }
  CUTAWAY_INLINE static float largest(const Vec& v) {
    float all[width];
    store(v, all);
    float result = all[0];
    for (int i = 1; i < width; ++i) result = all[i] > result ? all[i] : result;
    return result;
  }
};

/// Between streams and whatever lets others read them.
inline void finish_streams() {
#ifdef __x86_64__
  asm volatile("sfence" ::: "memory");
#endif
}

/// The version for the instruction set in use.
template <class Function>
Function* pick(Function* generic, Function* avx2, Function* avx512) {
  const Isa isa = current_isa();
  return isa == Isa::avx512 ? avx512 : isa == Isa::avx2 ? avx2 : generic;
}

// CUTAWAY_LADDER(dot, (const float* a, const float* b), (a, b)) makes dot_generic, dot_avx2 and dot_avx512
// from the template dot_body<width>, and dot, which runs the one for this processor. best_isa() asks for
// these same features.
#define CUTAWAY_LADDER(name, parameters, arguments)                                             \
  [[maybe_unused]] void name##_generic parameters { name##_body<4> arguments; }                 \
  [[maybe_unused, CUTAWAY_AVX2]] void name##_avx2 parameters { name##_body<8> arguments; }      \
  [[maybe_unused, CUTAWAY_AVX512]] void name##_avx512 parameters { name##_body<16> arguments; } \
  void name parameters { pick(name##_generic, name##_avx2, name##_avx512) arguments; }

}  // namespace cutaway::fast
