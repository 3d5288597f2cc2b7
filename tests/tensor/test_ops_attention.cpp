// Attention and softmax by hand, and the mistakes that would look right.
#include <limits>

#include "tensor/ref/ops.h"
#include "tests/tensor/test_ops.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

Tensor transposed(const Tensor& x) {  // [.., rows, columns] -> [.., columns, rows]
  const int64_t rows = x.shape()[2], columns = x.shape()[3];
  Tensor y(x.shape().with(2, columns).with(3, rows));
  for (int64_t i = 0; i < x.count(); ++i) {
    const int64_t matrix = i / (rows * columns), row = i / columns % rows, column = i % columns;
    y.mutable_data()[(matrix * columns + column) * rows + row] = x.data()[i];
  }
  return y;
}

}  // namespace

TEST_CASE("ref softmax: by hand") {
  const float e = std::exp(1.0F);
  const Tensor y = ref::softmax(tensor_of({2, 2}, {0, 1, 3, 3}), 1);
  CHECK_CLOSE(y, tensor_of({2, 2}, {1 / (1 + e), e / (1 + e), 0.5F, 0.5F}), 1e-7);
}

TEST_CASE("ref softmax: sums to 1 along its own axis and no other") {
  const Tensor x = random_tensor({2, 3, 4}, 1, 3);
  for (int axis = 0; axis < 3; ++axis) {
    const Tensor y = ref::softmax(x, axis);
    for (int other = 0; other < 3; ++other) {
      Tensor sum = ref::slice(y, other, 0, 1);
      for (int64_t i = 1; i < x.shape()[other]; ++i) sum = ref::add(sum, ref::slice(y, other, i, i + 1));
      const Tensor ones = Tensor::filled(sum.shape(), 1);
      if (other == axis) CHECK_CLOSE(sum, ones, 1e-6);
      if (other != axis) CHECK_DIFFERS(sum, ones, 1e-3);
    }
  }
}

TEST_CASE("ref softmax: large numbers need the largest taken away") {
  const Tensor large = tensor_of({1, 3}, {1000, 999, -1000}), small = tensor_of({1, 3}, {1, 0, -1999});
  CHECK_CLOSE(ref::softmax(large, 1), ref::softmax(small, 1), 1e-7);
  CHECK_CLOSE(ref::softmax(tensor_of({1, 2}, {-1000, -999}), 1), ref::softmax(tensor_of({1, 2}, {0, 1}), 1),
              1e-7);
  // The twin, e^x over the sum of e^x as it stands, is infinity over infinity.
  const Tensor powers = ref::exp(large);
  float sum = 0;
  for (const float power : powers.values()) sum += power;
  CHECK(std::isnan(powers.data()[0] / sum));
}

TEST_CASE("softmax: a negative axis counts from the end") {
  const Tensor x = random_tensor({2, 3, 4}, 1);
  CHECK_CLOSE(softmax(x), ref::softmax(x, 2), 1e-6);
  CHECK_CLOSE(softmax(x, -3), ref::softmax(x, 0), 1e-6);
}

TEST_CASE("ref attention: by hand") {
  // One query (1, 0), keys (2 ln 3 sqrt 2 / 2, 0) and (0, 5): scores ln 3 and 0, weights 3/4 and 1/4.
  const float key = std::log(3.0F) * std::sqrt(2.0F);
  const Tensor q = tensor_of({1, 1, 1, 2}, {1, 0}), k = tensor_of({1, 1, 2, 2}, {key, 0, 0, 5});
  const Tensor v = tensor_of({1, 1, 2, 2}, {4, 8, -4, 0});
  CHECK_CLOSE(ref::attention_probs(q, k, {}), tensor_of({1, 1, 1, 2}, {0.75F, 0.25F}), 1e-6);
  CHECK_CLOSE(ref::attention(q, k, v, {}), tensor_of({1, 1, 1, 2}, {2, 6}), 1e-5);
}

TEST_CASE("ref attention: softmax(q k^T / sqrt(d)) v, put together from its parts") {
  const Tensor q = random_tensor({2, 3, 4, 5}, 1), k = random_tensor({2, 3, 6, 5}, 2),
               v = random_tensor({2, 3, 6, 5}, 3);
  const auto with_scale = [&](double factor) {
    const Tensor scores = ref::scale(ref::matmul(q, transposed(k)), static_cast<float>(factor));
    return ref::matmul(ref::softmax(scores, 3), v);
  };
  const Tensor y = ref::attention(q, k, v, {});
  CHECK_CLOSE(with_scale(1 / std::sqrt(5.0)), y, 2e-6);
  // Twins: no scale, 1 / d, the width of all heads together, the number of tokens, of heads.
  for (const double wrong : {1.0, 1 / 5.0, 1 / std::sqrt(15.0), 1 / std::sqrt(6.0), 1 / std::sqrt(3.0)}) {
    check_twin(with_scale(wrong), y, 2e-6);
  }
}

