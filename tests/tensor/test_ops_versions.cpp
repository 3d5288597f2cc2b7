// ref against fast and eigen: matrix products. Sizes lie around the widths of vectors and tiles, weights in
// every dtype and at any byte; every instruction set of this processor, one to three threads.
#include <random>

#include "tensor/eigen/ops.h"
#include "tensor/fast/ops.h"
#include "tensor/ref/ops.h"
#include "tests/tensor/test_ops.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

const std::vector<int64_t> widths = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 47, 49, 64, 65};

struct Storage {
  DType dtype;
  int64_t offset;  // bytes
};
const std::vector<Storage> storages = {{DType::f32, 0}, {DType::f16, 0}, {DType::bf16, 0}, {DType::f32, 1},
                                       {DType::f32, 6}, {DType::f16, 1}, {DType::bf16, 3}, {DType::q8_0, 1}};

struct ConvCase {
  int64_t images, in, height, width, out, kh, kw;
  Conv2dOptions options = {};
};

std::string describe(const ConvCase& c, const Storage& storage) {
  const Padding& p = c.options.padding;
  std::string text = "x";
  for (const int64_t n : {c.images, c.in, c.height, c.width}) text += " " + std::to_string(n);
  text += ", out " + std::to_string(c.out) + ", kernel " + std::to_string(c.kh) + " " + std::to_string(c.kw);
  text += ", stride " + std::to_string(c.options.stride) + ", dilation " + std::to_string(c.options.dilation);
  text += ", groups " + std::to_string(c.options.groups) + ", padding l r t b";
  for (const int64_t n : {p.left, p.right, p.top, p.bottom}) text += " " + std::to_string(n);
  return text + ", " + to_string(storage.dtype) + " at byte " + std::to_string(storage.offset);
}

void check_conv(const ConvCase& c, const Storage& storage, uint32_t seed) {
  CAPTURE(describe(c, storage));
  const int64_t taps = c.in / c.options.groups * c.kh * c.kw;
  const Tensor x = random_tensor({c.images, c.in, c.height, c.width}, seed);
  const Tensor values = random_tensor({c.out, c.in / c.options.groups, c.kh, c.kw}, seed + 1);
  const Weight weight = stored_as(values, storage.dtype, storage.offset);
  std::optional<Weight> bias;
  if (seed % 3 != 0) bias = stored_as(random_tensor({c.out}, seed + 2), storage.dtype, storage.offset);
  const Tensor expected = ref::conv2d(x, weight, bias, c.options);
  check_versions(expected, within::products(taps), [&] { return fast::conv2d(x, weight, bias, c.options); });
  CHECK_CLOSE(eigen::conv2d(x, weight, bias, c.options), expected,
              within::products(taps) * largest_of(expected));
}

}  // namespace

TEST_CASE("versions: conv2d, shapes that networks have") {
  const Conv2dOptions same{.padding = Padding::all(1)}, halved{.stride = 2, .padding = Padding::all(1)};
  const Conv2dOptions vae_halved{.stride = 2, .padding = {.right = 1, .bottom = 1}};
  const std::vector<ConvCase> cases = {
      {1, 4, 16, 12, 32, 3, 3, same},
      {3, 32, 8, 8, 32, 3, 3, same},
      {1, 64, 9, 7, 48, 3, 3, same},
      {1, 64, 32, 32, 96, 3, 3, same},
      {2, 96, 16, 16, 64, 3, 3, same},
      {1, 320, 8, 8, 64, 3, 3, same},
      {1, 32, 16, 12, 32, 3, 3, halved},
      {2, 5, 9, 7, 7, 3, 3, halved},
      {1, 32, 16, 12, 32, 3, 3, vae_halved},
      {2, 6, 9, 7, 8, 3, 3, vae_halved},
      {1, 64, 16, 12, 64, 1, 1},
      {3, 40, 7, 5, 24, 1, 1},
      {1, 8, 1, 1, 16, 1, 1},
      {1, 32, 2, 1, 32, 3, 3, same},
      {1, 3, 28, 28, 6, 14, 14, {.stride = 14}},
      {1, 3, 20, 14, 5, 7, 7},
      {2, 1, 3, 33, 3, 3, 3, same},
      {1, 32, 16, 16, 4, 3, 3, same},
      {2, 9, 5, 70, 4, 3, 3, same},  // few channels of results, line by line
      {1, 6, 7, 64, 3, 3, 5, {.padding = {.left = 3, .right = 1, .top = 1, .bottom = 2}, .dilation = 2}},
      {1, 3, 4, 130, 2, 1, 1},
      {1, 3, 15, 17, 64, 3, 3},
      {1, 16, 6, 6, 16, 1, 1, halved},
      {1, 512, 4, 4, 40, 1, 1},
      {1, 16, 64, 60, 24, 3, 3, same},
      {3, 40, 32, 31, 17, 3, 3, same},
      {2, 64, 64, 64, 16, 1, 1},
  };
  uint32_t seed = 1;
  for (const ConvCase& c : cases) {
    check_conv(c, {DType::f32, 0}, seed);
    check_conv(c, {DType::f16, 0}, seed + 1);
    seed += 2;
  }
}

