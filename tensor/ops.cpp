// Checks shapes, then runs the chosen version. No computing here. On a band of a picture's rows it first
// takes what the operation needs of the others (tensor/dispatch/row_bands.h).
#include "tensor/ops.h"

#include <set>
#include <type_traits>

#include "tensor/backend.h"
#include "tensor/dispatch/dry_run.h"
#include "tensor/dispatch/replay.h"
#include "tensor/dispatch/row_bands.h"
#include "tensor/dispatch/shadow.h"
#include "tensor/eigen/ops.h"
#include "tensor/error.h"
#include "tensor/fast/ops.h"
#include "tensor/ref/ops.h"
#include "tensor/trace.h"

namespace cutaway {
namespace {

// "conv2d at unet.conv_in: x is [1, 3, 8, 8], but ..."
[[noreturn]] void refuse(const char* operation, const std::string& reason) {
  const std::string& path = Scope::current_path();
  throw Error(std::string(operation) + (path.empty() ? "" : " at " + path) + ": " + reason);
}

std::string is(const char* name, const Shape& shape) { return std::string(name) + " is " + to_string(shape); }

void need_values(const char* operation, const char* name, const Tensor& x) {
  if (x.empty()) refuse(operation, std::string(name) + " has no values yet; make it before it is used");
}

void need_rank(const char* operation, const char* name, const Tensor& x, int rank, const char* layout) {
  need_values(operation, name, x);
  if (x.shape().rank() != rank) {
    refuse(operation, is(name, x.shape()) + ", but must be " + layout);
  }
}

// In a dry run this is also where a weight's pages are counted.
enum class Reads { all, some };

void need_loaded(const char* operation, const char* name, const Weight& weight, Reads reads = Reads::all) {
  if (!weight.loaded()) {
    refuse(operation, std::string(name) + " " + to_string(weight.shape) +
                          " has not been loaded; call load_weights before the layer is run");
  }
  if (in_dry_run() && reads == Reads::all) dry_run::weight_used(weight);
}

void need_shape(const char* operation, const char* name, const Weight& weight, const Shape& needed) {
  need_loaded(operation, name, weight);
  if (weight.shape != needed) {
    refuse(operation, is(name, weight.shape) + ", but must be " + to_string(needed) + " to fit x");
  }
}

void need_bias(const char* operation, const std::optional<Weight>& bias, int64_t out) {
  if (bias) need_shape(operation, "bias", *bias, {out});
}

void need_equal(const char* operation, const Tensor& a, const Tensor& b) {
  need_values(operation, "a", a);
  need_values(operation, "b", b);
  if (a.shape() != b.shape()) {
    refuse(operation, is("a", a.shape()) + " and " + is("b", b.shape()) + ", but the two must be equal");
  }
}

void need_positive(const char* operation, const char* name, int64_t value) {
  if (value < 1)
    refuse(operation, std::string(name) + " is " + std::to_string(value) + ", but must be at least 1");
}

int axis_from_front(const char* operation, const Tensor& x, int axis) {
  need_values(operation, "x", x);
  const int rank = x.shape().rank();
  if (axis < -rank || axis >= rank) {
    refuse(operation, is("x", x.shape()) + ", which has no axis " + std::to_string(axis));
  }
  return axis < 0 ? axis + rank : axis;
}

// Two operations, a multiplication and an addition, for each term of each sum.
void count_products(int64_t sums, int64_t terms) {
  if (in_dry_run() && !trace::observed()) return;  // nothing is done, and nobody asks
  trace::count_flops(2 * static_cast<double>(sums) * static_cast<double>(terms));
}

// ---- Dry runs
// Every version then runs as `fast` does, without computing. This is what the others hold beside that.

struct Held {
  std::vector<Tensor> tensors;

