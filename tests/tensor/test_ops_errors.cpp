// Wrong shapes: one sentence with the layer, the tensor's name, the shape it has and what is needed.
#include <functional>

#include "tensor/error.h"
#include "tensor/trace.h"
#include "tests/tensor/test_ops.h"

using namespace cutaway;

namespace {

struct Refusal {
  std::string operation;
  std::function<void()> call;
  std::vector<std::string> parts;  // what the message must say
};

Tensor x(const Shape& shape) { return Tensor::filled(shape, 0.5F); }
Weight w(const Shape& shape) { return Weight::of(x(shape)); }
const std::optional<Weight> no_bias;

// Each must refuse inside a layer, naming itself, the layer and the parts.
void check_refusals(const std::vector<Refusal>& refusals) {
  const std::string layer = "unet.mid_block.resnets.0.conv1";
  for (const Refusal& refusal : refusals) {
    CAPTURE(refusal.operation);
    std::string message;
    try {
      const Scope scope(layer);
      refusal.call();
    } catch (const Error& error) {
      message = error.what();
    }
    CAPTURE(refusal.parts.front());
    REQUIRE_MESSAGE(!message.empty(), "it was not refused");
    CHECK(message.starts_with(refusal.operation + " at " + layer + ": "));
    CHECK(message.find('\n') == std::string::npos);
    for (const std::string& part : refusal.parts) {
      CHECK_MESSAGE(message.find(part) != std::string::npos, "'", part, "' is not said in: ", message);
    }
    CHECK(Scope::current_path().empty());
  }
}

}  // namespace

TEST_CASE("errors: conv2d") {
  const Tensor image = x({1, 3, 8, 6});
  const auto conv = [=](const Tensor& in, const Weight& weight, const Conv2dOptions& options = {}) {
    return [=] { conv2d(in, weight, no_bias, options); };
  };
  const auto with_bias = [=](const Shape& bias) {
    return [=] { conv2d(image, w({4, 3, 3, 3}), w(bias), {}); };
  };
  const Weight kernel = w({4, 3, 3, 3});
  check_refusals({
      {"conv2d", conv(x({3, 8, 6}), kernel), {"x is [3, 8, 6]", "[N, C, H, W]"}},
      {"conv2d", conv(Tensor(), kernel), {"x has no values yet"}},
      {"conv2d",
       conv(image, Weight({4, 3, 3, 3})),
       {"weight [4, 3, 3, 3] has not been loaded", "load_weights"}},
      {"conv2d", conv(image, w({4, 3})), {"weight is [4, 3]", "[out, in, kh, kw]"}},
      {"conv2d", conv(image, kernel, {.stride = 0}), {"stride is 0", "at least 1"}},
      {"conv2d", conv(image, kernel, {.stride = -2}), {"stride is -2"}},
      {"conv2d", conv(image, kernel, {.dilation = 0}), {"dilation is 0", "at least 1"}},
      {"conv2d", conv(image, kernel, {.groups = 0}), {"groups is 0", "at least 1"}},
      {"conv2d", conv(image, kernel, {.padding = {.left = -1}}), {"padding is negative"}},
      {"conv2d", conv(image, kernel, {.padding = {.bottom = -1}}), {"padding is negative"}},
      {"conv2d",
       conv(image, w({4, 5, 3, 3})),
       {"x is [1, 3, 8, 6]", "weight [4, 5, 3, 3]", "needs 5 channels"}},
      {"conv2d",
       conv(image, kernel, {.groups = 2}),
       {"x is [1, 3, 8, 6]", "[4, 3, 3, 3]", "needs 6 channels"}},
      {"conv2d", conv(image, w({4, 1, 3, 3}), {.groups = 3}), {"4 channels", "3 groups"}},
      {"conv2d", with_bias({5}), {"bias is [5]", "must be [4]"}},
      {"conv2d", with_bias({4, 1}), {"bias is [4, 1]", "must be [4]"}},
      {"conv2d", conv(x({1, 3, 2, 6}), kernel), {"x is [1, 3, 2, 6]", "[4, 3, 3, 3]", "too small"}},
      {"conv2d", conv(x({1, 3, 8, 2}), kernel), {"x is [1, 3, 8, 2]", "too small"}},
      {"conv2d", conv(image, kernel, {.dilation = 4}), {"x is [1, 3, 8, 6]", "too small"}},
  });
  CHECK_NOTHROW(conv2d(x({1, 3, 3, 3}), kernel, no_bias, {}));  // just large enough
}

