// ref against fast and eigen: attention, in tiles of any fit, with and without masks.
#include <limits>

#include "tensor/eigen/ops.h"
#include "tensor/fast/ops.h"
#include "tensor/ref/ops.h"
#include "tests/tensor/test_ops.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

void check_attention(const Shape& q_shape, int64_t keys, const AttentionOptions& options, uint32_t seed) {
  CAPTURE(to_string(q_shape));
  CAPTURE(keys);
  CAPTURE(options.causal);
  const Tensor q = random_tensor(q_shape, seed);
  const Tensor k = random_tensor(q_shape.with(2, keys), seed + 1);
  const Tensor v = random_tensor(q_shape.with(2, keys), seed + 2);
  const double tolerance = within::attention(q_shape[3], keys);

  const Tensor expected = ref::attention(q, k, v, options);
  check_versions(expected, tolerance, [&] { return fast::attention(q, k, v, options); });
  CHECK_CLOSE(eigen::attention(q, k, v, options), expected, tolerance * largest_of(expected));

  const Tensor probs = ref::attention_probs(q, k, options);
  check_versions(probs, tolerance, [&] { return fast::attention_probs(q, k, options); });
  CHECK_CLOSE(eigen::attention_probs(q, k, options), probs, tolerance * largest_of(probs));
}

// Zeros where a key may be seen, else `hidden`; every query sees at least key 0.
Tensor mask_of(const Shape& shape, float hidden) {
  Tensor mask(shape);
  for (int64_t i = 0; i < mask.count(); ++i) {
    const bool seen = i % shape[3] == 0 || i * 2654435761 % 5 < 3;
    mask.mutable_data()[i] = seen ? 0 : hidden;
  }
  return mask;
}

}  // namespace

TEST_CASE("versions: attention, head widths and lengths") {
  uint32_t seed = 3000;
  for (const int64_t d : {1, 7, 8, 16, 17, 40, 64, 80, 160}) {
    check_attention({1, 2, 5, d}, 5, {}, ++seed);
    check_attention({1, 2, 17, d}, 77, {}, ++seed);
    check_attention({2, 1, 33, d}, 9, {}, ++seed);
  }
  for (const int64_t keys :
       {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 47, 49, 63, 64, 65, 127, 128, 129, 255, 257}) {
    check_attention({1, 2, 3, 8}, keys, {}, ++seed);
    check_attention({1, 1, keys, 40}, 13, {}, ++seed);
  }
}

TEST_CASE("versions: attention, shapes that networks have") {
  check_attention({1, 8, 64, 40}, 64, {}, 3200);
  check_attention({1, 2, 256, 80}, 256, {}, 3201);
  check_attention({2, 8, 16, 160}, 77, {}, 3202);
  check_attention({1, 1, 140, 64}, 140, {}, 3203);
  check_attention({1, 1, 30, 512}, 600, {}, 3204);
}

TEST_CASE("versions: attention, causal") {
  uint32_t seed = 3300;
  for (const int64_t length : {1, 2, 7, 8, 17, 64, 77, 130, 200}) {
    check_attention({2, 2, length, 8}, length, {.causal = true}, ++seed);
    check_attention({1, 1, length, 40}, length, {.causal = true}, ++seed);
  }
}

TEST_CASE("versions: attention, added masks") {
  uint32_t seed = 3400;
  const Shape q{2, 3, 19, 7};
  for (const int64_t keys : {5, 19, 77, 150}) {
    for (const int64_t images : {1, 2}) {
      for (const int64_t heads : {1, 3}) {
        const Tensor numbers = random_tensor({images, heads, 19, keys}, ++seed);
        check_attention(q, keys, {.mask = &numbers}, ++seed);
        for (const float hidden :
             {-1e4F, std::numeric_limits<float>::lowest(), -std::numeric_limits<float>::infinity()}) {
          const Tensor mask = mask_of({images, heads, 19, keys}, hidden);
          check_attention(q, keys, {.mask = &mask}, ++seed);
        }
      }
    }
  }
  const Tensor both = random_tensor({1, 3, 19, 19}, ++seed);
  check_attention(q, 19, {.causal = true, .mask = &both}, ++seed);
}

TEST_CASE("versions: attention, a whole tile of keys hidden before the first that is seen") {
  Tensor mask = Tensor::filled({1, 1, 4, 300}, -std::numeric_limits<float>::infinity());
  for (int64_t i = 0; i < 4; ++i)
    mask.mutable_data()[i * 300 + 299 - i] = 0;  // each query sees one of the last keys
  check_attention({1, 2, 4, 16}, 300, {.mask = &mask}, 3500);
}

TEST_CASE("versions: attention, large scores do not overflow") {
  const Tensor q = random_tensor({1, 2, 9, 16}, 1, 40), k = random_tensor({1, 2, 70, 16}, 2, 40);
  const Tensor v = random_tensor({1, 2, 70, 16}, 3);
  const Tensor expected = ref::attention(q, k, v, {});
  for (const float value : expected.values()) REQUIRE(std::isfinite(value));
  // Scores near 10000 have 1e-3 between neighbouring float32: all versions round them, each in its own way.
  check_versions(expected, 1e-2, [&] { return fast::attention(q, k, v, {}); });
  CHECK_CLOSE(eigen::attention(q, k, v, {}), expected, 1e-2 * largest_of(expected));
}