  // A weight as float32, where the file has it otherwise.
  void converted(const Weight& weight) {
    if (weight.dtype != DType::f32) tensors.emplace_back(weight.shape);
  }
  void converted(const std::optional<Weight>& weight) {
    if (weight) converted(*weight);
  }
  template <class Other>
  void converted(const Other&) {}
};

// The plain loops make the table of an attention twice, as scores and as weights; Eigen for one head.
std::vector<Tensor> dry_run_tables(const Tensor& q, const Tensor& k) {
  const Backend backend = current_backend();
  if (!in_dry_run() || backend == Backend::fast) return {};
  const Shape& qs = q.shape();
  const bool one_head = backend == Backend::eigen;
  const Shape table{one_head ? 1 : qs[0], one_head ? 1 : qs[1], qs[2], k.shape()[2]};
  return {Tensor(table), Tensor(table)};
}

// Eigen's convolution makes the whole matrix of pixels under taps.
std::vector<Tensor> dry_run_columns(int64_t taps, int64_t pixels) {
  if (!in_dry_run() || current_backend() != Backend::eigen) return {};
  return {Tensor(Shape{taps, pixels})};
}

// The tensors among an operation's arguments, for observers.
struct Inputs {
  std::vector<const Tensor*> tensors;

  void add(const Tensor& x) { tensors.push_back(&x); }
  void add(const std::vector<Tensor>& parts) {
    for (const Tensor& part : parts) tensors.push_back(&part);
  }
  template <class Other>
  void add(const Other&) {}
};

template <class... Parameters>
using Version = Tensor (*)(Parameters...);

// `eigen` is null for operations that are no matrix products: there the referee runs the definition.
template <class... Parameters>
Tensor run(const char* name, Version<Parameters...> ref, Version<Parameters...> fast,
           std::type_identity_t<Version<Parameters...>> eigen,
           const std::type_identity_t<Parameters>&... arguments) {
  const Backend backend = current_backend();
  Tensor y;
  if (in_dry_run()) {
    Held held;
    if (backend != Backend::fast) (held.converted(arguments), ...);
    y = fast(arguments...);
    if (backend == Backend::shadow) held.tensors.emplace_back(y.shape());  // the plain loops' result
  } else if (backend == Backend::fast) {
    y = fast(arguments...);
  } else if (backend == Backend::shadow) {
    y = fast(arguments...);
    shadow::compare(name, Scope::current_path(), y, ref(arguments...));
  } else {
    y = backend == Backend::eigen && eigen != nullptr ? eigen(arguments...) : ref(arguments...);
  }
  if (trace::observed()) {
    Inputs inputs;
    (inputs.add(arguments), ...);
    trace::operation_done(name, inputs.tensors, y);
  }
  if (replay::recorder() != nullptr) {
    const auto again = [=](const auto&... made) {
      return run<Parameters...>(name, ref, fast, eigen, made...);
    };
    replay::record(name, y, again, arguments...);
  }
  return y;
}

Tensor run_on_each(const char* name, Version<const Tensor&> ref, Version<const Tensor&> fast,
                   const Tensor& x) {
  need_values(name, "x", x);
  return run(name, ref, fast, nullptr, x);
}

Tensor run_on_pairs(const char* name, Version<const Tensor&, const Tensor&> ref,
                    Version<const Tensor&, const Tensor&> fast, const Tensor& a, const Tensor& b) {
  need_equal(name, a, b);
  return run(name, ref, fast, nullptr, a, b);
}

void check_attention(const char* name, const Tensor& q, const Tensor& k, const AttentionOptions& options) {
  need_rank(name, "q", q, 4, "[N, heads, Tq, d]");
  need_rank(name, "k", k, 4, "[N, heads, Tk, d]");
  const Shape& qs = q.shape();
  const Shape& ks = k.shape();
  if (qs[0] != ks[0] || qs[1] != ks[1] || qs[3] != ks[3]) {
    refuse(name, is("q", qs) + " and " + is("k", ks) + ", but N, heads and d must be equal");
  }
  if (options.causal && qs[2] != ks[2]) {
    refuse(name, is("q", qs) + " and " + is("k", ks) + ", but a causal mask needs as many keys as queries");
  }
  if (options.mask != nullptr) {
    need_rank(name, "mask", *options.mask, 4, "[N or 1, heads or 1, Tq, Tk]");
    const Shape& ms = options.mask->shape();
    if ((ms[0] != 1 && ms[0] != qs[0]) || (ms[1] != 1 && ms[1] != qs[1]) || ms[2] != qs[2] ||
        ms[3] != ks[2]) {
      refuse(name, is("mask", ms) + ", but must be [N or 1, heads or 1, Tq, Tk] for " + is("q", qs) +
                       " and " + is("k", ks));
    }
  }
}

Tensor probs_of(const Tensor& q, const Tensor& k, const AttentionOptions& options) {
  return run("attention_probs", ref::attention_probs, fast::attention_probs, eigen::attention_probs, q, k,
             options);
}

}  // namespace

Tensor conv2d(const Tensor& x, const Weight& weight, const std::optional<Weight>& bias,
              const Conv2dOptions& options) {
  const char* name = "conv2d";
  need_rank(name, "x", x, 4, "[N, C, H, W]");
  need_loaded(name, "weight", weight);
  if (weight.shape.rank() != 4) refuse(name, is("weight", weight.shape) + ", but must be [out, in, kh, kw]");
  need_positive(name, "stride", options.stride);
  need_positive(name, "dilation", options.dilation);
  need_positive(name, "groups", options.groups);
  const Padding& p = options.padding;
  if (p.left < 0 || p.right < 0 || p.top < 0 || p.bottom < 0)
    refuse(name, "the padding is negative; use 0 or more");
  const int64_t in = x.shape()[1], out = weight.shape[0];
  if (in != weight.shape[1] * options.groups) {
    refuse(name, is("x", x.shape()) + ", but weight " + to_string(weight.shape) +
                     " (out, in, kh, kw) needs " + std::to_string(weight.shape[1] * options.groups) +
                     " channels");
  }
  if (out % options.groups != 0) {
    refuse(name, "the " + std::to_string(out) + " channels of the result do not divide into " +
                     std::to_string(options.groups) + " groups");
  }
  need_bias(name, bias, out);
  if (x.shape()[2] + p.top + p.bottom < options.dilation * (weight.shape[2] - 1) + 1 ||
      x.shape()[3] + p.left + p.right < options.dilation * (weight.shape[3] - 1) + 1) {
    refuse(name, is("x", x.shape()) + ", too small for a kernel of weight " + to_string(weight.shape) +
                     "; use a larger picture");
  }
  const auto extent = [&](int64_t size, int64_t kernel) {
    return (size - options.dilation * (kernel - 1) - 1) / options.stride + 1;
  };
  const int64_t pixels = extent(x.shape()[2] + p.top + p.bottom, weight.shape[2]) *
                         extent(x.shape()[3] + p.left + p.right, weight.shape[3]);
  count_products(x.shape()[0] * out * pixels, weight.shape.count() / out);
  const std::vector<Tensor> columns = dry_run_columns(weight.shape.count() / out, pixels);
  const auto [rows, how] = bands::reached_by_kernel(name, x, weight.shape[2], options);
  return run(name, ref::conv2d, fast::conv2d, eigen::conv2d, rows, weight, bias, how);
}

Tensor conv_transpose2d(const Tensor& x, const Weight& weight, const std::optional<Weight>& bias,
                        const ConvTranspose2dOptions& options) {
  const char* name = "conv_transpose2d";
  bands::need_whole_rows(name);
  need_rank(name, "x", x, 4, "[N, C, H, W]");
  need_loaded(name, "weight", weight);
  if (weight.shape.rank() != 4) refuse(name, is("weight", weight.shape) + ", but must be [in, out, kh, kw]");
  need_positive(name, "stride", options.stride);
  if (options.padding < 0) refuse(name, "the padding is negative; use 0 or more");
  if (x.shape()[1] != weight.shape[0]) {
    refuse(name, is("x", x.shape()) + ", but weight " + to_string(weight.shape) +
                     " (in, out, kh, kw) needs " + std::to_string(weight.shape[0]) + " channels");
  }
  need_bias(name, bias, weight.shape[1]);
  for (const int axis : {2, 3}) {
    if ((x.shape()[axis] - 1) * options.stride - 2 * options.padding + weight.shape[axis] < 1) {
      refuse(name, is("x", x.shape()) + ", too small for so much padding");
    }
  }
  count_products(x.count(), weight.shape.count() / weight.shape[0]);
  return run(name, ref::conv_transpose2d, fast::conv_transpose2d, nullptr, x, weight, bias, options);
}

Tensor linear(const Tensor& x, const Weight& weight, const std::optional<Weight>& bias) {
  const char* name = "linear";
  need_values(name, "x", x);
  need_loaded(name, "weight", weight);
  if (weight.shape.rank() != 2) refuse(name, is("weight", weight.shape) + ", but must be [out, in]");
  if (x.shape().rank() < 1 || x.shape()[-1] != weight.shape[1]) {
    refuse(name, is("x", x.shape()) + ", but its last axis must be " + std::to_string(weight.shape[1]) +
                     " to fit weight " + to_string(weight.shape) + " (out, in)" +
                     (x.shape().rank() > 0 && x.shape()[-1] == 1024 && weight.shape[1] == 768
                          ? "; prompt embeddings 1024 wide come from SD 2, and SD 1.x needs 768"
                          : ""));
  }
  need_bias(name, bias, weight.shape[0]);
  count_products(x.count(), weight.shape[0]);
  return run(name, ref::linear, fast::linear, eigen::linear, x, weight, bias);
}

Tensor matmul(const Tensor& a, const Tensor& b) {
  const char* name = "matmul";
  bands::need_whole_rows(name);
  need_values(name, "a", a);
  need_values(name, "b", b);
  const int rank = a.shape().rank();
  bool fits = rank >= 2 && b.shape().rank() == rank && a.shape()[-1] == b.shape()[-2];
  for (int axis = 0; fits && axis < rank - 2; ++axis) fits = a.shape()[axis] == b.shape()[axis];
  if (!fits) {
    refuse(name, is("a", a.shape()) + " and " + is("b", b.shape()) +
                     ", but they must be [..., m, k] and [..., k, n] with equal leading extents");
  }
  count_products(a.count(), b.shape()[-1]);
  return run(name, ref::matmul, fast::matmul, eigen::matmul, a, b);
}

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options) {
  const char* name = "attention";
  check_attention(name, q, k, options);
  need_rank(name, "v", v, 4, "[N, heads, Tk, d]");
  if (v.shape() != k.shape()) {
    refuse(name, is("k", k.shape()) + " and " + is("v", v.shape()) + ", but the two must be equal");
  }
  const Tensor keys = bands::reached_by_queries(name, q, k, options);
  const Tensor values = bands::reached_by_queries(name, q, v, options);
  if (trace::wants("probs")) trace::inner_value("probs", probs_of(q, keys, options));
  count_products(2 * q.count(), keys.shape()[2]);  // q k^T, and its softmax times v
  const std::vector<Tensor> tables = dry_run_tables(q, keys);
  return run(name, ref::attention, fast::attention, eigen::attention, q, keys, values, options);
}