TEST_CASE("errors: conv_transpose2d") {
  const auto conv = [](const Tensor& in, const Weight& weight, const ConvTranspose2dOptions& options = {}) {
    return [=] { conv_transpose2d(in, weight, no_bias, options); };
  };
  const Weight kernel = w({3, 4, 2, 2});
  const char* name = "conv_transpose2d";
  check_refusals({
      {name, conv(x({3, 8, 6}), kernel), {"x is [3, 8, 6]", "[N, C, H, W]"}},
      {name, conv(x({1, 3, 8, 6}), Weight({3, 4, 2, 2})), {"weight [3, 4, 2, 2] has not been loaded"}},
      {name, conv(x({1, 3, 8, 6}), w({3, 4})), {"weight is [3, 4]", "[in, out, kh, kw]"}},
      {name, conv(x({1, 3, 8, 6}), kernel, {.stride = 0}), {"stride is 0"}},
      {name, conv(x({1, 3, 8, 6}), kernel, {.padding = -1}), {"padding is negative"}},
      {name, conv(x({1, 4, 8, 6}), kernel), {"x is [1, 4, 8, 6]", "weight [3, 4, 2, 2]", "needs 3 channels"}},
      {name,
       [=] {
         conv_transpose2d(x({1, 3, 8, 6}), kernel, w({3}), {});
       },
       {"bias is [3]", "must be [4]"}},
      {name,
       conv(x({1, 3, 1, 6}), kernel, {.padding = 1}),
       {"x is [1, 3, 1, 6]", "too small for so much padding"}},
  });
}

TEST_CASE("errors: linear and matmul") {
  const Weight weight = w({320, 768});
  check_refusals({
      {"linear", [=] { linear(Tensor(), weight, no_bias); }, {"x has no values yet"}},
      {"linear",
       [=] {
         linear(x({2, 768}), Weight({320, 768}), no_bias);
       },
       {"weight [320, 768] has not been loaded"}},
      {"linear",
       [=] {
         linear(x({2, 768}), w({768}), no_bias);
       },
       {"weight is [768]", "[out, in]"}},
      {"linear",
       [=] {
         linear(x({2, 767}), weight, no_bias);
       },
       {"x is [2, 767]", "768", "[320, 768]"}},
      {"linear", [=] { linear(x({}), weight, no_bias); }, {"x is []", "[320, 768]"}},
      {"linear",
       [=] {
         linear(x({1, 77, 1024}), weight, no_bias);
       },
       {"x is [1, 77, 1024]", "SD 2", "SD 1.x"}},
      {"linear",
       [=] {
         linear(x({2, 768}), weight, w({768}));
       },
       {"bias is [768]", "must be [320]"}},
      {"matmul",
       [] {
         matmul(Tensor(), x({2, 2}));
       },
       {"a has no values yet"}},
      {"matmul",
       [] {
         matmul(x({2, 2}), Tensor());
       },
       {"b has no values yet"}},
      {"matmul", [] { matmul(x({3}), x({3})); }, {"a is [3]", "b is [3]", "[..., m, k]"}},
      {"matmul",
       [] {
         matmul(x({2, 3}), x({2, 3}));
       },
       {"a is [2, 3]", "b is [2, 3]", "[..., k, n]"}},
      {"matmul",
       [] {
         matmul(x({2, 2, 3}), x({3, 3, 4}));
       },
       {"a is [2, 2, 3]", "b is [3, 3, 4]"}},
      {"matmul",
       [] {
         matmul(x({2, 2, 3}), x({3, 4}));
       },
       {"a is [2, 2, 3]", "b is [3, 4]"}},
  });
}

