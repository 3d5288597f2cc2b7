// Draws operations, shapes, dtypes, instruction sets and numbers of threads at random, and compares `fast`
// with `ref`, whose sums run in double, and its bits with those of another number of threads.
//
//   random_ops [CASES] [FIRST]     e.g. `random_ops 1 4711` repeats case 4711 alone
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tensor/backend.h"
#include "tensor/fast/ops.h"
#include "tensor/fast/winograd.h"
#include "tensor/ref/ops.h"

using namespace cutaway;

namespace {

// One number, or a block of q8_0.
void pack(const float* numbers, DType dtype, unsigned char* to) {
  if (dtype == DType::q8_0) {
    if (!pack_q8_0(numbers, to)) std::abort();  // only of numbers that no case has
    return;
  }
  const uint16_t half = dtype == DType::f16 ? f32_to_f16(numbers[0]) : f32_to_bf16(numbers[0]);
  const void* const from = dtype == DType::f32 ? static_cast<const void*>(numbers) : &half;
  std::memcpy(to, from, static_cast<size_t>(stored_bytes(dtype, 1)));
}

class Draw {
 public:
  explicit Draw(uint32_t seed) : generator_(seed) {}

  int64_t from(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(generator_() % static_cast<uint32_t>(high - low + 1));
  }
  bool one_in(int64_t n) { return from(1, n) == 1; }
  // Mostly small, sometimes around the widths of vectors and tiles.
  int64_t extent(int64_t most) {
    constexpr int64_t edges[] = {1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65};
    const int64_t n = one_in(2) ? edges[from(0, 18)] : from(1, most);
    return n <= most ? n : from(1, most);
  }
  Tensor tensor(const Shape& shape) {
    Tensor x(shape);
    std::uniform_real_distribution<float> uniform(-2, 2);
    for (int64_t i = 0; i < x.count(); ++i) x.mutable_data()[i] = uniform(generator_);
    return x;
  }
  // In any dtype, at any byte.
  Weight weight(const Shape& shape) {
    const Tensor values = tensor(shape);
    Weight w(shape);
    w.dtype = static_cast<DType>(from(0, 3));
    const int64_t offset = one_in(2) ? 0 : from(1, 7), count = values.count();
    const auto bytes = std::make_shared<std::vector<unsigned char>>(
        static_cast<size_t>(stored_bytes(w.dtype, count) + offset));
    const int64_t step = w.dtype == DType::q8_0 ? q8_0_block : 1;
    for (int64_t i = 0; i < count; i += step) {
      float numbers[q8_0_block] = {};
      std::copy_n(values.data() + i, std::min(step, count - i), numbers);
      pack(numbers, w.dtype, bytes->data() + offset + stored_bytes(w.dtype, i));
    }
    w.data = bytes->data() + offset;
    w.owner = bytes;
    return w;
  }
  std::optional<Weight> bias(int64_t count) {
    return one_in(3) ? std::nullopt : std::optional(weight(Shape{count}));
  }