Tensor attention_probs(const Tensor& q, const Tensor& k, const AttentionOptions& options) {
  const char* name = "attention_probs";
  check_attention(name, q, k, options);
  return probs_of(q, bands::reached_by_queries(name, q, k, options), options);
}

Tensor group_norm(const Tensor& x, const Weight& weight, const Weight& bias, int64_t groups, float eps) {
  const char* name = "group_norm";
  need_values(name, "x", x);
  if (x.shape().rank() < 2) refuse(name, is("x", x.shape()) + ", but must be [N, C, ...]");
  need_positive(name, "groups", groups);
  const int64_t channels = x.shape()[1];
  if (channels % groups != 0) {
    refuse(name, is("x", x.shape()) + ", whose " + std::to_string(channels) +
                     " channels do not divide into " + std::to_string(groups) + " groups");
  }
  need_shape(name, "weight", weight, {channels});
  need_shape(name, "bias", bias, {channels});
  if (Bands::now() != nullptr) {  // the mean and variance of all bands
    need_rank(name, "x", x, 4, "[N, C, H, W]");
    const bands::Statistics all = bands::group_statistics(x, weight, bias, groups, eps);
    const Tensor planes = x.reshaped({1, x.shape()[0] * channels, x.shape()[2], x.shape()[3]});
    return batch_norm(planes, all.weight, all.bias, all.mean, all.variance, eps).reshaped(x.shape());
  }
  return run(name, ref::group_norm, fast::group_norm, nullptr, x, weight, bias, groups, eps);
}