TEST_CASE("errors: attention") {
  const auto attend = [](const Shape& q, const Shape& k, const Shape& v,
                         const AttentionOptions& options = {}) {
    return [=] { attention(x(q), x(k), x(v), options); };
  };
  const Shape q{2, 8, 5, 40}, k{2, 8, 7, 40};
  const Tensor flat_mask = x({5, 7}), wrong_mask = x({2, 1, 7, 5}), heads_mask = x({1, 3, 5, 7});
  check_refusals({
      {"attention", attend({2, 5, 40}, k, k), {"q is [2, 5, 40]", "[N, heads, Tq, d]"}},
      {"attention", attend(q, {2, 7, 40}, k), {"k is [2, 7, 40]", "[N, heads, Tk, d]"}},
      {"attention", attend(q, k, {2, 7, 40}), {"v is [2, 7, 40]", "[N, heads, Tk, d]"}},
      {"attention",
       attend(q, {1, 8, 7, 40}, k),
       {"q is [2, 8, 5, 40]", "k is [1, 8, 7, 40]", "must be equal"}},
      {"attention", attend(q, {2, 4, 7, 40}, k), {"q is [2, 8, 5, 40]", "k is [2, 4, 7, 40]"}},
      {"attention", attend(q, {2, 8, 7, 80}, k), {"q is [2, 8, 5, 40]", "k is [2, 8, 7, 80]"}},
      {"attention",
       attend(q, k, {2, 8, 6, 40}),
       {"k is [2, 8, 7, 40]", "v is [2, 8, 6, 40]", "must be equal"}},
      {"attention",
       attend(q, k, k, {.causal = true}),
       {"q is [2, 8, 5, 40]", "k is [2, 8, 7, 40]", "causal"}},
      {"attention",
       attend(q, k, k, {.mask = &flat_mask}),
       {"mask is [5, 7]", "[N or 1, heads or 1, Tq, Tk]"}},
      {"attention",
       attend(q, k, k, {.mask = &wrong_mask}),
       {"mask is [2, 1, 7, 5]", "q is [2, 8, 5, 40]", "k is [2, 8, 7, 40]"}},
      {"attention", attend(q, k, k, {.mask = &heads_mask}), {"mask is [1, 3, 5, 7]", "q is [2, 8, 5, 40]"}},
      {"attention_probs",
       [=] {
         attention_probs(x(q), x({2, 4, 7, 40}), {});
       },
       {"q is", "k is [2, 4, 7, 40]"}},
      {"attention_probs",
       [=] {
         attention_probs(x({5, 40}), x(k), {});
       },
       {"q is [5, 40]"}},
  });
}

TEST_CASE("errors: normalisation and softmax") {
  const Tensor image = x({2, 6, 4, 5});
  const Weight six = w({6}), five = w({5}), missing(Shape{6});
  check_refusals({
      {"group_norm", [=] { group_norm(x({6}), six, six, 2, 1e-5F); }, {"x is [6]", "[N, C, ...]"}},
      {"group_norm", [=] { group_norm(image, six, six, 0, 1e-5F); }, {"groups is 0", "at least 1"}},
      {"group_norm",
       [=] { group_norm(image, six, six, 4, 1e-5F); },
       {"x is [2, 6, 4, 5]", "6 channels", "4 groups"}},
      {"group_norm", [=] { group_norm(image, five, six, 2, 1e-5F); }, {"weight is [5]", "must be [6]"}},
      {"group_norm", [=] { group_norm(image, six, five, 2, 1e-5F); }, {"bias is [5]", "must be [6]"}},
      {"group_norm", [=] { group_norm(image, missing, six, 2, 1e-5F); }, {"weight [6] has not been loaded"}},
      {"layer_norm", [=] { layer_norm(x({}), six, six, 1e-5F); }, {"x is []", "[..., C]"}},
      {"layer_norm", [=] { layer_norm(image, six, five, 1e-5F); }, {"weight is [6]", "must be [5]"}},
      {"layer_norm", [=] { layer_norm(image, five, six, 1e-5F); }, {"bias is [6]", "must be [5]"}},
      {"batch_norm",
       [=] {
         batch_norm(x({6, 4}), six, six, six, six, 1e-5F);
       },
       {"x is [6, 4]", "[N, C, H, W]"}},
      {"batch_norm",
       [=] { batch_norm(image, five, six, six, six, 1e-5F); },
       {"weight is [5]", "must be [6]"}},
      {"batch_norm", [=] { batch_norm(image, six, five, six, six, 1e-5F); }, {"bias is [5]", "must be [6]"}},
      {"batch_norm",
       [=] { batch_norm(image, six, six, five, six, 1e-5F); },
       {"running_mean is [5]", "must be [6]"}},
      {"batch_norm",
       [=] { batch_norm(image, six, six, six, five, 1e-5F); },
       {"running_var is [5]", "must be [6]"}},
      {"softmax", [=] { softmax(image, 4); }, {"x is [2, 6, 4, 5]", "no axis 4"}},
      {"softmax", [=] { softmax(image, -5); }, {"x is [2, 6, 4, 5]", "no axis -5"}},
      {"softmax", [] { softmax(Tensor()); }, {"x has no values yet"}},
  });
}