 private:
  std::mt19937 generator_;
};

// One comparison: what must come out, how near, and the function that gives it.
struct Case {
  std::string name;
  Tensor expected;
  double tolerance;  // of the largest value
  std::function<Tensor()> run;
};

// Roundings of a sum add up like the steps of a random walk: 4 sigma.
double sums(int64_t terms) { return 1e-6 + 4 * 0x1p-24 * std::sqrt(static_cast<double>(terms)); }

Case conv2d(Draw& draw) {
  Conv2dOptions o{draw.from(1, 3),
                  {draw.from(0, 2), draw.from(0, 2), draw.from(0, 2), draw.from(0, 2)},
                  draw.from(1, 2),
                  draw.one_in(4) ? draw.from(2, 3) : 1};
  const int64_t kh = draw.from(1, 4), kw = draw.from(1, 4);
  const int64_t in = draw.extent(20), out = draw.extent(20) * o.groups;
  const int64_t height = o.dilation * (kh - 1) + draw.extent(12);
  const int64_t width = o.dilation * (kw - 1) + draw.extent(20);
  const Tensor x = draw.tensor({draw.from(1, 2), in * o.groups, height, width});
  const Weight w = draw.weight({out, in, kh, kw});
  const std::optional<Weight> b = draw.bias(out);
  return {"conv2d", ref::conv2d(x, w, b, o), sums(in * kh * kw), [=] { return fast::conv2d(x, w, b, o); }};
}

Case winograd(Draw& draw) {
  const Padding padding{draw.from(0, 2), draw.from(0, 2), draw.from(0, 2), draw.from(0, 2)};
  const int64_t side = 2 * draw.from(1, 2), in = draw.extent(80), out = draw.extent(30);
  const Tensor x =
      draw.tensor({draw.from(1, 3), in, draw.from(3, 18), draw.from(3, draw.one_in(4) ? 80 : 20)});
  const Weight w = draw.weight({out, in, 3, 3});
  const std::optional<Weight> b = draw.bias(out);
  return {"winograd", ref::conv2d(x, w, b, {.padding = padding}), sums(9 * in) + (side == 4 ? 4e-6 : 0),
          [=] { return fast::winograd(x, w, b, padding, side); }};
}

Case conv_transpose2d(Draw& draw) {
  const ConvTranspose2dOptions o{draw.from(1, 3), draw.from(0, 1)};
  const int64_t in = draw.extent(20), out = draw.extent(20), kh = draw.from(2, 4), kw = draw.from(2, 4);
  const Tensor x = draw.tensor({draw.from(1, 2), in, draw.from(2, 9), draw.from(2, 9)});
  const Weight w = draw.weight({in, out, kh, kw});
  const std::optional<Weight> b = draw.bias(out);
  return {"conv_transpose2d", ref::conv_transpose2d(x, w, b, o), sums(in * kh * kw),
          [=] { return fast::conv_transpose2d(x, w, b, o); }};
}

Case linear(Draw& draw) {
  const int64_t in = draw.one_in(20) ? draw.from(300, 1200) : draw.extent(90), out = draw.extent(70);
  const Tensor x = draw.tensor({draw.from(1, 2), draw.extent(70), in});
  const Weight w = draw.weight({out, in});
  const std::optional<Weight> b = draw.bias(out);
  return {"linear", ref::linear(x, w, b), sums(in), [=] { return fast::linear(x, w, b); }};
}

Case matmul(Draw& draw) {
  const int64_t pairs = draw.from(1, 3), m = draw.extent(60), k = draw.extent(90), n = draw.extent(60);
  const Tensor a = draw.tensor({pairs, m, k}), b = draw.tensor({pairs, k, n});
  return {"matmul", ref::matmul(a, b), sums(k), [=] { return fast::matmul(a, b); }};
}

Case attention(Draw& draw) {
  const int64_t n = draw.from(1, 2), heads = draw.from(1, 3), d = draw.extent(50);
  const int64_t tq = draw.one_in(20) ? draw.from(100, 300) : draw.extent(70);
  const bool causal = draw.one_in(4);
  const int64_t tk = causal ? tq : draw.one_in(20) ? draw.from(100, 300) : draw.extent(90);
  const Tensor q = draw.tensor({n, heads, tq, d}), k = draw.tensor({n, heads, tk, d});
  const Tensor v = draw.tensor({n, heads, tk, d});
  std::shared_ptr<Tensor> mask;
  if (draw.one_in(4)) {
    mask =
        std::make_shared<Tensor>(draw.tensor({draw.one_in(2) ? 1 : n, draw.one_in(2) ? 1 : heads, tq, tk}));
  }
  const AttentionOptions o{causal, mask.get()};
  const double tolerance = 2e-6 + sums(d) + sums(tk);
  if (draw.one_in(3)) {
    return {"attention_probs", ref::attention_probs(q, k, o), tolerance, [=] {
              return fast::attention_probs(q, k, {causal, mask.get()});
            }};
  }
  return {"attention", ref::attention(q, k, v, o), tolerance, [=] {
            return fast::attention(q, k, v, {causal, mask.get()});
          }};
}

Case norm(Draw& draw) {
  if (draw.one_in(2)) {
    const int64_t groups = draw.from(1, 8), channels = groups * draw.from(1, 6);
    const Tensor x = draw.tensor({draw.from(1, 2), channels, draw.extent(12), 1 + draw.extent(20)});
    const Weight w = draw.weight(Shape{channels}), b = draw.weight(Shape{channels});
    return {"group_norm", ref::group_norm(x, w, b, groups, 1e-5F), 4e-6,
            [=] { return fast::group_norm(x, w, b, groups, 1e-5F); }};
  }
  const int64_t channels = 2 + draw.extent(90);
  const Tensor x = draw.tensor({draw.extent(40), channels});
  const Weight w = draw.weight(Shape{channels}), b = draw.weight(Shape{channels});
  return {"layer_norm", ref::layer_norm(x, w, b, 1e-5F), 4e-6,
          [=] { return fast::layer_norm(x, w, b, 1e-5F); }};
}

Case activation(Draw& draw) {
  using Activation = Tensor (*)(const Tensor&);
  constexpr struct {
    const char* name;
    Activation ref, fast;
  } all[] = {{"silu", ref::silu, fast::silu},
             {"gelu", ref::gelu, fast::gelu},
             {"quick_gelu", ref::quick_gelu, fast::quick_gelu},
             {"sigmoid", ref::sigmoid, fast::sigmoid},
             {"tanh", ref::tanh, fast::tanh},
             {"exp", ref::exp, fast::exp},
             {"geglu", ref::geglu, fast::geglu},
             {"to_tokens", ref::to_tokens, fast::to_tokens}};
  const auto& chosen = all[draw.from(0, 7)];
  const Tensor x = draw.tensor({draw.from(1, 2), draw.extent(20), draw.extent(20), 2 * draw.extent(20)});
  return {chosen.name, chosen.ref(x), 2e-6, [x, f = chosen.fast] { return f(x); }};
}

Case layout(Draw& draw) {
  const int64_t n = draw.from(1, 2), c = draw.extent(20), h = draw.extent(20), w = draw.extent(40);
  const Tensor x = draw.tensor({n, c, h, w});
  const int64_t heads = draw.from(1, 4);
  const Tensor tokens = draw.tensor({n, h, heads * c});
  const Tensor shift = draw.tensor({n, c});
  const Tensor flat = draw.tensor({n, h * w, c});
  const int64_t begin = draw.from(0, c - 1);
  switch (draw.from(0, 7)) {
    case 0:
      return {"upsample", ref::upsample_nearest(x, 2 * h, 2 * w), 0,
              [=] { return fast::upsample_nearest(x, 2 * h, 2 * w); }};
    case 1:
      return {"split_heads", ref::split_heads(tokens, heads), 0,
              [=] { return fast::split_heads(tokens, heads); }};
    case 2:
      return {"merge_heads", ref::merge_heads(x), 0, [=] { return fast::merge_heads(x); }};
    case 3:
      return {"add_per_channel", ref::add_per_channel(x, shift), 0,
              [=] { return fast::add_per_channel(x, shift); }};
    case 4:
      return {"concat", ref::concat({x, x}, 1), 0, [=] { return fast::concat({x, x}, 1); }};
    case 5:
      return {"slice", ref::slice(x, 1, begin, c), 0, [=] { return fast::slice(x, 1, begin, c); }};
    case 6:
      return {"to_image", ref::to_image(flat, h, w), 0, [=] { return fast::to_image(flat, h, w); }};
    default:
      return {"softmax", ref::softmax(x, 3), 2e-6, [=] { return fast::softmax(x, 3); }};
  }
}

Case draw_case(Draw& draw) {
  constexpr Case (*kinds[])(Draw&) = {conv2d, conv2d,     winograd, winograd,  conv_transpose2d,
                                      linear, linear,     matmul,   attention, attention,
                                      norm,   activation, layout};
  return kinds[draw.from(0, std::size(kinds) - 1)](draw);
}

// An empty text when all is well.
std::string what_is_wrong(const Case& c, const Tensor& y) {
  if (y.shape() != c.expected.shape()) return "shape " + to_string(y.shape());
  double largest = 0, worst = 0;
  for (const float v : c.expected.values()) largest = std::max<double>(largest, std::fabs(v));
  for (int64_t i = 0; i < y.count(); ++i) {
    const double difference = std::fabs(static_cast<double>(y.data()[i]) - c.expected.data()[i]);
    if (std::isnan(difference)) return "a NaN";
    worst = std::max(worst, difference);
  }
  if (worst <= c.tolerance * largest) return "";
  return "off by " + std::to_string(worst / (c.tolerance * largest)) + " times its tolerance";
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return std::memcmp(a.data(), b.data(), static_cast<size_t>(a.count()) * sizeof(float)) == 0;
}

bool passes(uint32_t number) {
  Draw draw(number);
  const auto isa = static_cast<Isa>(draw.from(0, static_cast<int64_t>(best_isa())));
  const int threads = static_cast<int>(draw.from(1, 3));
  choose_isa(to_string(isa));
  choose_threads(threads);
  const Case c = draw_case(draw);
  const Tensor y = c.run();
  std::string wrong = what_is_wrong(c, y);
  choose_threads(threads % 3 + 1);
  if (wrong.empty() && !same_bits(y, c.run())) wrong = "other bits with another number of threads";
  if (wrong.empty()) return true;
  std::printf("case %u: %s %s, %s, %d threads: %s\n", number, c.name.c_str(),
              to_string(c.expected.shape()).c_str(), to_string(isa), threads, wrong.c_str());
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  const long cases = argc > 1 ? std::atol(argv[1]) : 24000, first = argc > 2 ? std::atol(argv[2]) : 0;
  long failed = 0;
  for (long i = first; i < first + cases; ++i) failed += passes(static_cast<uint32_t>(i)) ? 0 : 1;
  std::printf("%ld cases, %ld failed\n", cases, failed);
  return failed == 0 ? 0 : 1;
}