Tensor layer_norm(const Tensor& x, const Weight& weight, const Weight& bias, float eps) {
  const char* name = "layer_norm";
  need_values(name, "x", x);
  if (x.shape().rank() < 1) refuse(name, is("x", x.shape()) + ", but must be [..., C]");
  need_shape(name, "weight", weight, {x.shape()[-1]});
  need_shape(name, "bias", bias, {x.shape()[-1]});
  return run(name, ref::layer_norm, fast::layer_norm, nullptr, x, weight, bias, eps);
}

Tensor batch_norm(const Tensor& x, const Weight& weight, const Weight& bias, const Weight& running_mean,
                  const Weight& running_var, float eps) {
  const char* name = "batch_norm";
  need_rank(name, "x", x, 4, "[N, C, H, W]");
  const Shape channels{x.shape()[1]};
  need_shape(name, "weight", weight, channels);
  need_shape(name, "bias", bias, channels);
  need_shape(name, "running_mean", running_mean, channels);
  need_shape(name, "running_var", running_var, channels);
  return run(name, ref::batch_norm, fast::batch_norm, nullptr, x, weight, bias, running_mean, running_var,
             eps);
}

Tensor softmax(const Tensor& x, int axis) {
  const int from_front = axis_from_front("softmax", x, axis);
  bands::need_other_axis("softmax", x, from_front);
  return run("softmax", ref::softmax, fast::softmax, nullptr, x, from_front);
}

