// Sizes, layout and embeddings by hand, and their twins.
#include <limits>

#include "tensor/fast/ops.h"
#include "tensor/ref/ops.h"
#include "tests/tensor/test_ops.h"

using namespace cutaway;
using namespace cutaway::test;

TEST_CASE("ref upsample_nearest: floor(i H / height)") {
  const Tensor row = tensor_of({1, 1, 1, 3}, {1, 2, 3});
  CHECK_CLOSE(ref::upsample_nearest(row, 1, 6), tensor_of({1, 1, 1, 6}, {1, 1, 2, 2, 3, 3}), 0);
  CHECK_CLOSE(ref::upsample_nearest(row, 1, 5), tensor_of({1, 1, 1, 5}, {1, 1, 2, 2, 3}), 0);
  CHECK_CLOSE(ref::upsample_nearest(row, 1, 4), tensor_of({1, 1, 1, 4}, {1, 1, 2, 3}), 0);
  CHECK_CLOSE(ref::upsample_nearest(row, 1, 2), tensor_of({1, 1, 1, 2}, {1, 2}), 0);
  const Tensor column = row.reshaped({1, 1, 3, 1});
  CHECK_CLOSE(ref::upsample_nearest(column, 4, 1), tensor_of({1, 1, 4, 1}, {1, 1, 2, 3}), 0);
  const Tensor image = ref::upsample_nearest(tensor_of({1, 1, 2, 2}, {1, 2, 3, 4}), 4, 2);
  CHECK_CLOSE(image, tensor_of({1, 1, 4, 2}, {1, 2, 1, 2, 3, 4, 3, 4}), 0);
  // The twin takes the pixel nearest to the centre ("nearest-exact"), not the one before.
  check_twin(tensor_of({1, 1, 1, 4}, {1, 2, 2, 3}), ref::upsample_nearest(row, 1, 4), 1e-3);
}

TEST_CASE("ref upsample_bilinear: by hand, in both ways") {
  const Tensor row = tensor_of({1, 1, 1, 2}, {0, 4});
  // Borders fall on each other: centres at 0.25, 0.75, 1.25, 1.75 of two pixels with centres at 0.5 and 1.5.
  const Tensor borders = ref::upsample_bilinear(row, 1, 4, false);
  CHECK_CLOSE(borders, tensor_of({1, 1, 1, 4}, {0, 1, 3, 4}), 1e-6);
  // Outermost centres fall on each other: steps of a third.
  const Tensor centres = ref::upsample_bilinear(row, 1, 4, true);
  CHECK_CLOSE(centres, tensor_of({1, 1, 1, 4}, {0, 4 / 3.0F, 8 / 3.0F, 4}), 1e-6);
  check_twin(centres, borders, 1e-6);
  CHECK_CLOSE(ref::upsample_bilinear(row, 1, 1, true), tensor_of({1, 1, 1, 1}, {0}), 0);
  CHECK_CLOSE(ref::upsample_bilinear(row, 1, 1, false), tensor_of({1, 1, 1, 1}, {2}), 0);
}

TEST_CASE("ref upsample_bilinear: a plane stays a plane, rows and columns by themselves") {
  Tensor plane({1, 1, 4, 5});
  for (int64_t i = 0; i < 20; ++i) plane.mutable_data()[i] = static_cast<float>(10 * (i / 5) + i % 5);
  const Tensor y = ref::upsample_bilinear(plane, 7, 9, true);
  for (int64_t i = 0; i < 63; ++i) {
    const double row = static_cast<double>(i / 9) * 3 / 6, column = static_cast<double>(i % 9) * 4 / 8;
    CHECK(y.data()[i] == doctest::Approx(10 * row + column).epsilon(1e-6));
  }
  CHECK_CLOSE(ref::upsample_bilinear(plane, 4, 5, false), plane, 0);
  CHECK_CLOSE(ref::upsample_bilinear(plane, 4, 5, true), plane, 0);
}

TEST_CASE("ref max_pool and avg_pool: a rest is left out") {
  const Tensor x = tensor_of({1, 1, 3, 5}, {1, 2, 3, 4, 99, 5, 6, 7, -8, 99, 99, 99, 99, 99, 99});
  CHECK_CLOSE(ref::max_pool(x, 2), tensor_of({1, 1, 1, 2}, {6, 7}), 0);
  CHECK_CLOSE(ref::avg_pool(x, 2), tensor_of({1, 1, 1, 2}, {3.5F, 1.5F}), 0);
  CHECK_CLOSE(ref::max_pool(tensor_of({1, 1, 2, 2}, {-4, -1, -3, -2}), 2), tensor_of({1, 1, 1, 1}, {-1}), 0);
  const Tensor with_nan = tensor_of({1, 1, 2, 2}, {1, std::numeric_limits<float>::quiet_NaN(), 3, 4});
  CHECK(std::isnan(ref::max_pool(with_nan, 2).data()[0]));
}

