// Winograd's convolution against the plain loops: both tile sizes, sizes around those of tiles and vectors,
// every instruction set, one to three threads; and when it is chosen.
#include "tensor/backend.h"
#include "tensor/error.h"
#include "tensor/fast/ops.h"
#include "tensor/fast/winograd.h"
#include "tensor/ref/ops.h"
#include "tests/tensor/test_ops.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

struct WinogradCase {
  int64_t images, in, height, width, out;
  Padding padding = Padding::all(1);
  DType dtype = DType::f32;
  bool has_bias = true;
};

// Against the direct way's tolerance, tiles of 4 x 4 may be off by another 3e-6.
double tolerance_of(int64_t side, int64_t in) { return within::products(9 * in) + (side == 4 ? 3e-6 : 0); }

Tensor item(const Tensor& x, int64_t n) { return ref::slice(x, 0, n, n + 1); }

}  // namespace

TEST_CASE("winograd: the same as the plain loops") {
  const std::vector<WinogradCase> cases = {
      {1, 3, 4, 4, 2},
      {1, 1, 1, 1, 1},
      {2, 5, 7, 9, 9},
      {1, 17, 16, 16, 8},
      {3, 4, 12, 33, 5},
      {1, 4, 9, 64, 3},
      {1, 200, 8, 8, 17, Padding::all(1), DType::f16},  // terms in two blocks
      {2, 16, 5, 31, 12, Padding::all(0), DType::bf16},
      {1, 8, 6, 10, 4, {.left = 2, .right = 0, .top = 0, .bottom = 3}, DType::f32, false},
      {1, 3, 3, 3, 4, Padding::all(4)},  // whole tiles lie in the padding
      {1, 2, 120, 100, 3},               // tiles in several chunks
  };
  uint32_t seed = 1;
  for (const WinogradCase& c : cases) {
    for (const int64_t side : {2, 4}) {
      CAPTURE(seed);
      CAPTURE(side);
      seed += 3;
      const Tensor x = random_tensor({c.images, c.in, c.height, c.width}, seed);
      const Weight weight = stored_as(random_tensor({c.out, c.in, 3, 3}, seed + 1), c.dtype, 2);
      std::optional<Weight> bias;
      if (c.has_bias) bias = stored_as(random_tensor({c.out}, seed + 2), c.dtype, 2);
      const Tensor expected = ref::conv2d(x, weight, bias, {.padding = c.padding});
      check_versions(expected, tolerance_of(side, c.in),
                     [&] { return fast::winograd(x, weight, bias, c.padding, side); });
    }
  }
}

TEST_CASE("winograd: an image alone gives the same bits as in a batch") {
  const Tensor x = random_tensor({3, 70, 12, 20}, 5);
  const Weight weight = Weight::of(random_tensor({66, 70, 3, 3}, 6));
  for (const int64_t side : {2, 4}) {
    const Tensor all = fast::winograd(x, weight, {}, Padding::all(1), side);
    for (int64_t n = 0; n < 3; ++n) {
      CHECK_CLOSE(fast::winograd(item(x, n), weight, {}, Padding::all(1), side), item(all, n), 0);
    }
  }
}

TEST_CASE("winograd: chosen for large 3 x 3 convolutions alone, and not when the direct way is asked for") {
  const Conv2dOptions same{.padding = Padding::all(1)};
  CHECK(fast::winograd_side({1, 320, 64, 64}, {320, 320, 3, 3}, same) == 4);
  CHECK(fast::winograd_side({9, 320, 64, 64}, {320, 320, 3, 3}, same) == 4);
  CHECK(fast::winograd_side({1, 1280, 16, 16}, {1280, 1280, 3, 3}, same) == 2);
  CHECK(fast::winograd_side({1, 1280, 8, 8}, {1280, 1280, 3, 3}, same) == 0);
  CHECK(fast::winograd_side({9, 1280, 8, 8}, {1280, 1280, 3, 3}, same) == 0);
  CHECK(fast::winograd_side({1, 4, 64, 64}, {320, 4, 3, 3}, same) == 0);
  CHECK(fast::winograd_side({1, 320, 64, 64}, {320, 320, 1, 1}, {}) == 0);
  CHECK(fast::winograd_side({1, 320, 64, 64}, {320, 320, 3, 3}, {.stride = 2, .padding = Padding::all(1)}) ==
        0);
  CHECK(fast::winograd_side({1, 320, 64, 64}, {320, 320, 3, 3},
                            {.padding = Padding::all(2), .dilation = 2}) == 0);
  CHECK(fast::winograd_side({1, 320, 64, 64}, {320, 160, 3, 3}, {.padding = Padding::all(1), .groups = 2}) ==
        0);

  const Tensor x = random_tensor({1, 64, 24, 24}, 1);
  const Weight weight = Weight::of(random_tensor({64, 64, 3, 3}, 2));
  const Tensor fastest = fast::conv2d(x, weight, {}, same);
  CHECK_CLOSE(fastest, fast::winograd(x, weight, {}, same.padding, 4), 0);
  choose_convolution("direct");
  const Tensor direct = fast::conv2d(x, weight, {}, same);
  choose_convolution("fastest");
  CHECK_DIFFERS(direct, fastest, 0);
  CHECK_CLOSE(direct, ref::conv2d(x, weight, {}, same), within::products(576) * largest_of(direct));
  CHECK_THROWS_AS(choose_convolution("slow"), Error);
  CHECK(current_convolution() == Convolution::fastest);
}
