// ref against fast: normalisation, activations, elementwise operations, sizes, layout and embeddings.
#include <limits>

#include "tensor/fast/ops.h"
#include "tensor/ref/ops.h"
#include "tests/tensor/test_ops.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

const std::vector<int64_t> widths = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 47, 49, 64, 65, 1000, 140000};

constexpr float infinity = std::numeric_limits<float>::infinity();

// Values from far below to far above, zeros of both signs among them.
Tensor wide_values(int64_t count) {
  Tensor x(Shape{count});
  for (int64_t i = 0; i < count; ++i) {
    const float step = static_cast<float>(i % 401 - 200) / 8;  // -25 to 25
    x.mutable_data()[i] = i % 7 == 6 ? step * 5 : step;        // -125 to 125
  }
  if (count > 4) x.mutable_data()[4] = -0.0F;
  return x;
}

struct Activation {
  const char* name;
  Tensor (*ref)(const Tensor&);
  Tensor (*fast)(const Tensor&);
  // Allowed beside 2e-6 of each value: where the formula takes nearly 1 from 1, its roundings stay.
  double absolute;
};
const std::vector<Activation> activations = {
    {"silu", ref::silu, fast::silu, 1e-30},
    {"gelu", ref::gelu, fast::gelu, 5e-7},
    {"gelu_tanh", ref::gelu_tanh, fast::gelu_tanh, 5e-7},
    {"quick_gelu", ref::quick_gelu, fast::quick_gelu, 1e-30},
    {"relu", ref::relu, fast::relu, 0},
    {"sigmoid", ref::sigmoid, fast::sigmoid, 1e-30},
    {"tanh", ref::tanh, fast::tanh, 1e-7},
    {"softplus", ref::softplus, fast::softplus, 1e-7},
    {"exp", ref::exp, fast::exp, 1e-37},
};

// Each value by itself; infinite where expected.
void check_values(const Tensor& y, const Tensor& expected, double absolute) {
  REQUIRE(y.shape() == expected.shape());
  int64_t wrong = 0, first = 0;
  for (int64_t i = 0; i < y.count(); ++i) {
    const double is = y.data()[i], must = expected.data()[i];
    const bool fits = is == must || std::fabs(is - must) <= within::value * std::fabs(must) + absolute;
    if (!fits && wrong++ == 0) first = i;
  }
  CHECK_MESSAGE(wrong == 0, wrong, " values are wrong, the first at ", first, ": ", y.data()[first],
                ", expected ", expected.data()[first]);
}

}  // namespace

TEST_CASE("versions: activations") {
  for (const Activation& activation : activations) {
    CAPTURE(std::string(activation.name));
    for (const int64_t count : widths) {
      const Tensor x = wide_values(count);
      const Tensor expected = activation.ref(x);
      on_every_machine([&] { return activation.fast(x); },
                       [&](const Tensor& y) { check_values(y, expected, activation.absolute); });
    }
    const Tensor x = random_tensor({2, 3, 5, 7}, 1);
    const Tensor expected = activation.ref(x);
    on_every_machine([&] { return activation.fast(x); },
                     [&](const Tensor& y) { check_values(y, expected, activation.absolute); });
  }
}

TEST_CASE("versions: activations let a NaN be seen, wherever it stands") {
  for (const Activation& activation : activations) {
    CAPTURE(std::string(activation.name));
    for (const int64_t at : {0, 3, 15, 16, 18}) {
      Tensor x = Tensor::filled(Shape{19}, 1);
      x.mutable_data()[at] = std::numeric_limits<float>::quiet_NaN();
      CHECK(std::isnan(activation.ref(x).data()[at]));
      on_every_machine([&] { return activation.fast(x); },
                       [&](const Tensor& y) { CHECK(std::isnan(y.data()[at])); });
    }
  }
}