TEST_CASE("ref pixel_unshuffle: channel (c f + by) f + bx is pixel (by, bx) of each block") {
  const Tensor x = counting({1, 2, 2, 4});  // channel 0: 0..7, channel 1: 8..15
  const Tensor y = ref::pixel_unshuffle(x, 2);
  CHECK_CLOSE(y, tensor_of({1, 8, 1, 2}, {0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15}), 0);
  // The twin has the channel as the innermost part: (by f + bx) C + c.
  check_twin(tensor_of({1, 8, 1, 2}, {0, 2, 8, 10, 1, 3, 9, 11, 4, 6, 12, 14, 5, 7, 13, 15}), y, 1e-3);
}

TEST_CASE("ref pad: zeros on the named sides") {
  const Tensor x = tensor_of({1, 1, 1, 2}, {1, 2});
  const Tensor y = ref::pad(x, {.left = 1, .right = 2, .top = 1, .bottom = 0});
  CHECK_CLOSE(y, tensor_of({1, 1, 2, 5}, {0, 0, 0, 0, 0, 0, 1, 2, 0, 0}), 0);
}

TEST_CASE("ref concat: parts one after the other along an axis") {
  const Tensor a = tensor_of({2, 1, 2}, {1, 2, 3, 4}), b = tensor_of({2, 2, 2}, {5, 6, 7, 8, 9, 10, 11, 12});
  CHECK_CLOSE(ref::concat({a, b}, 1), tensor_of({2, 3, 2}, {1, 2, 5, 6, 7, 8, 3, 4, 9, 10, 11, 12}), 0);
  check_twin(ref::concat({b, a}, 1), ref::concat({a, b}, 1),
             1e-3);  // skip first, or the layer's own input first
  CHECK_CLOSE(ref::concat({a, a}, 0), tensor_of({4, 1, 2}, {1, 2, 3, 4, 1, 2, 3, 4}), 0);
  CHECK_CLOSE(ref::concat({a, a}, 2), tensor_of({2, 1, 4}, {1, 2, 1, 2, 3, 4, 3, 4}), 0);
  CHECK_CLOSE(concat({a, a}, -1), ref::concat({a, a}, 2), 0);
}

TEST_CASE("ref slice: undoes concat") {
  const Tensor x = random_tensor({2, 5, 3, 4}, 1);
  for (int axis = 0; axis < 4; ++axis) {
    const int64_t extent = x.shape()[axis];
    CHECK_CLOSE(ref::concat({ref::slice(x, axis, 0, 1), ref::slice(x, axis, 1, extent)}, axis), x, 0);
  }
  CHECK_CLOSE(ref::slice(counting({2, 3}), 1, 1, 3), tensor_of({2, 2}, {1, 2, 4, 5}), 0);
  CHECK_CLOSE(slice(counting({2, 3}), -2, 1, 2), tensor_of({1, 3}, {3, 4, 5}), 0);
}

TEST_CASE("ref to_tokens: each pixel becomes a token, row by row, and back") {
  const Tensor x = counting({1, 2, 2, 3});  // channel 0: 0..5, channel 1: 6..11
  const Tensor tokens = ref::to_tokens(x);
  CHECK_CLOSE(tokens, tensor_of({1, 6, 2}, {0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11}), 0);
  CHECK_CLOSE(ref::to_image(tokens, 2, 3), x, 0);
  check_twin(x.reshaped({1, 6, 2}), tokens, 1e-3);  // the numbers as they lie, under another shape
  CHECK_DIFFERS(ref::to_image(tokens, 3, 2).reshaped({1, 2, 2, 3}), ref::to_tokens(x).reshaped({1, 2, 2, 3}),
                1e-3);
}