Tensor silu(const Tensor& x) { return run_on_each("silu", ref::silu, fast::silu, x); }
Tensor gelu(const Tensor& x) { return run_on_each("gelu", ref::gelu, fast::gelu, x); }
Tensor gelu_tanh(const Tensor& x) { return run_on_each("gelu_tanh", ref::gelu_tanh, fast::gelu_tanh, x); }
Tensor quick_gelu(const Tensor& x) { return run_on_each("quick_gelu", ref::quick_gelu, fast::quick_gelu, x); }
Tensor relu(const Tensor& x) { return run_on_each("relu", ref::relu, fast::relu, x); }
Tensor sigmoid(const Tensor& x) { return run_on_each("sigmoid", ref::sigmoid, fast::sigmoid, x); }
Tensor tanh(const Tensor& x) { return run_on_each("tanh", ref::tanh, fast::tanh, x); }
Tensor softplus(const Tensor& x) { return run_on_each("softplus", ref::softplus, fast::softplus, x); }
Tensor exp(const Tensor& x) { return run_on_each("exp", ref::exp, fast::exp, x); }

Tensor leaky_relu(const Tensor& x, float negative_slope) {
  need_values("leaky_relu", "x", x);
  return run("leaky_relu", ref::leaky_relu, fast::leaky_relu, nullptr, x, negative_slope);
}

Tensor clamp(const Tensor& x, float low, float high) {
  need_values("clamp", "x", x);
  return run("clamp", ref::clamp, fast::clamp, nullptr, x, low, high);
}

Tensor geglu(const Tensor& x) {
  need_values("geglu", "x", x);
  if (x.shape().rank() < 1 || x.shape()[-1] % 2 != 0) {
    refuse("geglu", is("x", x.shape()) + ", but its last axis must be even: value and gate, half and half");
  }
  return run("geglu", ref::geglu, fast::geglu, nullptr, x);
}

Tensor add(const Tensor& a, const Tensor& b) { return run_on_pairs("add", ref::add, fast::add, a, b); }
Tensor sub(const Tensor& a, const Tensor& b) { return run_on_pairs("sub", ref::sub, fast::sub, a, b); }
Tensor mul(const Tensor& a, const Tensor& b) { return run_on_pairs("mul", ref::mul, fast::mul, a, b); }

Tensor scale(const Tensor& x, float factor) {
  need_values("scale", "x", x);
  return run("scale", ref::scale, fast::scale, nullptr, x, factor);
}