TEST_CASE("versions: leaky_relu, clamp and geglu") {
  for (const int64_t count : widths) {
    CAPTURE(count);
    const Tensor x = wide_values(count);
    check_versions(ref::leaky_relu(x, 0.2F), within::exact, [&] { return fast::leaky_relu(x, 0.2F); });
    check_versions(ref::clamp(x, -1.5F, 3), within::exact, [&] { return fast::clamp(x, -1.5F, 3); });
    const Tensor pairs = random_tensor({3, 2 * count}, 5, 3);
    const Tensor gated = ref::geglu(pairs);
    on_every_machine([&] { return fast::geglu(pairs); },
                     [&](const Tensor& y) { check_values(y, gated, 5e-6); });
  }
}

TEST_CASE("versions: elementwise operations are the same to the last bit") {
  for (const int64_t count : widths) {
    CAPTURE(count);
    const Tensor a = random_tensor(Shape{count}, 1), b = random_tensor(Shape{count}, 2);
    check_versions(ref::add(a, b), within::exact, [&] { return fast::add(a, b); });
    check_versions(ref::sub(a, b), within::exact, [&] { return fast::sub(a, b); });
    check_versions(ref::mul(a, b), within::exact, [&] { return fast::mul(a, b); });
    check_versions(ref::scale(a, 0.18215F), within::exact, [&] { return fast::scale(a, 0.18215F); });
    const Tensor image = random_tensor({2, 3, 1, count}, 3), shift = random_tensor({2, 3}, 4);
    check_versions(ref::add_per_channel(image, shift), within::exact,
                   [&] { return fast::add_per_channel(image, shift); });
    const Tensor item = random_tensor({1, 3, 1, count}, 5);
    check_versions(ref::add_to_each(image, item), within::exact,
                   [&] { return fast::add_to_each(image, item); });
  }
}

namespace {

std::vector<Tensor> weights_of(int64_t channels, uint32_t seed) {
  return {random_tensor(Shape{channels}, seed), random_tensor(Shape{channels}, seed + 1)};
}

void check_group_norm(const Tensor& x, int64_t groups, float eps, const DType dtype, int64_t offset) {
  CAPTURE(to_string(x.shape()));
  CAPTURE(groups);
  const auto values = weights_of(x.shape()[1], 7);
  const Weight weight = stored_as(values[0], dtype, offset), bias = stored_as(values[1], dtype, offset);
  check_versions(ref::group_norm(x, weight, bias, groups, eps), within::norm,
                 [&] { return fast::group_norm(x, weight, bias, groups, eps); });
}

}  // namespace

TEST_CASE("versions: group_norm") {
  for (const int64_t pixels : widths)
    check_group_norm(random_tensor({2, 6, 1, pixels}, 1), 3, 1e-5F, DType::f32, 0);
  check_group_norm(random_tensor({1, 64, 9, 7}, 2), 32, 1e-6F, DType::f16, 0);
  check_group_norm(random_tensor({3, 64, 4, 4}, 3), 32, 1e-5F, DType::bf16, 1);
  check_group_norm(random_tensor({1, 320, 16, 16}, 4), 32, 1e-5F, DType::f32, 3);
  check_group_norm(random_tensor({2, 12}, 5), 4, 1e-5F, DType::f32, 0);
  check_group_norm(random_tensor({2, 12, 77}, 6), 1, 1e-5F, DType::f32, 0);
  check_group_norm(random_tensor({1, 8, 5, 5}, 8, 1e-3F), 2, 1e-6F, DType::f32, 0);
}

TEST_CASE("versions: layer_norm") {
  for (const int64_t channels : widths) {
    CAPTURE(channels);
    const Tensor x = random_tensor({3, channels}, 1);
    const auto values = weights_of(channels, 9);
    for (const DType dtype : {DType::f32, DType::f16}) {
      const Weight weight = stored_as(values[0], dtype, 1), bias = stored_as(values[1], dtype, 1);
      check_versions(ref::layer_norm(x, weight, bias, 1e-5F), within::norm,
                     [&] { return fast::layer_norm(x, weight, bias, 1e-5F); });
    }
  }
}