TEST_CASE("ref split_heads: the first d channels are head 0, and back") {
  const Tensor x = counting({1, 2, 6});
  const Tensor two_heads = ref::split_heads(x, 2);
  CHECK_CLOSE(two_heads, tensor_of({1, 2, 2, 3}, {0, 1, 2, 6, 7, 8, 3, 4, 5, 9, 10, 11}), 0);
  CHECK_CLOSE(ref::merge_heads(two_heads), x, 0);
  check_twin(x.reshaped({1, 2, 2, 3}), two_heads, 1e-3);
  // Twin: every second channel is head 0.
  check_twin(tensor_of({1, 2, 2, 3}, {0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11}), two_heads, 1e-3);
}

TEST_CASE("ref embedding: row id of the table") {
  const Weight table = weight_of({3, 2}, {1, 2, 3, 4, 5, 6});
  const Tensor y = ref::embedding({2, 2, {2, 0, 1, 2}}, table);
  CHECK_CLOSE(y, tensor_of({2, 2, 2}, {5, 6, 1, 2, 3, 4, 5, 6}), 0);
}

TEST_CASE("ref timestep_embedding: by hand") {
  // dim 4: frequencies 1 and max_period^(-1/2) = 1 / 100
  const std::vector<float> t = {0, 100};
  const Tensor y = ref::timestep_embedding(t, 4, {});
  const auto cos = [](double angle) { return static_cast<float>(std::cos(angle)); };
  const auto sin = [](double angle) { return static_cast<float>(std::sin(angle)); };
  CHECK_CLOSE(y, tensor_of({2, 4}, {1, 1, 0, 0, cos(100), cos(1), sin(100), sin(1)}), 1e-6);
}

TEST_CASE("timestep_embedding: an odd width has a zero at the end, after the waves of the width below") {
  const std::vector<float> t = {1, 250.5F, 999};
  for (const int64_t dim : {5, 33}) {
    for (const TimestepOptions& options : {TimestepOptions{}, {.cos_first = false, .freq_shift = 1}}) {
      for (const auto& embedded : {&ref::timestep_embedding, &fast::timestep_embedding}) {
        const Tensor y = embedded(t, dim, options);
        CHECK(y.shape() == Shape{3, dim});
        CHECK_CLOSE(slice(y, 1, 0, dim - 1), embedded(t, dim - 1, options), 0);
        CHECK_CLOSE(slice(y, 1, dim - 1, dim), Tensor::filled({3, 1}, 0), 0);
      }
    }
  }
}

TEST_CASE("timestep_embedding: twins") {
  const std::vector<float> t = {1, 250, 999};
  const Tensor sd = ref::timestep_embedding(t, 32, {.cos_first = true, .freq_shift = 0});
  const Tensor ddpm = ref::timestep_embedding(t, 32, {.cos_first = false, .freq_shift = 1});
  const double tolerance = 1e-3;
  check_twin(ref::timestep_embedding(t, 32, {.cos_first = false, .freq_shift = 0}), sd, tolerance);
  check_twin(ref::timestep_embedding(t, 32, {.cos_first = true, .freq_shift = 1}), sd, tolerance);
  check_twin(ref::timestep_embedding(t, 32, {.cos_first = false, .freq_shift = 0}), ddpm, tolerance);
  check_twin(ref::timestep_embedding(t, 32, {.max_period = 1000}), sd, tolerance);
  // Sines and cosines in turn, as "Attention Is All You Need" writes them, instead of by halves.
  Tensor in_turn(sd.shape());
  for (int64_t i = 0; i < sd.count(); ++i) {
    const int64_t row = i / 32, wave = i % 32 / 2;
    in_turn.mutable_data()[i] = sd.data()[row * 32 + (i % 2 == 0 ? wave : 16 + wave)];
  }
  check_twin(in_turn, sd, tolerance);
  // With shift 1 the last frequency is 1 / max_period itself.
  CHECK(ddpm.data()[2 * 32 + 15] == doctest::Approx(std::sin(999 / 1e4)).epsilon(1e-5));
  CHECK(sd.data()[2 * 32 + 31] == doctest::Approx(std::sin(999 * std::pow(1e4, -15 / 16.0))).epsilon(1e-5));
}

TEST_CASE("timestep_embedding: the angle is rounded to float32, as in the originals") {
  const std::vector<float> t = {999};
  const Tensor y = ref::timestep_embedding(t, 320, {});
  double worst = 0;
  for (int64_t i = 0; i < 160; ++i) {
    worst = std::max(worst,
                     std::fabs(y.data()[i] - std::cos(999 * std::pow(1e4, -static_cast<double>(i) / 160))));
  }
  CHECK(worst > 1e-6);    // more than the rounding of the cosine itself
  CHECK(worst < 1.3e-4);  // two steps of float32 at 999
}