TEST_CASE("versions: conv2d, widths around those of vectors") {
  uint32_t seed = 100;
  for (const int64_t width : widths) {
    check_conv({1, 3, 4, width, 5, 3, 3, {.padding = Padding::all(1)}}, {DType::f32, 0},
               ++seed);  // pixels in a row
    check_conv({1, width, 3, 4, 9, 3, 3, {.padding = Padding::all(1)}}, {DType::f32, 0},
               ++seed);  // channels in
    check_conv({2, 6, 4, 3, width, 3, 3, {.padding = Padding::all(1)}}, {DType::f32, 0},
               ++seed);  // channels out
    check_conv({1, width, 3, 5, 17, 1, 1}, {DType::f32, 0}, ++seed);
    check_conv({1, 7, 1, width, width, 1, 1}, {DType::f32, 0}, ++seed);
    check_conv({1, 3, 6, width + 2, 4, 3, 3, {.stride = 2}}, {DType::f32, 0}, ++seed);
  }
}

TEST_CASE("versions: conv2d, groups, dilation, strides and one-sided padding") {
  const std::vector<ConvCase> cases = {
      {2, 8, 9, 7, 12, 3, 3, {.padding = Padding::all(1), .groups = 4}},
      {1, 17, 8, 9, 17, 3, 3, {.padding = Padding::all(1), .groups = 17}},
      {1, 6, 5, 5, 18, 3, 3, {.stride = 2, .padding = Padding::all(1), .groups = 6}},
      {1, 32, 4, 4, 32, 1, 1, {.groups = 2}},
      {1, 5, 11, 13, 7, 3, 3, {.padding = Padding::all(2), .dilation = 2}},
      {2, 4, 12, 10, 6, 3, 3, {.stride = 2, .padding = Padding::all(1), .dilation = 3}},
      {1, 4, 12, 10, 6, 3, 5, {.stride = 3, .padding = {.left = 2, .right = 0, .top = 1, .bottom = 3}}},
      {1, 4, 5, 9, 6, 1, 3, {.padding = {.left = 1, .right = 1}}},
      {1, 4, 9, 5, 6, 3, 1, {.padding = {.top = 1, .bottom = 1}}},
      {1, 4, 5, 6, 3, 2, 2, {.padding = {.right = 1, .bottom = 1}}},
      {1, 4, 5, 6, 3, 3, 3, {.padding = Padding::all(4)}},  // whole windows lie outside
      {1, 2, 3, 4, 3, 1, 1, {.padding = Padding::all(2)}},
      {1, 4, 3, 3, 4, 3, 3, {.padding = {.left = 5, .right = 0, .top = 0, .bottom = 5}}},
      {1, 4, 8, 8, 4, 2, 2, {.stride = 5}},  // pixels that no window covers
  };
  uint32_t seed = 300;
  for (const ConvCase& c : cases) check_conv(c, {DType::f32, 0}, ++seed);
}

TEST_CASE("versions: conv2d, weights in every dtype and at any byte") {
  uint32_t seed = 400;
  for (const Storage& storage : storages) {
    check_conv({1, 16, 9, 7, 19, 3, 3, {.padding = Padding::all(1)}}, storage, ++seed);
    check_conv({2, 33, 5, 6, 16, 1, 1}, storage, ++seed);
    check_conv({1, 8, 6, 6, 8, 3, 3, {.stride = 2, .padding = Padding::all(1), .groups = 2}}, storage,
               ++seed);
  }
}