TEST_CASE("versions: norms of numbers far from zero keep their digits") {
  // 1000 + normal numbers: exact in float32, so only sums could lose digits.
  const Tensor x = ref::add(Tensor::filled({1, 8, 40, 40}, 1000), random_tensor({1, 8, 40, 40}, 10));
  const auto values = weights_of(8, 11);
  const Weight weight = Weight::of(values[0]), bias = Weight::of(values[1]);
  // The mean itself may be rounded once to float32, half a step: 3e-5 of a standard deviation of 1.
  check_versions(ref::group_norm(x, weight, bias, 2, 1e-5F), 5e-5,
                 [&] { return fast::group_norm(x, weight, bias, 2, 1e-5F); });
  const Tensor rows = x.reshaped({1600, 8});
  check_versions(ref::layer_norm(rows, weight, bias, 1e-5F), 5e-5,
                 [&] { return fast::layer_norm(rows, weight, bias, 1e-5F); });
}

TEST_CASE("versions: batch_norm") {
  for (const int64_t pixels : widths) {
    CAPTURE(pixels);
    const Tensor x = random_tensor({2, 3, 1, pixels}, 1);
    const Weight weight = Weight::of(random_tensor({3}, 2)), bias = Weight::of(random_tensor({3}, 3));
    const Weight mean = Weight::of(random_tensor({3}, 4)), variance = weight_of({3}, {0.5F, 1, 2});
    check_versions(ref::batch_norm(x, weight, bias, mean, variance, 1e-5F), within::norm,
                   [&] { return fast::batch_norm(x, weight, bias, mean, variance, 1e-5F); });
  }
}

TEST_CASE("versions: softmax along every axis") {
  for (const int64_t extent : widths) {
    CAPTURE(extent);
    const int64_t others = extent > 1000 ? 1 : 3;
    for (int axis = 0; axis < 3; ++axis) {
      const Tensor x = random_tensor(Shape{others, others, others}.with(axis, extent), 1, 5);
      check_versions(ref::softmax(x, axis), within::softmax, [&] { return fast::softmax(x, axis); });
    }
  }
  Tensor masked = random_tensor({4, 33}, 2);
  for (int64_t i = 0; i < masked.count(); i += 3) masked.mutable_data()[i] = -infinity;
  for (int64_t i = 1; i < masked.count(); i += 3)
    masked.mutable_data()[i] = std::numeric_limits<float>::lowest();
  check_versions(ref::softmax(masked, 1), within::softmax, [&] { return fast::softmax(masked, 1); });
}

TEST_CASE("versions: sizes") {
  uint32_t seed = 1;
  for (const int64_t width : {2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64}) {
    const Tensor x = random_tensor({2, 3, width % 5 + 2, width}, ++seed);
    const int64_t height = x.shape()[2];
    for (const int64_t new_width :
         {width, 2 * width, width + 1, 2 * width - 1, (width + 1) / 2, int64_t{1}}) {
      CAPTURE(to_string(x.shape()));
      CAPTURE(new_width);
      check_versions(ref::upsample_nearest(x, 2 * height, new_width), within::exact,
                     [&] { return fast::upsample_nearest(x, 2 * height, new_width); });
      for (const bool align : {false, true}) {
        check_versions(ref::upsample_bilinear(x, height + 3, new_width, align), within::resample,
                       [&] { return fast::upsample_bilinear(x, height + 3, new_width, align); });
      }
    }
    for (const int64_t size : {1, 2}) {
      check_versions(ref::max_pool(x, size), within::exact, [&] { return fast::max_pool(x, size); });
      check_versions(ref::avg_pool(x, size), within::resample, [&] { return fast::avg_pool(x, size); });
    }
    const Padding uneven{.left = 1, .right = 0, .top = 3, .bottom = 2};
    check_versions(ref::pad(x, uneven), within::exact, [&] { return fast::pad(x, uneven); });
  }
  const Tensor large = random_tensor({2, 3, 181, 190}, 8);  // enough work for several threads
  const Padding around = Padding::all(2);
  check_versions(ref::upsample_nearest(large, 362, 380), within::exact,
                 [&] { return fast::upsample_nearest(large, 362, 380); });
  check_versions(ref::upsample_bilinear(large, 200, 111, false), within::resample,
                 [&] { return fast::upsample_bilinear(large, 200, 111, false); });
  check_versions(ref::max_pool(large, 2), within::exact, [&] { return fast::max_pool(large, 2); });
  check_versions(ref::avg_pool(large, 3), within::resample, [&] { return fast::avg_pool(large, 3); });
  check_versions(ref::pad(large, around), within::exact, [&] { return fast::pad(large, around); });
  for (const int64_t factor : {1, 2, 3, 8}) {
    const Tensor x = random_tensor({2, 3, factor * 3, factor * 5}, 9);
    check_versions(ref::pixel_unshuffle(x, factor), within::exact,
                   [&] { return fast::pixel_unshuffle(x, factor); });
    if (factor > 1)
      check_versions(ref::max_pool(x, factor), within::exact, [&] { return fast::max_pool(x, factor); });
  }
}