Tensor add_per_channel(const Tensor& x, const Tensor& shift) {
  const char* name = "add_per_channel";
  need_rank(name, "x", x, 4, "[N, C, H, W]");
  need_rank(name, "shift", shift, 2, "[N, C]");
  if (shift.shape()[0] != x.shape()[0] || shift.shape()[1] != x.shape()[1]) {
    refuse(name, is("x", x.shape()) + " and " + is("shift", shift.shape()) + ", but N and C must be equal");
  }
  return run(name, ref::add_per_channel, fast::add_per_channel, nullptr, x, shift);
}

Tensor add_to_each(const Tensor& x, const Tensor& item) {
  const char* name = "add_to_each";
  need_values(name, "x", x);
  need_values(name, "item", item);
  if (x.shape().rank() < 1 || x.shape().with(0, 1) != item.shape()) {
    refuse(name, is("x", x.shape()) + " and " + is("item", item.shape()) +
                     ", but item must be one item of x's batch, [1, ...]");
  }
  return run(name, ref::add_to_each, fast::add_to_each, nullptr, x, item);
}

Tensor upsample_nearest(const Tensor& x, int64_t height, int64_t width) {
  const char* name = "upsample_nearest";
  need_rank(name, "x", x, 4, "[N, C, H, W]");
  need_positive(name, "height", height);
  need_positive(name, "width", width);
  if (height % x.shape()[2] != 0) bands::need_whole_rows(name);
  return run(name, ref::upsample_nearest, fast::upsample_nearest, nullptr, x, height, width);
}

Tensor upsample_bilinear(const Tensor& x, int64_t height, int64_t width, bool align_corners) {
  const char* name = "upsample_bilinear";
  bands::need_whole_rows(name);
  need_rank(name, "x", x, 4, "[N, C, H, W]");
  need_positive(name, "height", height);
  need_positive(name, "width", width);
  return run(name, ref::upsample_bilinear, fast::upsample_bilinear, nullptr, x, height, width, align_corners);
}

namespace {
void check_pool(const char* name, const Tensor& x, int64_t size) {
  need_rank(name, "x", x, 4, "[N, C, H, W]");
  need_positive(name, "size", size);
  if (x.shape()[2] < size || x.shape()[3] < size) {
    refuse(name, is("x", x.shape()) + ", smaller than the window of " + std::to_string(size) + " x " +
                     std::to_string(size));
  }
  bands::need_groups_of_rows(name, x, size);
}
}  // namespace

Tensor max_pool(const Tensor& x, int64_t size) {
  check_pool("max_pool", x, size);
  return run("max_pool", ref::max_pool, fast::max_pool, nullptr, x, size);
}

Tensor avg_pool(const Tensor& x, int64_t size) {
  check_pool("avg_pool", x, size);
  return run("avg_pool", ref::avg_pool, fast::avg_pool, nullptr, x, size);
}

Tensor pixel_unshuffle(const Tensor& x, int64_t factor) {
  const char* name = "pixel_unshuffle";
  need_rank(name, "x", x, 4, "[N, C, H, W]");
  need_positive(name, "factor", factor);
  if (x.shape()[2] % factor != 0 || x.shape()[3] % factor != 0) {
    refuse(name,
           is("x", x.shape()) + ", but H and W must be multiples of the factor " + std::to_string(factor));
  }
  return run(name, ref::pixel_unshuffle, fast::pixel_unshuffle, nullptr, x, factor);
}

Tensor pad(const Tensor& x, const Padding& padding) {
  need_rank("pad", "x", x, 4, "[N, C, H, W]");
  if (padding.left < 0 || padding.right < 0 || padding.top < 0 || padding.bottom < 0) {
    refuse("pad", "the padding is negative; use slice to cut");
  }
  if (padding.top > 0 || padding.bottom > 0) bands::need_whole_rows("pad");
  return run("pad", ref::pad, fast::pad, nullptr, x, padding);
}

Tensor concat(const std::vector<Tensor>& parts, int axis) {
  const char* name = "concat";
  if (parts.empty()) refuse(name, "there is nothing to join");
  const int from_front = axis_from_front(name, parts.front(), axis);
  bands::need_other_axis(name, parts.front(), from_front);
  for (const Tensor& part : parts) {
    need_values(name, "a part", part);
    if (part.shape().rank() != parts.front().shape().rank() ||
        part.shape().with(from_front, 1) != parts.front().shape().with(from_front, 1)) {
      refuse(name, is("one part", parts.front().shape()) + " and " + is("another", part.shape()) +
                       ", but all extents except axis " + std::to_string(from_front) + " must be equal");
    }
  }
  return run(name, ref::concat, fast::concat, nullptr, parts, from_front);
}