TEST_CASE("ref attention: heads do not mix") {
  const Tensor q = random_tensor({1, 2, 4, 3}, 1), k = random_tensor({1, 2, 5, 3}, 2),
               v = random_tensor({1, 2, 5, 3}, 3);
  const auto head = [](const Tensor& x, int64_t h) { return ref::slice(x, 1, h, h + 1); };
  const Tensor y = ref::attention(q, k, v, {});
  for (const int64_t h : {0, 1}) {
    CHECK_CLOSE(head(y, h), ref::attention(head(q, h), head(k, h), head(v, h), {}), 0);
  }
}

TEST_CASE("attention: heads and head width exchanged") {
  // [N, T, 6] as 2 heads of 3 or as 3 heads of 2: the same shapes outside, other numbers.
  const Tensor q = random_tensor({1, 4, 6}, 1), k = random_tensor({1, 5, 6}, 2),
               v = random_tensor({1, 5, 6}, 3);
  const auto with_heads = [&](int64_t heads) {
    return ref::merge_heads(ref::attention(ref::split_heads(q, heads), ref::split_heads(k, heads),
                                           ref::split_heads(v, heads), {}));
  };
  check_twin(with_heads(3), with_heads(2), 1e-5);
}

TEST_CASE("ref attention: causal, token i sees tokens 0 to i only") {
  const Tensor q = random_tensor({2, 2, 5, 3}, 1), k = random_tensor({2, 2, 5, 3}, 2),
               v = random_tensor({2, 2, 5, 3}, 3);
  const Tensor probs = ref::attention_probs(q, k, {.causal = true});
  for (int64_t i = 0; i < probs.count(); ++i) {
    const int64_t query = i / 5 % 5, key = i % 5;
    CHECK((probs.data()[i] == 0) == (key > query));
  }
  // Each row is what the tokens up to it would give without a mask.
  const Tensor y = ref::attention(q, k, v, {.causal = true});
  for (int64_t i = 0; i < 5; ++i) {
    const auto first = [&](const Tensor& x) { return ref::slice(x, 2, 0, i + 1); };
    const Tensor alone = ref::attention(ref::slice(q, 2, i, i + 1), first(k), first(v), {});
    CHECK_CLOSE(ref::slice(y, 2, i, i + 1), alone, 1e-6);
  }
  check_twin(ref::attention(q, k, v, {}), y, 1e-5);
}

TEST_CASE("ref attention: a mask is added to the scaled scores, for each image and head or for all") {
  const Tensor q = random_tensor({2, 3, 4, 5}, 1), k = random_tensor({2, 3, 6, 5}, 2);
  for (const int64_t images : {1, 2}) {
    for (const int64_t heads : {1, 3}) {
      const Tensor mask = random_tensor({images, heads, 4, 6}, 4, 2);
      Tensor scores = ref::scale(ref::matmul(q, transposed(k)), 1 / std::sqrt(5.0F));
      for (int64_t i = 0; i < scores.count(); ++i) {
        const int64_t n = i / (3 * 24), h = i / 24 % 3, place = i % 24;
        const int64_t of = ((images == 1 ? 0 : n) * heads + (heads == 1 ? 0 : h)) * 24 + place;
        scores.mutable_data()[i] += mask.data()[of];
      }
      CHECK_CLOSE(ref::attention_probs(q, k, {.mask = &mask}), ref::softmax(scores, 3), 2e-6);
      const Tensor before_scale = ref::scale(mask, 1 / std::sqrt(5.0F));  // twin: added before the scale
      check_twin(ref::attention_probs(q, k, {.mask = &before_scale}), ref::softmax(scores, 3), 2e-6);
    }
  }
}

TEST_CASE("ref attention: a hidden key has no weight at all") {
  const Tensor q = random_tensor({1, 1, 2, 3}, 1), k = random_tensor({1, 1, 3, 3}, 2);
  for (const float hidden : {std::numeric_limits<float>::lowest(), -std::numeric_limits<float>::infinity()}) {
    const Tensor mask = tensor_of({1, 1, 2, 3}, {0, hidden, 0, hidden, hidden, 0});
    const Tensor probs = ref::attention_probs(q, k, {.mask = &mask});
    CHECK(probs.data()[1] == 0);
    CHECK(probs.data()[5] == 1);
  }
}
