// Operations on bands of rows give the rows that one program gives for the whole picture.
#include "tests/bands_in_threads.h"
#include "tests/tensor/test_ops.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

const std::optional<Weight> no_bias;
constexpr int64_t prompt_tokens = 5;
using Rows = std::vector<int64_t>;

// work(rows of a picture) for each band, joined.
template <class Work>
Tensor by_bands(const Tensor& picture, const Rows& rows, const Work& work) {
  return concat(in_threads(static_cast<int>(rows.size()),
                           [&](Neighbours& neighbours) {
                             const Bands bands(neighbours, rows, prompt_tokens);
                             return work(bands.cut(picture));
                           }),
                2);
}

// The same without neighbours: the mistake that bands.h is there to avoid.
template <class Work>
Tensor each_by_itself(const Tensor& picture, const Rows& rows, const Work& work) {
  std::vector<Tensor> results;
  int64_t begin = 0;
  for (const int64_t count : rows) {
    results.push_back(work(slice(picture, 2, begin, begin + count)));
    begin += count;
  }
  return concat(results, 2);
}

// For each version of the operations. `tolerance` is relative to the largest value.
template <class Work>
void check_bands(const Tensor& picture, const std::vector<Rows>& layouts, double tolerance,
                 const Work& work) {
  for (const char* backend : {"ref", "fast", "eigen"}) {
    choose_backend(backend);
    const Tensor whole = work(picture);
    for (const Rows& rows : layouts) {
      CAPTURE(backend);
      CAPTURE(rows.size());
      CHECK_CLOSE(by_bands(picture, rows, work), whole, tolerance * largest_of(whole));
    }
  }
  choose_backend("fast");
}

template <class Work>
void check_refused(const Tensor& picture, const char* why, const Work& work) {
  CHECK_NOTHROW(work(picture));
  CHECK_THROWS_WITH_AS(by_bands(picture, {4, 4}, work), doctest::Contains(why), std::exception);
}

}  // namespace

TEST_CASE("rows are dealt out evenly, in whole units") {
  CHECK(even_bands(64, 8, 2) == Rows{32, 32});
  CHECK(even_bands(64, 8, 3) == Rows{24, 24, 16});
  CHECK(even_bands(40, 8, 4) == Rows{16, 8, 8, 8});
  CHECK(even_bands(16, 8, 1) == Rows{16});
  CHECK_THROWS_WITH(even_bands(60, 8, 2), doctest::Contains("60 rows"));
  CHECK_THROWS_WITH(even_bands(16, 8, 3), doctest::Contains("3 bands"));
}

TEST_CASE("conv2d on bands takes rows across the border") {
  const std::vector<Rows> layouts = {{6, 6}, {8, 4}, {2, 6, 4}, {2, 2, 4, 4}};
  const Tensor picture = random_tensor({2, 4, 12, 7}, 1);
  const auto conv = [](int64_t kernel, const Conv2dOptions& options) {
    const Weight weight = Weight::of(random_tensor({6, 4 / options.groups, kernel, kernel}, 2)),
                 bias = Weight::of(random_tensor({6}, 3));
    return [=](const Tensor& x) { return conv2d(x, weight, bias, options); };
  };
  const double tolerance = within::products(9 * 4);
  const auto plain = conv(3, {.padding = Padding::all(1)});
  check_bands(picture, layouts, tolerance, plain);
  CHECK_DIFFERS(each_by_itself(picture, {6, 6}, plain), plain(picture), 0.1);  // zeros in the middle
  check_bands(picture, layouts, tolerance, conv(3, {.stride = 2, .padding = Padding::all(1)}));
  check_bands(picture, layouts, tolerance, conv(3, {.stride = 2, .padding = {.right = 1, .bottom = 1}}));
  check_bands(picture, layouts, tolerance, conv(2, {.stride = 2}));
  check_bands(picture, layouts, tolerance, conv(1, {}));
  check_bands(picture, layouts, tolerance, conv(1, {.stride = 2}));
  check_bands(picture, layouts, tolerance, conv(3, {.padding = Padding::all(1), .groups = 2}));
  check_bands(picture, layouts, tolerance, conv(3, {.padding = Padding::all(2), .dilation = 2}));
  check_bands(picture, layouts, within::products(25 * 4), conv(5, {.padding = Padding::all(2)}));
  check_bands(picture, {{1, 1, 10}, {11, 1}}, tolerance, plain);

  // Only as many rows as are needed are sent, of [2, 4, 1, 7] numbers each.
  const auto rows_sent = [&](const auto& work) {
    return in_threads(3, [&](ThreadNeighbours& neighbours) {
      const Bands bands(neighbours, {4, 4, 4}, prompt_tokens);
      work(bands.cut(picture));
      return neighbours.sent.borders.bytes / (2 * 4 * 7 * 4);
    });
  };
  CHECK(rows_sent(plain) == std::vector<int64_t>{1, 2, 1});
  CHECK(rows_sent(conv(3, {.stride = 2, .padding = Padding::all(1)})) == std::vector<int64_t>{1, 1, 0});
  CHECK(rows_sent(conv(1, {})) == std::vector<int64_t>{0, 0, 0});
}