Tensor slice(const Tensor& x, int axis, int64_t begin, int64_t end) {
  const char* name = "slice";
  const int from_front = axis_from_front(name, x, axis);
  if (begin < 0 || end <= begin || end > x.shape()[from_front]) {
    refuse(name, is("x", x.shape()) + ", of which positions " + std::to_string(begin) + " to " +
                     std::to_string(end) + " of axis " + std::to_string(from_front) + " cannot be taken");
  }
  bands::need_other_axis(name, x, from_front);
  return run(name, ref::slice, fast::slice, nullptr, x, from_front, begin, end);
}

Tensor to_tokens(const Tensor& x) {
  need_rank("to_tokens", "x", x, 4, "[N, C, H, W]");
  return run("to_tokens", ref::to_tokens, fast::to_tokens, nullptr, x);
}

Tensor to_image(const Tensor& tokens, int64_t height, int64_t width) {
  const char* name = "to_image";
  need_rank(name, "tokens", tokens, 3, "[N, H W, C]");
  need_positive(name, "height", height);
  need_positive(name, "width", width);
  if (tokens.shape()[1] != height * width) {
    refuse(name, is("tokens", tokens.shape()) + ", but an image of " + std::to_string(height) + " x " +
                     std::to_string(width) + " needs " + std::to_string(height * width) + " tokens");
  }
  return run(name, ref::to_image, fast::to_image, nullptr, tokens, height, width);
}

Tensor split_heads(const Tensor& x, int64_t heads) {
  const char* name = "split_heads";
  need_rank(name, "x", x, 3, "[N, T, C]");
  need_positive(name, "heads", heads);
  if (x.shape()[2] % heads != 0) {
    refuse(name,
           is("x", x.shape()) + ", whose last axis does not divide into " + std::to_string(heads) + " heads");
  }
  return run(name, ref::split_heads, fast::split_heads, nullptr, x, heads);
}

Tensor merge_heads(const Tensor& x) {
  need_rank("merge_heads", "x", x, 4, "[N, heads, T, d]");
  return run("merge_heads", ref::merge_heads, fast::merge_heads, nullptr, x);
}

Tensor embedding(const TokenIds& ids, const Weight& weight) {
  const char* name = "embedding";
  need_loaded(name, "weight", weight, Reads::some);
  if (weight.shape.rank() != 2) refuse(name, is("weight", weight.shape) + ", but must be [vocabulary, C]");
  if (ids.batch < 1 || ids.length < 1 || ids.batch * ids.length != static_cast<int64_t>(ids.ids.size())) {
    refuse(name, "there are " + std::to_string(ids.ids.size()) + " ids, but [" + std::to_string(ids.batch) +
                     ", " + std::to_string(ids.length) + "] were announced");
  }
  for (const int64_t id : ids.ids) {
    if (id < 0 || id >= weight.shape[0]) {
      refuse(name, "token id " + std::to_string(id) + " is outside the vocabulary of " +
                       std::to_string(weight.shape[0]) + "; do the tokenizer and the model belong together?");
    }
  }
  if (in_dry_run())
    dry_run::rows_used(weight, static_cast<int64_t>(std::set(ids.ids.begin(), ids.ids.end()).size()));
  return run(name, ref::embedding, fast::embedding, nullptr, ids, weight);
}

Tensor timestep_embedding(std::span<const float> t, int64_t dim, const TimestepOptions& options) {
  const char* name = "timestep_embedding";
  if (t.empty()) refuse(name, "there is no time step");
  if (dim < 4 || dim % 2 != 0) {
    refuse(name, "dim is " + std::to_string(dim) +
                     ", but must be even and at least 4: sines and cosines, half and half");
  }
  return run(name, ref::timestep_embedding, fast::timestep_embedding, nullptr, t, dim, options);
}

}  // namespace cutaway
