// Every operation of tensor/ops.h, under the same name and with the same order of arguments.
#include "notebooks/module/arrays.h"
#include "notebooks/module/bindings.h"
#include "samplers/guidance.h"
#include "samplers/noise/torch_cpu.h"
#include "tensor/backend.h"
#include "tensor/error.h"
#include "tensor/files/png.h"

namespace cutaway::python {
namespace {

using namespace pybind11::literals;

// Arguments are converted before and results after: only the operation itself runs without the lock.
using Unlocked = py::call_guard<py::gil_scoped_release>;

void bind_matrix_products(py::module_& m) {
  m.def(
      "conv2d",
      [](const Tensor& x, const Weight& weight, const std::optional<Weight>& bias, int64_t stride,
         const Padding& padding, int64_t dilation, int64_t groups) {
        return conv2d(x, weight, bias,
                      {.stride = stride, .padding = padding, .dilation = dilation, .groups = groups});
      },
      "x"_a, "weight"_a, "bias"_a = py::none(), "stride"_a = 1, "padding"_a = Padding{}, "dilation"_a = 1,
      "groups"_a = 1, Unlocked(),
      "x [N, in, H, W], weight [out, in / groups, kh, kw], bias [out] -> [N, out, H', W'].\n"
      "padding: one number for all sides, or (left, right, top, bottom).");
  m.def(
      "conv_transpose2d",
      [](const Tensor& x, const Weight& weight, const std::optional<Weight>& bias, int64_t stride,
         int64_t padding) {
        return conv_transpose2d(x, weight, bias, {.stride = stride, .padding = padding});
      },
      "x"_a, "weight"_a, "bias"_a = py::none(), "stride"_a = 1, "padding"_a = 0, Unlocked(),
      "x [N, in, H, W], weight [in, out, kh, kw], bias [out] -> [N, out, (H - 1) stride - 2 padding + kh, "
      "...].");
  m.def("linear", &linear, "x"_a, "weight"_a, "bias"_a = py::none(), Unlocked(),
        "x [..., in], weight [out, in], bias [out] -> [..., out]: x W^T + b.");
  m.def("matmul", &matmul, "a"_a, "b"_a, Unlocked(), "a [..., m, k], b [..., k, n] -> [..., m, n].");
  const auto options = [](bool causal, const Tensor& mask) {
    return AttentionOptions{.causal = causal, .mask = mask.empty() ? nullptr : &mask};
  };
  m.def(
      "attention",
      [options](const Tensor& q, const Tensor& k, const Tensor& v, bool causal, const Tensor& mask) {
        return attention(q, k, v, options(causal, mask));
      },
      "q"_a, "k"_a, "v"_a, "causal"_a = false, "mask"_a = py::none(), Unlocked(),
      "q [N, heads, Tq, d], k and v [N, heads, Tk, d] -> [N, heads, Tq, d]: softmax(q k^T / sqrt(d) + mask) "
      "v.");
  m.def(
      "attention_probs",
      [options](const Tensor& q, const Tensor& k, bool causal, const Tensor& mask) {
        return attention_probs(q, k, options(causal, mask));
      },
      "q"_a, "k"_a, "causal"_a = false, "mask"_a = py::none(), Unlocked(),
      "The table alone, softmax(q k^T / sqrt(d) + mask): [N, heads, Tq, Tk]. Each row sums to 1.");
}

void bind_norms(py::module_& m) {
  m.def("group_norm", &group_norm, "x"_a, "weight"_a, "bias"_a, "groups"_a, "eps"_a, Unlocked(),
        "x [N, C, ...], weight and bias [C]: mean 0 and variance 1 in each group of channels, then scale and "
        "shift.");
  m.def("layer_norm", &layer_norm, "x"_a, "weight"_a, "bias"_a, "eps"_a = 1e-5F, Unlocked(),
        "x [..., C], weight and bias [C]: the same over the last axis.");
  m.def("batch_norm", &batch_norm, "x"_a, "weight"_a, "bias"_a, "running_mean"_a, "running_var"_a,
        "eps"_a = 1e-5F, Unlocked(), "x [N, C, H, W], all others [C]: as in evaluation.");
  m.def("softmax", &softmax, "x"_a, "axis"_a = -1, Unlocked(), "exp(x) / sum exp(x) along one axis.");
}

void bind_activations(py::module_& m) {
  m.def("silu", &silu, "x"_a, Unlocked(), "x sigmoid(x).");
  m.def("gelu", &gelu, "x"_a, Unlocked(), "x Phi(x), with the error function.");
  m.def("gelu_tanh", &gelu_tanh, "x"_a, Unlocked(), "gelu's approximation by tanh.");
  m.def("quick_gelu", &quick_gelu, "x"_a, Unlocked(), "x sigmoid(1.702 x), CLIP's.");
  m.def("relu", &relu, "x"_a, Unlocked());
  m.def("leaky_relu", &leaky_relu, "x"_a, "negative_slope"_a = 0.01F, Unlocked());
  m.def("sigmoid", &sigmoid, "x"_a, Unlocked());
  m.def("tanh", &cutaway::tanh, "x"_a, Unlocked());
  m.def("softplus", &softplus, "x"_a, Unlocked(), "log(1 + exp(x)); x itself above 20.");
  m.def("exp", &cutaway::exp, "x"_a, Unlocked());
  m.def("clamp", &clamp, "x"_a, "low"_a, "high"_a, Unlocked());
  m.def("geglu", &geglu, "x"_a, Unlocked(),
        "x [..., 2 d] -> [..., d]: the first half times gelu of the second half.");
}

void bind_elementwise(py::module_& m) {
  m.def("add", &add, "a"_a, "b"_a, Unlocked(), "Shapes must be equal: nothing is broadcast.");
  m.def("sub", &sub, "a"_a, "b"_a, Unlocked(), "Shapes must be equal: nothing is broadcast.");
  m.def("mul", &mul, "a"_a, "b"_a, Unlocked(), "Shapes must be equal: nothing is broadcast.");
  m.def("scale", &scale, "x"_a, "factor"_a, Unlocked());
  m.def("add_per_channel", &add_per_channel, "x"_a, "shift"_a, Unlocked(),
        "x [N, C, H, W], shift [N, C]: one shift per channel, the same for every pixel.");
  m.def("add_to_each", &add_to_each, "x"_a, "item"_a, Unlocked(),
        "x [N, ...], item [1, ...]: the same for each item of the batch.");
}

void bind_sizes(py::module_& m) {
  m.def("upsample_nearest", &upsample_nearest, "x"_a, "height"_a, "width"_a, Unlocked(),
        "x [N, C, H, W] -> [N, C, height, width].");
  m.def("upsample_bilinear", &upsample_bilinear, "x"_a, "height"_a, "width"_a, "align_corners"_a = false,
        Unlocked(), "x [N, C, H, W] -> [N, C, height, width], by straight lines between pixels.");
  m.def("max_pool", &max_pool, "x"_a, "size"_a = 2, Unlocked(), "The largest of size x size pixels.");
  m.def("avg_pool", &avg_pool, "x"_a, "size"_a = 2, Unlocked(), "The mean of size x size pixels.");
  m.def("pixel_unshuffle", &pixel_unshuffle, "x"_a, "factor"_a, Unlocked(),
        "x [N, C, H, W] -> [N, C f f, H / f, W / f].");
  m.def("pad", &pad, "x"_a, "padding"_a, Unlocked(), "x [N, C, H, W] with zeros around.");
}

void bind_layout(py::module_& m) {
  m.def("concat", py::overload_cast<const std::vector<Tensor>&, int>(&concat), "parts"_a, "axis"_a,
        Unlocked(), "Joins arrays along one axis.");
  m.def("slice", &slice, "x"_a, "axis"_a, "begin"_a, "end"_a, Unlocked(),
        "Positions [begin, end) of one axis.");
  m.def("to_tokens", &to_tokens, "x"_a, Unlocked(),
        "[N, C, H, W] -> [N, H W, C]: each pixel becomes a token.");
  m.def("to_image", &to_image, "tokens"_a, "height"_a, "width"_a, Unlocked(),
        "[N, H W, C] -> [N, C, H, W], the inverse of to_tokens.");
  m.def("split_heads", &split_heads, "x"_a, "heads"_a, Unlocked(), "[N, T, heads d] -> [N, heads, T, d].");
  m.def("merge_heads", &merge_heads, "x"_a, Unlocked(), "[N, heads, T, d] -> [N, T, heads d].");
}

void bind_embeddings(py::module_& m) {
  m.def("embedding", &embedding, "ids"_a, "weight"_a, Unlocked(),
        "ids [N, T], weight [vocabulary, C] -> [N, T, C].");
  m.def(
      "timestep_embedding",
      [](const py::object& t, int64_t dim, bool cos_first, float freq_shift, float max_period) {
        return timestep_embedding(
            to_timesteps(t), dim,
            {.cos_first = cos_first, .freq_shift = freq_shift, .max_period = max_period});
      },
      "t"_a, "dim"_a, "cos_first"_a = true, "freq_shift"_a = 0.0F, "max_period"_a = 1e4F,
      "Time steps, one per image, as waves: [N, dim].");
  m.def("guided", &guided, "without_prompt"_a, "with_prompt"_a, "guidance_scale"_a, Unlocked(),
        "Classifier-free guidance: without + guidance_scale (with - without).");
}

}  // namespace

void bind_operations(py::module_& m) {
  bind_matrix_products(m);
  bind_norms(m);
  bind_activations(m);
  bind_elementwise(m);
  bind_sizes(m);
  bind_layout(m);
  bind_embeddings(m);

  m.def(
      "randn",
      [](uint64_t seed, const std::vector<int64_t>& shape) {
        return TorchRandom(seed).randn(Shape(std::span<const int64_t>(shape)));
      },
      "seed"_a, "shape"_a,
      "Normal random numbers, to the last bit those of torch.manual_seed(seed); torch.randn(shape).");
  m.def(
      "rgb",
      [](const Tensor& picture, int64_t image) {
        const std::vector<unsigned char> pixels = to_rgb8(picture, image);
        py::array_t<unsigned char> rows({picture.shape()[2], picture.shape()[3], int64_t{3}});
        std::copy(pixels.begin(), pixels.end(), rows.mutable_data());
        return rows;
      },
      "picture"_a, "image"_a = 0,
      "One picture of [N, 3, H, W] with values from -1 to 1 as bytes [H, W, 3], ready for imshow.");
  m.def(
      "choose_backend", [](const std::string& choice) { choose_backend(choice); }, "choice"_a,
      "\"fast\", \"ref\" (plain loops), \"eigen\", or below a path: \"fast,unet.mid_block=ref\".");
  m.def("chosen_backend", &chosen_backend);
}

}  // namespace cutaway::python