TEST_CASE("errors: activations and elementwise operations") {
  using Unary = Tensor (*)(const Tensor&);
  const std::vector<std::pair<const char*, Unary>> unary = {
      {"silu", silu}, {"gelu", gelu},  {"gelu_tanh", gelu_tanh}, {"quick_gelu", quick_gelu},
      {"relu", relu}, {"tanh", tanh},  {"sigmoid", sigmoid},     {"softplus", softplus},
      {"exp", exp},   {"geglu", geglu}};
  for (const auto& [name, run] : unary) {
    check_refusals({{name, [r = run] { r(Tensor()); }, {"x has no values yet"}}});
  }
  using Binary = Tensor (*)(const Tensor&, const Tensor&);
  const std::vector<std::pair<const char*, Binary>> binary = {{"add", add}, {"sub", sub}, {"mul", mul}};
  for (const auto& [name, run] : binary) {
    check_refusals({{name,
                     [r = run] {
                       r(x({2, 3}), x({1, 3}));
                     },
                     {"a is [2, 3]", "b is [1, 3]", "must be equal"}},
                    {name,
                     [r = run] {
                       r(x({2, 3}), x({3, 2}));
                     },
                     {"a is [2, 3]", "b is [3, 2]"}},
                    {name, [r = run] { r(Tensor(), x({3})); }, {"a has no values yet"}},
                    {name, [r = run] { r(x({3}), Tensor()); }, {"b has no values yet"}}});
  }
  const Tensor image = x({2, 6, 4, 5});
  check_refusals({
      {"leaky_relu", [] { leaky_relu(Tensor(), 0.1F); }, {"x has no values yet"}},
      {"clamp", [] { clamp(Tensor(), 0, 1); }, {"x has no values yet"}},
      {"scale", [] { scale(Tensor(), 2); }, {"x has no values yet"}},
      {"geglu",
       [] {
         geglu(x({2, 5}));
       },
       {"x is [2, 5]", "last axis must be even"}},
      {"geglu", [] { geglu(x({})); }, {"x is []"}},
      {"add_per_channel",
       [=] {
         add_per_channel(x({2, 6}), x({2, 6}));
       },
       {"x is [2, 6]", "[N, C, H, W]"}},
      {"add_per_channel", [=] { add_per_channel(image, x({6})); }, {"shift is [6]", "[N, C]"}},
      {"add_per_channel",
       [=] {
         add_per_channel(image, x({1, 6}));
       },
       {"x is [2, 6, 4, 5]", "shift is [1, 6]"}},
      {"add_per_channel",
       [=] {
         add_per_channel(image, x({2, 5}));
       },
       {"x is [2, 6, 4, 5]", "shift is [2, 5]"}},
      {"add_to_each",
       [=] {
         add_to_each(image, x({6, 4, 5}));
       },
       {"x is [2, 6, 4, 5]", "item is [6, 4, 5]"}},
      {"add_to_each", [=] { add_to_each(image, image); }, {"item is [2, 6, 4, 5]", "[1, ...]"}},
      {"add_to_each", [=] { add_to_each(x({}), x({1})); }, {"x is []", "item is [1]"}},
  });
}

TEST_CASE("errors: sizes") {
  const Tensor image = x({1, 2, 5, 6});
  check_refusals({
      {"upsample_nearest",
       [] {
         upsample_nearest(x({5, 6}), 10, 12);
       },
       {"x is [5, 6]", "[N, C, H, W]"}},
      {"upsample_nearest", [=] { upsample_nearest(image, 0, 12); }, {"height is 0", "at least 1"}},
      {"upsample_nearest", [=] { upsample_nearest(image, 10, -1); }, {"width is -1", "at least 1"}},
      {"upsample_bilinear",
       [] {
         upsample_bilinear(x({5, 6}), 10, 12);
       },
       {"x is [5, 6]"}},
      {"upsample_bilinear", [=] { upsample_bilinear(image, 0, 12); }, {"height is 0"}},
      {"upsample_bilinear", [=] { upsample_bilinear(image, 10, 0); }, {"width is 0"}},
      {"max_pool",
       [] {
         max_pool(x({5, 6}));
       },
       {"x is [5, 6]", "[N, C, H, W]"}},
      {"max_pool", [=] { max_pool(image, 0); }, {"size is 0"}},
      {"max_pool", [=] { max_pool(image, 6); }, {"x is [1, 2, 5, 6]", "6 x 6"}},
      {"avg_pool", [=] { avg_pool(image, 6); }, {"x is [1, 2, 5, 6]", "6 x 6"}},
      {"pixel_unshuffle",
       [=] { pixel_unshuffle(image, 2); },
       {"x is [1, 2, 5, 6]", "multiples of the factor 2"}},
      {"pixel_unshuffle", [=] { pixel_unshuffle(image, 0); }, {"factor is 0"}},
      {"pad",
       [] {
         pad(x({5, 6}), Padding::all(1));
       },
       {"x is [5, 6]"}},
      {"pad", [=] { pad(image, {.top = -1}); }, {"padding is negative"}},
  });
}