TEST_CASE("conv2d by tiles on bands") {  // large enough for Winograd's tiles, which begin elsewhere
  const Tensor picture = random_tensor({1, 64, 32, 32}, 1);
  const Weight weight = Weight::of(random_tensor({64, 64, 3, 3}, 2, 0.05F));
  check_bands(picture, {{16, 16}, {16, 8, 8}}, 4e-6,
              [&](const Tensor& x) { return conv2d(x, weight, no_bias, {.padding = Padding::all(1)}); });
}

TEST_CASE("group_norm on bands has the mean and variance of the whole picture") {
  const std::vector<Rows> layouts = {{6, 6}, {8, 4}, {2, 6, 4}, {1, 1, 10}};
  const Weight weight = Weight::of(random_tensor({6}, 2)), bias = Weight::of(random_tensor({6}, 3));
  const auto norm = [&](const Tensor& x) { return group_norm(x, weight, bias, 3, 1e-5F); };
  // Each row is elsewhere, so that no band has the mean of all.
  Tensor picture = random_tensor({2, 6, 12, 7}, 1);
  float* const x = picture.mutable_data();
  for (int64_t i = 0; i < picture.count(); ++i) x[i] += static_cast<float>(i / 7 % 12);
  check_bands(picture, layouts, within::norm, norm);
  CHECK_DIFFERS(each_by_itself(picture, {6, 6}, norm), norm(picture), 0.1);

  // 100 away from 0, where a mean as a float has lost the digits that count.
  check_bands(add(scale(picture, 0.01F), Tensor::filled(picture.shape(), 100.123456F)), layouts, 1e-5, norm);
}

TEST_CASE("attention on bands: keys of the whole picture, or of the prompt") {
  const std::vector<Rows> layouts = {{6, 6}, {8, 4}, {2, 6, 4}};
  const Tensor tokens = random_tensor({2, 3, 12, 8}, 1);
  const auto of_itself = [](const Tensor& x) { return attention(x, scale(x, 2), scale(x, -1), {}); };
  check_bands(tokens, layouts, within::attention(8, 12), of_itself);
  CHECK_DIFFERS(each_by_itself(tokens, {6, 6}, of_itself), of_itself(tokens), 0.1);

  const Tensor prompt = random_tensor({2, 3, prompt_tokens, 8}, 2);
  const auto of_prompt = [&](const Tensor& x) { return attention(x, prompt, prompt, {}); };
  check_bands(tokens, layouts, within::attention(8, prompt_tokens), of_prompt);
  const auto probs_of_prompt = [&](const Tensor& x) { return attention_probs(x, prompt, {}); };
  check_bands(tokens, layouts, within::attention(8, prompt_tokens), probs_of_prompt);
  const auto probs = [](const Tensor& x) { return attention_probs(x, x, {}); };
  check_bands(tokens, layouts, within::attention(8, 12), probs);

  // As many pixels as tokens, and neither.
  for (const auto& [queries, keys] : {std::pair{prompt_tokens, prompt_tokens}, {int64_t{6}, int64_t{7}}}) {
    in_threads(1, [&, q = queries, k = keys](Neighbours& neighbours) {
      const Bands bands(neighbours, {q}, prompt_tokens);
      const Tensor other = random_tensor({2, 3, k, 8}, 2);
      CHECK_THROWS_WITH(attention(random_tensor({2, 3, q, 8}, 2), other, other, {}),
                        doctest::Contains("the prompt has 5 tokens"));
      return 0;
    });
  }
}