TEST_CASE("versions: conv2d, a hundred drawn at random") {
  std::mt19937 generator(20240526);
  const auto draw = [&](int64_t low, int64_t high) {
    return low + static_cast<int64_t>(generator() % static_cast<uint32_t>(high - low + 1));
  };
  for (uint32_t seed = 500; seed < 600; ++seed) {
    ConvCase c{draw(1, 3), 1, draw(1, 20), draw(1, 20), 1, draw(1, 4), draw(1, 4)};
    c.options = {draw(1, 3), {draw(0, 3), draw(0, 3), draw(0, 3), draw(0, 3)}, draw(1, 2), draw(1, 3)};
    c.in = c.options.groups * draw(1, 12);
    c.out = c.options.groups * draw(1, 20);
    const Padding& p = c.options.padding;
    c.height = std::max(c.height, c.options.dilation * (c.kh - 1) + 1 - p.top - p.bottom);
    c.width = std::max(c.width, c.options.dilation * (c.kw - 1) + 1 - p.left - p.right);
    check_conv(c, storages[seed % storages.size()], seed);
  }
}

TEST_CASE("versions: conv_transpose2d") {
  struct Case {
    int64_t images, in, height, width, out, kernel_height, kernel_width;
    ConvTranspose2dOptions options;
  };
  const std::vector<Case> cases = {{1, 16, 8, 6, 8, 2, 2, {.stride = 2}},
                                   {3, 5, 3, 7, 9, 4, 4, {.stride = 2, .padding = 1}},
                                   {1, 3, 5, 4, 2, 3, 3, {}},
                                   {2, 17, 1, 1, 33, 2, 2, {.stride = 2}},
                                   {1, 2, 3, 5, 3, 2, 3, {.stride = 3}},
                                   {1, 4, 4, 5, 4, 3, 5, {.stride = 2, .padding = 2}},
                                   {1, 31, 2, 15, 1, 2, 2, {.stride = 2}},
                                   {2, 64, 31, 37, 24, 2, 2, {.stride = 2}}};
  uint32_t seed = 700;
  for (const Case& c : cases) {
    for (const Storage& storage : storages) {
      CAPTURE(seed);
      ++seed;
      const Tensor x = random_tensor({c.images, c.in, c.height, c.width}, seed);
      const Tensor values = random_tensor({c.in, c.out, c.kernel_height, c.kernel_width}, seed + 1000);
      const Weight weight = stored_as(values, storage.dtype, storage.offset);
      std::optional<Weight> bias;
      if (seed % 2 == 0) bias = stored_as(random_tensor({c.out}, seed + 2000), storage.dtype, storage.offset);
      const Tensor expected = ref::conv_transpose2d(x, weight, bias, c.options);
      check_versions(expected, within::products(c.in * c.kernel_height * c.kernel_width),
                     [&] { return fast::conv_transpose2d(x, weight, bias, c.options); });
    }
  }
}

namespace {

void check_linear(const Shape& shape, int64_t out, const Storage& storage, uint32_t seed) {
  CAPTURE(to_string(shape));
  CAPTURE(out);
  CAPTURE(std::string(to_string(storage.dtype)));
  CAPTURE(storage.offset);
  const int64_t in = shape[-1];
  const Tensor x = random_tensor(shape, seed);
  const Weight weight = stored_as(random_tensor({out, in}, seed + 1), storage.dtype, storage.offset);
  std::optional<Weight> bias;
  if (seed % 3 != 0) bias = stored_as(random_tensor({out}, seed + 2), storage.dtype, storage.offset);
  const Tensor expected = ref::linear(x, weight, bias);
  check_versions(expected, within::products(in), [&] { return fast::linear(x, weight, bias); });
  CHECK_CLOSE(eigen::linear(x, weight, bias), expected, within::products(in) * largest_of(expected));
}

}  // namespace

TEST_CASE("versions: linear, every pair of widths") {
  uint32_t seed = 1000;
  for (const int64_t in : widths) {
    for (const int64_t out : widths) {
      const int64_t rows = widths[seed % widths.size()];
      check_linear({rows, in}, out, {DType::f32, 0}, ++seed);
      check_linear({1, rows, in}, out, {DType::f32, 0}, seed);
    }
  }
}