TEST_CASE("errors: layout") {
  const Tensor image = x({1, 2, 5, 6});
  check_refusals({
      {"concat", [] { concat({}, 0); }, {"nothing to join"}},
      {"concat",
       [=] {
         concat({image, image}, 4);
       },
       {"x is [1, 2, 5, 6]", "no axis 4"}},
      {"concat",
       [=] {
         concat({image, x({1, 2, 5, 7})}, 1);
       },
       {"[1, 2, 5, 6]", "[1, 2, 5, 7]", "axis 1"}},
      {"concat",
       [=] {
         concat({image, x({2, 5, 6})}, 1);
       },
       {"[1, 2, 5, 6]", "[2, 5, 6]"}},
      {"concat",
       [=] {
         concat({image, Tensor()}, 1);
       },
       {"a part has no values yet"}},
      {"slice", [=] { slice(image, 4, 0, 1); }, {"x is [1, 2, 5, 6]", "no axis 4"}},
      {"slice", [=] { slice(image, 2, 3, 6); }, {"x is [1, 2, 5, 6]", "3 to 6", "axis 2"}},
      {"slice", [=] { slice(image, 2, -1, 2); }, {"x is [1, 2, 5, 6]", "-1 to 2"}},
      {"slice", [=] { slice(image, -1, 2, 2); }, {"x is [1, 2, 5, 6]", "2 to 2", "axis 3"}},
      {"to_tokens",
       [] {
         to_tokens(x({2, 5, 6}));
       },
       {"x is [2, 5, 6]", "[N, C, H, W]"}},
      {"to_image",
       [] {
         to_image(x({2, 30}), 5, 6);
       },
       {"tokens is [2, 30]", "[N, H W, C]"}},
      {"to_image",
       [] {
         to_image(x({1, 30, 4}), 5, 5);
       },
       {"tokens is [1, 30, 4]", "5 x 5", "25 tokens"}},
      {"to_image",
       [] {
         to_image(x({1, 30, 4}), -5, -6);
       },
       {"height is -5"}},
      {"split_heads", [=] { split_heads(image, 2); }, {"x is [1, 2, 5, 6]", "[N, T, C]"}},
      {"split_heads",
       [] {
         split_heads(x({1, 7, 10}), 3);
       },
       {"x is [1, 7, 10]", "3 heads"}},
      {"split_heads",
       [] {
         split_heads(x({1, 7, 10}), 0);
       },
       {"heads is 0"}},
      {"merge_heads",
       [] {
         merge_heads(x({1, 7, 10}));
       },
       {"x is [1, 7, 10]", "[N, heads, T, d]"}},
  });
}

TEST_CASE("errors: embeddings") {
  const Weight table = w({10, 4});
  const auto look_up = [=](int64_t batch, int64_t length, std::vector<int64_t> ids) {
    return [=] { embedding({batch, length, ids}, table); };
  };
  const std::vector<float> t = {999}, no_t;
  check_refusals({
      {"embedding", look_up(1, 2, {3, 10}), {"token id 10", "vocabulary of 10"}},
      {"embedding", look_up(1, 2, {-1, 3}), {"token id -1", "vocabulary of 10"}},
      {"embedding", look_up(2, 2, {1, 2, 3}), {"3 ids", "[2, 2]"}},
      {"embedding", look_up(0, 0, {}), {"0 ids", "[0, 0]"}},
      {"embedding",
       [] {
         embedding({1, 1, {0}}, w({10}));
       },
       {"weight is [10]", "[vocabulary, C]"}},
      {"embedding",
       [] {
         embedding({1, 1, {0}}, Weight({10, 4}));
       },
       {"weight [10, 4] has not been loaded"}},
      {"timestep_embedding", [=] { timestep_embedding(no_t, 32, {}); }, {"no time step"}},
      {"timestep_embedding", [=] { timestep_embedding(t, 3, {}); }, {"dim is 3", "at least 4"}},
      {"timestep_embedding", [=] { timestep_embedding(t, 2, {}); }, {"dim is 2", "at least 4"}},
      {"timestep_embedding", [=] { timestep_embedding(t, -4, {}); }, {"dim is -4"}},
  });
}

TEST_CASE("errors: outside of all layers the sentence has no place") {
  CHECK_THROWS_WITH_AS(to_tokens(x({2, 5, 6})), "to_tokens: x is [2, 5, 6], but must be [N, C, H, W]", Error);
}