namespace {

void check_layout(const Tensor& image) {
  CAPTURE(to_string(image.shape()));
  check_versions(ref::to_tokens(image), within::exact, [&] { return fast::to_tokens(image); });
  const Tensor tokens = ref::to_tokens(image);
  const int64_t height = image.shape()[2], width = image.shape()[3];
  check_versions(image, within::exact, [&] { return fast::to_image(tokens, height, width); });
  check_versions(ref::merge_heads(image), within::exact, [&] { return fast::merge_heads(image); });
  const Tensor merged = ref::merge_heads(image);
  check_versions(image, within::exact, [&] { return fast::split_heads(merged, image.shape()[1]); });
  for (int axis = 0; axis < 4; ++axis) {
    const std::vector<Tensor> parts = {image, ref::slice(image, axis, 0, 1), image};
    check_versions(ref::concat(parts, axis), within::exact, [&] { return fast::concat(parts, axis); });
    const int64_t extent = image.shape()[axis], begin = extent / 3;
    check_versions(ref::slice(image, axis, begin, extent), within::exact,
                   [&] { return fast::slice(image, axis, begin, extent); });
  }
}

}  // namespace

TEST_CASE("versions: layout") {
  for (const int64_t n : {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65}) {
    check_layout(random_tensor({2, n, 3, 5}, 1));
    check_layout(random_tensor({2, 3, 4, n}, 2));
  }
  check_layout(random_tensor({2, 67, 40, 41}, 3));  // enough work for several threads
}

TEST_CASE("versions: embeddings") {
  const Tensor table = random_tensor({23, 17}, 1);
  const TokenIds ids{2, 5, {0, 22, 3, 3, 7, 1, 2, 21, 20, 19}};
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16, DType::q8_0}) {
    const Weight weight = stored_as(table, dtype, 1);
    check_versions(ref::embedding(ids, weight), within::exact, [&] { return fast::embedding(ids, weight); });
  }
  TokenIds many{3, 77, {}};
  for (int64_t i = 0; i < 3 * 77; ++i) many.ids.push_back(i * 7 % 23);
  const Weight wide = stored_as(random_tensor({23, 768}, 2), DType::f16, 0);
  check_versions(ref::embedding(many, wide), within::exact, [&] { return fast::embedding(many, wide); });
  const std::vector<float> t = {0, 1, 2.5F, 37, 500, 999};
  for (const int64_t dim : {4, 5, 6, 32, 33, 34, 320}) {
    for (const bool cos_first : {true, false}) {
      const TimestepOptions options{.cos_first = cos_first, .freq_shift = cos_first ? 0.0F : 1.0F};
      // An angle of 999 has steps of 6e-5: a frequency one rounding off moves it by one or two.
      check_versions(ref::timestep_embedding(t, dim, options), 1.3e-4,
                     [&] { return fast::timestep_embedding(t, dim, options); });
    }
  }
}
