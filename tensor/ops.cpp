// Each operation: its checks, then a run of the version that is chosen (tensor/dispatch/run.h).
#include "tensor/ops.h"

#include "tensor/dispatch/checks.h"
#include "tensor/dispatch/row_bands.h"
#include "tensor/dispatch/run.h"
#include "tensor/eigen/ops.h"
#include "tensor/fast/ops.h"
#include "tensor/ref/ops.h"
#include "tensor/trace.h"

namespace cutaway {
using namespace checks;

namespace {

Tensor run_on_each(const Operation<const Tensor&>& operation, const Tensor& x) {
  need_values(operation.name, "x", x);
  return run(operation, x);
}

Tensor run_on_pairs(const Operation<const Tensor&, const Tensor&>& operation, const Tensor& a,
                    const Tensor& b) {
  need_equal(operation.name, a, b);
  return run(operation, a, b);
}

void check_conv2d(const char* name, const Tensor& x, const Weight& weight, const std::optional<Weight>& bias,
                  const Conv2dOptions& options) {
  need_picture(name, x);
  need_rank(name, "weight", weight, 4, "[out, in, kh, kw]");
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

void check_pool(const char* name, const Tensor& x, int64_t size) {
  need_picture(name, x);
  need_positive(name, "size", size);
  if (x.shape()[2] < size || x.shape()[3] < size) {
    refuse(name, is("x", x.shape()) + ", smaller than the window of " + std::to_string(size) + " x " +
                     std::to_string(size));
  }
}

const Operation probs{"attention_probs", ref::attention_probs, fast::attention_probs, eigen::attention_probs,
                      bands::attention_probs};

}  // namespace

Tensor conv2d(const Tensor& x, const Weight& weight, const std::optional<Weight>& bias,
              const Conv2dOptions& options) {
  check_conv2d("conv2d", x, weight, bias, options);
  const int64_t out = weight.shape[0], out_values = x.shape()[0] * out * conv2d_pixels(x, weight, options);
  count_products(out_values, weight.shape.count() / out);
  return run(Operation{"conv2d", ref::conv2d, fast::conv2d, eigen::conv2d, bands::conv2d}, x, weight, bias,
             options);
}

Tensor conv_transpose2d(const Tensor& x, const Weight& weight, const std::optional<Weight>& bias,
                        const ConvTranspose2dOptions& options) {
  const char* name = "conv_transpose2d";
  need_picture(name, x);
  need_rank(name, "weight", weight, 4, "[in, out, kh, kw]");
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
  return run(Operation{name, ref::conv_transpose2d, fast::conv_transpose2d}, x, weight, bias, options);
}

Tensor linear(const Tensor& x, const Weight& weight, const std::optional<Weight>& bias) {
  const char* name = "linear";
  need_values(name, "x", x);
  need_rank(name, "weight", weight, 2, "[out, in]");
  if (x.shape().rank() < 1 || x.shape()[-1] != weight.shape[1]) {
    refuse(name, is("x", x.shape()) + ", but its last axis must be " + std::to_string(weight.shape[1]) +
                     " to fit weight " + to_string(weight.shape) + " (out, in)" +
                     (x.shape().rank() > 0 && x.shape()[-1] == 1024 && weight.shape[1] == 768
                          ? "; prompt embeddings 1024 wide come from SD 2, and SD 1.x needs 768"
                          : ""));
  }
  need_bias(name, bias, weight.shape[0]);
  count_products(x.count(), weight.shape[0]);
  return run(Operation{name, ref::linear, fast::linear, eigen::linear}, x, weight, bias);
}

Tensor matmul(const Tensor& a, const Tensor& b) {
  const char* name = "matmul";
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
  return run(Operation{name, ref::matmul, fast::matmul, eigen::matmul}, a, b);
}

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options) {
  const char* name = "attention";
  check_attention(name, q, k, options);
  need_rank(name, "v", v, 4, "[N, heads, Tk, d]");
  if (v.shape() != k.shape()) {
    refuse(name, is("k", k.shape()) + " and " + is("v", v.shape()) + ", but the two must be equal");
  }
  if (trace::wants("probs")) trace::inner_value("probs", run(probs, q, k, options));
  count_products(2 * q.count(), k.shape()[2]);  // q k^T, and its softmax times v
  return run(Operation{name, ref::attention, fast::attention, eigen::attention, bands::attention}, q, k, v,
             options);
}

Tensor attention_probs(const Tensor& q, const Tensor& k, const AttentionOptions& options) {
  check_attention(probs.name, q, k, options);
  return run(probs, q, k, options);
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
  return run(Operation{name, ref::group_norm, fast::group_norm, nullptr, bands::group_norm}, x, weight, bias,
             groups, eps);
}

Tensor layer_norm(const Tensor& x, const Weight& weight, const Weight& bias, float eps) {
  const char* name = "layer_norm";
  need_values(name, "x", x);
  if (x.shape().rank() < 1) refuse(name, is("x", x.shape()) + ", but must be [..., C]");
  need_shape(name, "weight", weight, {x.shape()[-1]});
  need_shape(name, "bias", bias, {x.shape()[-1]});
  return run(Operation{name, ref::layer_norm, fast::layer_norm}, x, weight, bias, eps);
}

Tensor batch_norm(const Tensor& x, const Weight& weight, const Weight& bias, const Weight& running_mean,
                  const Weight& running_var, float eps) {
  const char* name = "batch_norm";
  need_picture(name, x);
  const Shape channels{x.shape()[1]};
  need_shape(name, "weight", weight, channels);
  need_shape(name, "bias", bias, channels);
  need_shape(name, "running_mean", running_mean, channels);
  need_shape(name, "running_var", running_var, channels);
  return run(Operation{name, ref::batch_norm, fast::batch_norm}, x, weight, bias, running_mean, running_var,
             eps);
}

Tensor softmax(const Tensor& x, int axis) {
  const int from_front = axis_from_front("softmax", x, axis);
  return run(Operation{"softmax", ref::softmax, fast::softmax}, x, from_front);
}

Tensor silu(const Tensor& x) { return run_on_each({"silu", ref::silu, fast::silu}, x); }
Tensor gelu(const Tensor& x) { return run_on_each({"gelu", ref::gelu, fast::gelu}, x); }
Tensor gelu_tanh(const Tensor& x) { return run_on_each({"gelu_tanh", ref::gelu_tanh, fast::gelu_tanh}, x); }
Tensor quick_gelu(const Tensor& x) {
  return run_on_each({"quick_gelu", ref::quick_gelu, fast::quick_gelu}, x);
}
Tensor relu(const Tensor& x) { return run_on_each({"relu", ref::relu, fast::relu}, x); }
Tensor sigmoid(const Tensor& x) { return run_on_each({"sigmoid", ref::sigmoid, fast::sigmoid}, x); }
Tensor tanh(const Tensor& x) { return run_on_each({"tanh", ref::tanh, fast::tanh}, x); }
Tensor softplus(const Tensor& x) { return run_on_each({"softplus", ref::softplus, fast::softplus}, x); }
Tensor exp(const Tensor& x) { return run_on_each({"exp", ref::exp, fast::exp}, x); }

Tensor leaky_relu(const Tensor& x, float negative_slope) {
  need_values("leaky_relu", "x", x);
  return run(Operation{"leaky_relu", ref::leaky_relu, fast::leaky_relu}, x, negative_slope);
}

Tensor clamp(const Tensor& x, float low, float high) {
  need_values("clamp", "x", x);
  return run(Operation{"clamp", ref::clamp, fast::clamp}, x, low, high);
}

Tensor geglu(const Tensor& x) {
  need_values("geglu", "x", x);
  if (x.shape().rank() < 1 || x.shape()[-1] % 2 != 0) {
    refuse("geglu", is("x", x.shape()) + ", but its last axis must be even: value and gate, half and half");
  }
  return run(Operation{"geglu", ref::geglu, fast::geglu}, x);
}

Tensor add(const Tensor& a, const Tensor& b) { return run_on_pairs({"add", ref::add, fast::add}, a, b); }
Tensor sub(const Tensor& a, const Tensor& b) { return run_on_pairs({"sub", ref::sub, fast::sub}, a, b); }
Tensor mul(const Tensor& a, const Tensor& b) { return run_on_pairs({"mul", ref::mul, fast::mul}, a, b); }

Tensor scale(const Tensor& x, float factor) {
  need_values("scale", "x", x);
  return run(Operation{"scale", ref::scale, fast::scale}, x, factor);
}

Tensor add_per_channel(const Tensor& x, const Tensor& shift) {
  const char* name = "add_per_channel";
  need_picture(name, x);
  need_rank(name, "shift", shift, 2, "[N, C]");
  if (shift.shape()[0] != x.shape()[0] || shift.shape()[1] != x.shape()[1]) {
    refuse(name, is("x", x.shape()) + " and " + is("shift", shift.shape()) + ", but N and C must be equal");
  }
  return run(Operation{name, ref::add_per_channel, fast::add_per_channel}, x, shift);
}

Tensor add_to_each(const Tensor& x, const Tensor& item) {
  const char* name = "add_to_each";
  need_values(name, "x", x);
  need_values(name, "item", item);
  if (x.shape().rank() < 1 || x.shape().with(0, 1) != item.shape()) {
    refuse(name, is("x", x.shape()) + " and " + is("item", item.shape()) +
                     ", but item must be one item of x's batch, [1, ...]");
  }
  return run(Operation{name, ref::add_to_each, fast::add_to_each}, x, item);
}

Tensor upsample_nearest(const Tensor& x, int64_t height, int64_t width) {
  const char* name = "upsample_nearest";
  need_picture(name, x);
  need_positive(name, "height", height);
  need_positive(name, "width", width);
  return run(Operation{name, ref::upsample_nearest, fast::upsample_nearest}, x, height, width);
}

Tensor upsample_bilinear(const Tensor& x, int64_t height, int64_t width, bool align_corners) {
  const char* name = "upsample_bilinear";
  need_picture(name, x);
  need_positive(name, "height", height);
  need_positive(name, "width", width);
  return run(Operation{name, ref::upsample_bilinear, fast::upsample_bilinear}, x, height, width,
             align_corners);
}

Tensor max_pool(const Tensor& x, int64_t size) {
  check_pool("max_pool", x, size);
  return run(Operation{"max_pool", ref::max_pool, fast::max_pool}, x, size);
}

Tensor avg_pool(const Tensor& x, int64_t size) {
  check_pool("avg_pool", x, size);
  return run(Operation{"avg_pool", ref::avg_pool, fast::avg_pool}, x, size);
}

Tensor pixel_unshuffle(const Tensor& x, int64_t factor) {
  const char* name = "pixel_unshuffle";
  need_picture(name, x);
  need_positive(name, "factor", factor);
  if (x.shape()[2] % factor != 0 || x.shape()[3] % factor != 0) {
    refuse(name,
           is("x", x.shape()) + ", but H and W must be multiples of the factor " + std::to_string(factor));
  }
  return run(Operation{name, ref::pixel_unshuffle, fast::pixel_unshuffle}, x, factor);
}

Tensor pad(const Tensor& x, const Padding& padding) {
  need_picture("pad", x);
  if (padding.left < 0 || padding.right < 0 || padding.top < 0 || padding.bottom < 0) {
    refuse("pad", "the padding is negative; use slice to cut");
  }
  return run(Operation{"pad", ref::pad, fast::pad}, x, padding);
}

Tensor concat(const std::vector<Tensor>& parts, int axis) {
  const char* name = "concat";
  if (parts.empty()) refuse(name, "there is nothing to join");
  const int from_front = axis_from_front(name, parts.front(), axis);
  for (const Tensor& part : parts) {
    need_values(name, "a part", part);
    if (part.shape().rank() != parts.front().shape().rank() ||
        part.shape().with(from_front, 1) != parts.front().shape().with(from_front, 1)) {
      refuse(name, is("one part", parts.front().shape()) + " and " + is("another", part.shape()) +
                       ", but all extents except axis " + std::to_string(from_front) + " must be equal");
    }
  }
  return run(Operation{name, ref::concat, fast::concat}, parts, from_front);
}

// A list made by the caller would send the debugger's `next` away: g++ counts it to the function's last line.
Tensor concat(const Tensor& a, const Tensor& b, int axis) { return concat(std::vector<Tensor>{a, b}, axis); }

Tensor slice(const Tensor& x, int axis, int64_t begin, int64_t end) {
  const char* name = "slice";
  const int from_front = axis_from_front(name, x, axis);
  if (begin < 0 || end <= begin || end > x.shape()[from_front]) {
    refuse(name, is("x", x.shape()) + ", of which positions " + std::to_string(begin) + " to " +
                     std::to_string(end) + " of axis " + std::to_string(from_front) + " cannot be taken");
  }
  return run(Operation{name, ref::slice, fast::slice}, x, from_front, begin, end);
}

Tensor to_tokens(const Tensor& x) {
  need_picture("to_tokens", x);
  return run(Operation{"to_tokens", ref::to_tokens, fast::to_tokens}, x);
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
  return run(Operation{name, ref::to_image, fast::to_image}, tokens, height, width);
}

Tensor split_heads(const Tensor& x, int64_t heads) {
  const char* name = "split_heads";
  need_rank(name, "x", x, 3, "[N, T, C]");
  need_positive(name, "heads", heads);
  if (x.shape()[2] % heads != 0) {
    refuse(name,
           is("x", x.shape()) + ", whose last axis does not divide into " + std::to_string(heads) + " heads");
  }
  return run(Operation{name, ref::split_heads, fast::split_heads}, x, heads);
}

Tensor merge_heads(const Tensor& x) {
  need_rank("merge_heads", "x", x, 4, "[N, heads, T, d]");
  return run(Operation{"merge_heads", ref::merge_heads, fast::merge_heads}, x);
}

Tensor embedding(const TokenIds& ids, const Weight& weight) {
  const char* name = "embedding";
  need_rank(name, "weight", weight, 2, "[vocabulary, C]");
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
  return run(Operation{name, ref::embedding, fast::embedding}, ids, weight);
}

Tensor timestep_embedding(std::span<const float> t, int64_t dim, const TimestepOptions& options) {
  const char* name = "timestep_embedding";
  if (t.empty()) refuse(name, "there is no time step");
  if (dim < 4) {
    refuse(name,
           "dim is " + std::to_string(dim) + ", but must be at least 4: sines and cosines, half and half");
  }
  return run(Operation{name, ref::timestep_embedding, fast::timestep_embedding}, t, dim, options);
}

}  // namespace cutaway