TEST_CASE("versions: linear on many threads, where a panel of many terms is packed piece by piece") {
  // Each of 64 threads may pack 262,144 numbers, and a panel here has more.
  const Tensor x = random_tensor({1, 40, 9000}, 2100);
  const Weight weight = Weight::of(random_tensor({50, 9000}, 2101));
  const KeepIsaAndThreads keep;
  choose_threads(1);
  const Tensor one = fast::linear(x, weight, {});
  choose_threads(64);
  const Tensor many = fast::linear(x, weight, {});
  CHECK_CLOSE(many, one, 0);
  const Tensor expected = ref::linear(x, weight, {});
  CHECK_CLOSE(many, expected, within::products(9000) * largest_of(expected));
}

TEST_CASE("versions: linear, shapes that networks have") {
  const Storage f32{DType::f32, 0}, f16{DType::f16, 0};
  check_linear({1, 320}, 1280, f32, 2000);
  check_linear({2, 1280}, 320, f16, 2001);
  check_linear({1, 77, 768}, 320, f32, 2002);
  check_linear({2, 77, 768}, 40, f16, 2003);
  check_linear({1, 256, 320}, 320, f32, 2004);
  check_linear({1, 5, 1280}, 333, f32, 2005);
  check_linear({1, 1500}, 1281, f16, 2008);
  check_linear({3000, 40}, 50, f32, 2009);
  check_linear({1, 3000, 40}, 50, f32, 2010);
  check_linear({17}, 9, f32, 2006);  // one row without a batch axis
  check_linear({2, 3, 5, 24}, 7, f32, 2007);
}

TEST_CASE("versions: linear, one item has the same bits alone and in a batch") {
  const KeepIsaAndThreads keep;
  const Weight weight = stored_as(random_tensor({30, 600}, 1), DType::f16, 0);
  const std::optional<Weight> bias = stored_as(random_tensor({30}, 2), DType::f32, 0);
  for (const Isa isa : known_isas()) {
    choose_isa(to_string(isa));
    CAPTURE(std::string(to_string(isa)));
    for (const int64_t tokens : {1, 2, 3, 4, 5, 8, 9, 70}) {
      CAPTURE(tokens);
      const Tensor all = random_tensor({11, tokens, 600}, 3);
      const Tensor together = fast::linear(all, weight, bias);
      for (int64_t i = 0; i < 11; ++i) {
        const Tensor alone = fast::linear(slice(all, 0, i, i + 1), weight, bias);
        CHECK_CLOSE(alone, slice(together, 0, i, i + 1), within::exact);
      }
      if (tokens > 1) continue;
      const Tensor flat = fast::linear(all.reshaped({11, 600}), weight, bias);
      CHECK_CLOSE(flat.reshaped({11, 1, 30}), together, within::exact);
    }
  }
}

TEST_CASE("versions: linear, weights in every dtype and at any byte") {
  uint32_t seed = 2100;
  for (const Storage& storage : storages) {
    for (const int64_t rows : {1, 2, 3, 5, 33}) {
      check_linear({rows, 33}, 18, storage, ++seed);
      check_linear({rows, 64}, 47, storage, ++seed);
    }
  }
}

TEST_CASE("versions: matmul") {
  uint32_t seed = 2200;
  const auto check_matmul = [&](const Shape& a_shape, const Shape& b_shape) {
    CAPTURE(to_string(a_shape));
    CAPTURE(to_string(b_shape));
    const Tensor a = random_tensor(a_shape, ++seed), b = random_tensor(b_shape, ++seed);
    const Tensor expected = ref::matmul(a, b);
    const double tolerance = within::products(a_shape[-1]);
    check_versions(expected, tolerance, [&] { return fast::matmul(a, b); });
    CHECK_CLOSE(eigen::matmul(a, b), expected, tolerance * largest_of(expected));
  };
  for (const int64_t k : widths) {
    for (const int64_t n : widths) {
      const int64_t m = widths[(seed / 2) % widths.size()];
      check_matmul({m, k}, {k, n});
    }
  }
  check_matmul({2, 3, 5, 7}, {2, 3, 7, 4});
  check_matmul({3, 17, 33}, {3, 33, 9});
  check_matmul({1, 8, 64, 77}, {1, 8, 77, 40});
  check_matmul({129, 300}, {300, 65});
}