TEST_CASE("observers see the operation of the layer, with the band that it was given") {
  struct Seen : Observer {
    std::vector<std::string> operations;
    void operation(const std::string&, const char* name, std::span<const Tensor* const> inputs,
                   const Tensor&) override {
      operations.push_back(name);
      for (const Tensor* input : inputs) operations.back() += " " + to_string(input->shape());
    }
  };
  const Tensor picture = random_tensor({1, 2, 8, 4}, 1), tokens = random_tensor({1, 2, 8, 4}, 2);
  const Weight kernel = Weight::of(random_tensor({2, 2, 3, 3}, 3)), two = Weight::of(random_tensor({2}, 4));
  const auto seen = in_threads(2, [&](Neighbours& neighbours) {
    const Bands bands(neighbours, {4, 4}, prompt_tokens);
    const Tensor x = bands.cut(picture), t = bands.cut(tokens);
    Seen observer;
    const Observe observe(observer);
    conv2d(x, kernel, no_bias, {.padding = Padding::all(1)});
    group_norm(x, two, two, 1, 1e-5F);
    attention(t, t, t, {});
    return observer.operations;
  });
  const std::string band = " [1, 2, 4, 4]";
  const std::vector<std::string> expected = {"conv2d" + band, "group_norm" + band,
                                             "attention" + band + band + band};
  CHECK(seen[0] == expected);
  CHECK(seen[1] == expected);
}

TEST_CASE("the rest of a UNet's operations need no neighbour") {
  const std::vector<Rows> layouts = {{6, 6}, {8, 4}, {2, 6, 4}};
  const Tensor picture = random_tensor({2, 4, 12, 6}, 1);
  const Weight square = Weight::of(random_tensor({4, 4}, 2)), ones = Weight::of(Tensor::filled({4}, 1));
  check_bands(picture, layouts, within::exact, [](const Tensor& x) { return silu(x); });
  check_bands(picture, layouts, within::exact, [](const Tensor& x) { return concat({x, x}, 1); });
  check_bands(picture, layouts, within::exact, [](const Tensor& x) { return slice(x, 1, 1, 3); });
  check_bands(picture, layouts, within::exact, [](const Tensor& x) { return max_pool(x, 2); });
  check_bands(picture, layouts, within::exact,
              [](const Tensor& x) { return upsample_nearest(x, 2 * x.shape()[2], 12); });
  check_bands(picture, layouts, within::products(4), [&](const Tensor& x) {
    const Tensor h = layer_norm(linear(to_tokens(x), square, no_bias), ones, ones, 1e-5F);
    return to_image(h, x.shape()[2], x.shape()[3]);
  });
}

TEST_CASE("what cannot be done on a band is refused") {
  const Tensor picture = random_tensor({1, 2, 8, 8}, 1);
  const Weight weight = Weight::of(random_tensor({2, 2, 3, 3}, 2));
  const char* whole = "rows that are elsewhere";
  check_refused(picture, "other rows", [&](const Tensor& x) { return conv2d(x, weight, no_bias, {}); });
  check_refused(picture, "other rows", [&](const Tensor& x) {
    return conv2d(x, weight, no_bias, {.stride = 3, .padding = Padding::all(1)});
  });
  const Weight tall = Weight::of(random_tensor({2, 2, 11, 3}, 2));
  check_refused(picture, "farther than the next band",
                [&](const Tensor& x) { return conv2d(x, tall, no_bias, {.padding = Padding::all(5)}); });
  check_refused(picture, whole, [&](const Tensor& x) { return conv_transpose2d(x, weight, no_bias, {}); });
  check_refused(picture, whole, [](const Tensor& x) { return matmul(x, x); });
  check_refused(picture, whole, [](const Tensor& x) { return upsample_bilinear(x, 16, 16); });
  check_refused(picture, whole, [](const Tensor& x) { return upsample_nearest(x, 11, 11); });
  check_refused(picture, whole, [](const Tensor& x) { return avg_pool(x, 3); });
  check_refused(picture, whole, [](const Tensor& x) { return pad(x, {.top = 1}); });
  check_refused(picture, "axis 2", [](const Tensor& x) { return softmax(x, 2); });
  check_refused(picture, "axis 2", [](const Tensor& x) { return concat({x, x}, 2); });
  check_refused(picture, "axis 2", [](const Tensor& x) { return slice(x, -2, 0, 1); });
  check_refused(picture, "axis 1", [](const Tensor& x) {
    const Tensor tokens = slice(to_tokens(x), 1, 0, 4);
    return tokens.reshaped({1, 1, 4, 2});
  });
  check_refused(picture, "mask", [](const Tensor& x) { return attention(x, x, x, {.causal = true}); });
}
