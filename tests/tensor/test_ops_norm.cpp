// Normalisation by hand, and the mistakes that only small or far-off inputs show.
#include "tensor/ref/ops.h"
#include "tests/tensor/test_ops.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

Weight ones(int64_t channels) { return Weight::of(Tensor::filled({channels}, 1)); }
Weight zeros(int64_t channels) { return Weight::of(Tensor::filled({channels}, 0)); }

}  // namespace

TEST_CASE("ref group_norm: by hand") {
  // Group 0 is -1, 1, -1, 1 around 5; group 1 is all the same: nothing left but the bias.
  const Tensor x = tensor_of({1, 4, 1, 2}, {4, 6, 4, 6, 3, 3, 3, 3});
  const Tensor y = ref::group_norm(x, weight_of({4}, {1, 10, 1, 1}), weight_of({4}, {0, 100, 7, 8}), 2, 0);
  const Tensor one_group_only = ref::slice(y, 1, 0, 2);
  CHECK_CLOSE(one_group_only, tensor_of({1, 2, 1, 2}, {-1, 1, 90, 110}), 1e-6);
  const Tensor with_eps = ref::group_norm(x, ones(4), weight_of({4}, {0, 0, 7, 8}), 2, 1e-5F);
  CHECK_CLOSE(ref::slice(with_eps, 1, 2, 4), tensor_of({1, 2, 1, 2}, {7, 7, 8, 8}), 0);
}

TEST_CASE("ref group_norm: each group of each image has mean 0 and variance 1") {
  const Tensor y = ref::group_norm(random_tensor({2, 6, 3, 5}, 1, 4), ones(6), zeros(6), 3, 1e-6F);
  for (int64_t group = 0; group < 6; ++group) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < 30; ++i) {
      const double v = y.data()[group * 30 + i];
      sum += v;
      squares += v * v;
    }
    CHECK(std::fabs(sum / 30) < 1e-6);
    CHECK(std::fabs(squares / 30 - 1) < 1e-5);  // over 30, not 29
  }
}

TEST_CASE("group_norm: twins") {
  const Tensor x = random_tensor({2, 8, 3, 5}, 1);
  const Weight weight = Weight::of(random_tensor({8}, 2)), bias = Weight::of(random_tensor({8}, 3));
  const Tensor y = ref::group_norm(x, weight, bias, 4, 1e-5F);
  check_twin(ref::group_norm(x, weight, bias, 2, 1e-5F), y, 4e-6);
  check_twin(ref::group_norm(x, weight, bias, 8, 1e-5F), y, 4e-6);
  check_twin(ref::group_norm(x, bias, weight, 4, 1e-5F), y, 4e-6);
  // The unbiased variance, over 29 for 30: smaller results by sqrt(29 / 30).
  const Tensor plain = ref::group_norm(x, ones(8), zeros(8), 4, 0);
  check_twin(ref::scale(plain, std::sqrt(29.0F / 30)), plain, 4e-6);
}

TEST_CASE("group_norm: eps 1e-6 for 1e-5 shows when the input is small") {
  const Weight weight = Weight::of(random_tensor({8}, 2)), bias = Weight::of(random_tensor({8}, 3));
  const Tensor small = random_tensor({1, 8, 3, 5}, 1, 3e-3F);
  check_twin(ref::group_norm(small, weight, bias, 2, 1e-6F), ref::group_norm(small, weight, bias, 2, 1e-5F),
             4e-6);
  const Tensor rows = small.reshaped({15, 8});
  check_twin(ref::layer_norm(rows, weight, bias, 1e-6F), ref::layer_norm(rows, weight, bias, 1e-5F), 4e-6);
  // On ordinary inputs the same mistake all but hides: why this test has a small one.
  const Tensor ordinary = random_tensor({1, 8, 3, 5}, 1);
  CHECK_CLOSE(ref::group_norm(ordinary, weight, bias, 2, 1e-6F),
              ref::group_norm(ordinary, weight, bias, 2, 1e-5F), 1e-4);
}

TEST_CASE("group_norm: eps is added to the variance, not to the deviation") {
  const Tensor x = tensor_of({1, 1, 1, 2}, {-0.003F, 0.003F});
  const Tensor y = ref::group_norm(x, ones(1), zeros(1), 1, 1e-5F);
  CHECK(y.data()[1] == doctest::Approx(0.003 / std::sqrt(0.003 * 0.003 + 1e-5)).epsilon(1e-6));
  CHECK(y.data()[1] != doctest::Approx(0.003 / (0.003 + 1e-5)).epsilon(1e-3));
}

TEST_CASE("norms: numbers far from zero keep their digits") {
  // The twin E[x^2] - E[x]^2 in float32 has nothing left at 1000 + noise: both are 1e6, with steps of 0.06.
  const Tensor noise = random_tensor({1, 2, 20, 20}, 1, 0.1F);
  const Tensor far = ref::add(noise, Tensor::filled(noise.shape(), 4096));
  const Tensor exact_noise =
      ref::sub(far, Tensor::filled(noise.shape(), 4096));  // what is left of it in float32
  CHECK_CLOSE(ref::group_norm(far, ones(2), zeros(2), 1, 1e-5F),
              ref::group_norm(exact_noise, ones(2), zeros(2), 1, 1e-5F), 1e-6);
  float sum = 0, squares = 0;
  for (const float v : far.values()) {
    sum += v;
    squares += v * v;
  }
  const float mean = sum / 800, variance = squares / 800 - mean * mean;
  CHECK(std::fabs(variance - 0.01F) > 0.01F);
}

TEST_CASE("ref layer_norm: by hand, row by row") {
  const Tensor x = tensor_of({2, 4}, {1, 3, 1, 3, -6, -6, 6, 6});
  const Tensor y = ref::layer_norm(x, weight_of({4}, {1, 1, 2, 2}), weight_of({4}, {0, 0, 0, 10}), 0);
  CHECK_CLOSE(y, tensor_of({2, 4}, {-1, 1, -2, 12, -1, -1, 2, 12}), 1e-6);
}

TEST_CASE("ref batch_norm: the running numbers, not those of the input") {
  const Tensor x = tensor_of({2, 2, 1, 1}, {1, 2, 3, 4});
  const Weight mean = weight_of({2}, {1, -2}), variance = weight_of({2}, {4, 16});
  const Tensor y = ref::batch_norm(x, weight_of({2}, {1, 10}), weight_of({2}, {0.5F, 0}), mean, variance, 0);
  CHECK_CLOSE(y, tensor_of({2, 2, 1, 1}, {0.5F, 10, 1.5F, 15}), 1e-6);
  const Tensor eps_shows = ref::batch_norm(x, ones(2), zeros(2), mean, variance, 12);
  CHECK_CLOSE(ref::slice(eps_shows, 1, 0, 1), tensor_of({2, 1, 1, 1}, {0, 0.5F}), 1e-6);
  check_twin(
      ref::batch_norm(x, ones(2), zeros(2), mean, weight_of({2}, {2, 4}), 0),  // deviation for variance
      ref::batch_norm(x, ones(2), zeros(2), mean, variance, 0), 1e-6);
}
