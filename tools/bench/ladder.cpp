// One matrix product, from three loops to the kernel of tensor/fast: each rung adds one trick, and is timed.
// Doc: docs/tricks.md
//
//   ladder [THREADS]     CUTAWAY_ISA chooses the instruction set
//   ladder cores         how fast a core gets at memory that another one has in its cache
//
// A is 320 x 2880, B is 2880 x 4096: the products of a 3 x 3 convolution
// from 320 to 320 channels on 64 x 64 pixels.
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/backend.h"
#include "tensor/error.h"
#include "tensor/fast/gemm.h"
#include "tensor/fast/peak_flops.h"
#include "tensor/fast/simd.h"
#include "tensor/memory.h"

using namespace cutaway;

namespace {

constexpr int64_t M = 320, N = 4096, K = 2880;
constexpr int64_t few_rows = 8;  // of A: all that three loops do, which would take half a minute for all

struct Matrices {
  std::shared_ptr<float> a_block = allocate_floats(M * K), b_block = allocate_floats(K * N);
  std::shared_ptr<float> c_block = allocate_floats(M * N);
  const float* a = a_block.get();
  const float* b = b_block.get();
  float* c = c_block.get();

  Matrices() {
    for (int64_t i = 0; i < M * K; ++i) a_block.get()[i] = static_cast<float>(i * 7919 % 2048) / 1024 - 1;
    for (int64_t i = 0; i < K * N; ++i) b_block.get()[i] = static_cast<float>(i * 104729 % 2048) / 1024 - 1;
  }
};

// The definition. Each number of B is fetched for one product, and comes from another line of the cache than
// the one before.
void three_loops(const Matrices& x) {
  for (int64_t i = 0; i < few_rows; ++i) {
    for (int64_t j = 0; j < N; ++j) {
      float sum = 0;
      for (int64_t k = 0; k < K; ++k) sum += x.a[i * K + k] * x.b[k * N + j];
      x.c[i * N + j] = sum;
    }
  }
}

// Inner loops swapped: B and C are read in their own order, so the compiler can use vectors. But C is read
// and written for every product.
void rows(const Matrices& x) {
  std::fill_n(x.c, M * N, 0.0F);
  for (int64_t i = 0; i < M; ++i) {
    for (int64_t k = 0; k < K; ++k) {
      const float a = x.a[i * K + k];
      for (int64_t j = 0; j < N; ++j) x.c[i * N + j] += a * x.b[k * N + j];
    }
  }
}

// The kernel's tile for all of k. `b` is where the tile's columns begin.
void run_tile(const Matrices& x, int64_t i, int64_t j, const float* b, int64_t b_stride) {
  const fast::GemmKernel kernel = fast::gemm_kernel();
  const int64_t columns = std::min(kernel.panel(), N - j);
  kernel.run({.a = x.a + i * K,
              .a_stride = K,
              .b = b,
              .k = K,
              .vectors = columns / kernel.width,
              .c = x.c + i * N + j,
              .c_stride = N,
              .add = false,
              .b_stride = b_stride});
}

// Sums stay in registers: each number of A serves three vectors, each vector of B all rows of the tile.
void register_tiles(const Matrices& x) {
  const fast::GemmKernel kernel = fast::gemm_kernel();
  for (int64_t i = 0; i < M; i += kernel.rows) {
    for (int64_t j = 0; j < N; j += kernel.panel()) run_tile(x, i, j, x.b + j, N);
  }
}

// The columns of a tile are copied side by side first, and then serve all rows of A.
void packed(const Matrices& x) {
  const fast::GemmKernel kernel = fast::gemm_kernel();
  const std::shared_ptr<float> panel = allocate_floats(K * kernel.panel());
  for (int64_t j = 0; j < N; j += kernel.panel()) {
    const int64_t columns = std::min(kernel.panel(), N - j);
    for (int64_t k = 0; k < K; ++k) std::copy_n(x.b + k * N + j, columns, panel.get() + k * columns);
    for (int64_t i = 0; i < M; i += kernel.rows) run_tile(x, i, j, panel.get(), columns);
  }
}

// The library's own: packed panels and blocks of A that fit the caches, and tasks for threads.
void blocked(const Matrices& x) {
  fast::Product product{.m = M, .n = N, .k = K, .c = x.c, .row_stride = N, .item_stride = M * N};
  product.read_rows = [&](int64_t row, int64_t count_rows, int64_t first, int64_t count, float* to,
                          int64_t stride) {
    for (int64_t r = 0; r < count_rows; ++r) std::copy_n(x.a + (row + r) * K + first, count, to + r * stride);
  };
  product.read_panel = [&](int64_t, int64_t column, int64_t columns, int64_t first, int64_t count,
                           float* panel, int64_t width) {
    for (int64_t i = 0; i < count; ++i) {
      std::copy_n(x.b + (first + i) * N + column, columns, panel + i * width);
      std::fill(panel + i * width + columns, panel + (i + 1) * width, 0.0F);
    }
  };
  fast::multiply(product);
}

// The shortest of some runs, for about a second.
double seconds_of(const std::function<void()>& run) {
  double shortest = HUGE_VAL, all = 0;
  for (int i = 0; i < 20 && (i == 0 || all < 1); ++i) {
    const auto begin = std::chrono::steady_clock::now();
    run();
    const double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    shortest = std::min(shortest, s);
    all += s;
  }
  return shortest;
}

void climb(int threads) {
  const Matrices x;
  choose_threads(1);
  const double peak = fast::measured_peak_flops();
  std::vector<float> expected;
  double before = 0;
  const auto rung = [&](const char* name, void (*product)(const Matrices&), int64_t rows_done = M) {
    const double share = static_cast<double>(rows_done) / M;
    const double seconds = seconds_of([&] { product(x); }) / share, flops = 2.0 * M * N * K / seconds;
    if (expected.empty()) expected.assign(x.c, x.c + rows_done * N);
    double difference = 0;
    for (int64_t i = 0; i < few_rows * N; ++i)
      difference = std::max(difference, std::fabs(double{x.c[i]} - expected[static_cast<size_t>(i)]));
    std::printf("%-34s %8.1f ms %7.1f GFLOP/s %5.1f %% of one core's peak", name, 1000 * seconds, flops / 1e9,
                100 * flops / peak);
    if (before > 0) std::printf("   %5.1f x", before / seconds);
    std::printf("%s\n", difference < 1e-2 ? "" : "   WRONG");
    std::fflush(stdout);
    before = seconds;
  };
  std::printf("320 x 2880 times 2880 x 4096, %s\n", to_string(current_isa()));
  rung("three loops", three_loops, few_rows);
  rung("rows of B in order", rows);
  rung("sums in registers", register_tiles);
  rung("B packed", packed);
  rung("blocks for the caches", blocked);
  choose_threads(threads);
  rung(("the same on " + std::to_string(threads) + " threads").c_str(), blocked);
}

// ---- What two cores do to each other: bytes a second of one of them, over and over the same numbers

constexpr int64_t shared_floats = 1 << 20;  // 4 MiB

void write_all(float* numbers, bool past_the_caches) {
  using S = fast::Simd<4>;
  const S::Vec v = S::Vec{} + 1.0F;
  for (int64_t i = 0; i < shared_floats; i += 4)
    past_the_caches ? S::stream(v, numbers + i) : S::store(v, numbers + i);
  fast::finish_streams();
}
void read_all(const float* numbers) {
  using S = fast::Simd<4>;
  S::Vec sums[8] = {}, v;
  for (int64_t i = 0; i < shared_floats; i += 32) {
    for (int j = 0; j < 8; ++j) {
      S::load(v, numbers + i + 4 * j);
      sums[j] += v;
    }
  }
  for (int j = 1; j < 8; ++j) sums[0] += sums[j];
  asm volatile("" : : "m"(sums[0]));
}

// `before` runs on the second core, then `work` on the first, which is timed.
void time_after(const char* name, const std::function<void(float*)>& before,
                const std::function<void(float*)>& work) {
  const std::shared_ptr<float> numbers = allocate_floats(shared_floats);
  double shortest = HUGE_VAL;
  write_all(numbers.get(), false);
#pragma omp parallel num_threads(2)
  for (int i = 0; i < 20; ++i) {
    if (omp_get_thread_num() == 1) before(numbers.get());
#pragma omp barrier
    if (omp_get_thread_num() == 0) {
      const auto begin = std::chrono::steady_clock::now();
      work(numbers.get());
      shortest =
          std::min(shortest, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
#pragma omp barrier
  }
  std::printf("%-60s %6.1f GB/s\n", name, 4e-9 * static_cast<double>(shared_floats) / shortest);
}

void two_cores() {
  const auto nothing = [](float*) {};
  const auto read = [](float* x) { read_all(x); };
  const auto write = [](float* x) { write_all(x, false); };
  std::printf("4 MiB, one core at work, another before it\n");
  time_after("reads what it wrote itself", nothing, read);
  time_after("reads what the other has just written", write, read);
  time_after("writes where it wrote itself", nothing, write);
  time_after("writes where the other has just read", read, write);
  time_after("writes where the other has just read, past the caches", read,
             [](float* x) { write_all(x, true); });
}

}  // namespace

int main(int argc, char** argv) try {
  if (const char* const isa = std::getenv("CUTAWAY_ISA"); isa != nullptr) choose_isa(isa);
  if (argc > 1 && std::string_view(argv[1]) == "cores") {
    two_cores();
    return 0;
  }
  climb(argc > 1 ? std::atoi(argv[1]) : current_threads());
  return 0;
} catch (const Error& error) {
  std::fprintf(stderr, "ladder: %s\n", error.what());
  return 1;
}
