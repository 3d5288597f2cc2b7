// Single operations against PyTorch's results:
// tests/reference/ops.safetensors, made by torch 1.13 and diffusers.
#include <functional>
#include <set>

#include "tensor/files/safetensors.h"
#include "tensor/ref/ops.h"
#include "tests/tensor/test_ops.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

// The inputs of one case, by name.
class Inputs {
 public:
  Inputs(const SafetensorsFile& file, std::string operation)
      : file_(file), operation_(std::move(operation)) {}
  Tensor tensor(const std::string& name) const { return stored(name).to_tensor(); }
  Weight weight(const std::string& name) const { return file_.weight(stored(name)); }
  std::optional<Weight> bias() const {
    const StoredTensor* found = file_.find(operation_ + "/in/bias");
    return found == nullptr ? std::nullopt : std::optional(file_.weight(*found));
  }
  std::vector<int64_t> integers(const std::string& name) const { return stored(name).to_integers(); }

 private:
  const StoredTensor& stored(const std::string& name) const { return file_.at(operation_ + "/in/" + name); }
  const SafetensorsFile& file_;
  std::string operation_;
};

struct ReferenceCase {
  std::string name;
  std::function<Tensor(const Inputs&)> run;
  double tolerance = 2e-6;  // relative to the largest value; torch's own float32 sums are off by up to 1e-6
};

std::function<Tensor(const Inputs&)> conv(const Conv2dOptions& options) {
  return [=](const Inputs& in) { return conv2d(in.tensor("x"), in.weight("weight"), in.bias(), options); };
}

std::function<Tensor(const Inputs&)> up_conv(const ConvTranspose2dOptions& options) {
  return [=](const Inputs& in) {
    return conv_transpose2d(in.tensor("x"), in.weight("weight"), in.bias(), options);
  };
}

std::function<Tensor(const Inputs&)> norm(int64_t groups, float eps) {
  return [=](const Inputs& in) {
    return group_norm(in.tensor("x"), in.weight("weight"), in.weight("bias"), groups, eps);
  };
}

std::function<Tensor(const Inputs&)> of_x(const std::function<Tensor(const Tensor&)>& run) {
  return [=](const Inputs& in) { return run(in.tensor("x")); };
}

std::function<Tensor(const Inputs&)> waves(int64_t dim, const TimestepOptions& options) {
  return [=](const Inputs& in) {
    std::vector<float> t;
    for (const int64_t step : in.integers("t")) t.push_back(static_cast<float>(step));
    return timestep_embedding(t, dim, options);
  };
}

std::function<Tensor(const Inputs&)> attend(bool causal) {
  return [=](const Inputs& in) {
    return attention(in.tensor("q"), in.tensor("k"), in.tensor("v"), {.causal = causal});
  };
}

Tensor attend_masked(const Inputs& in) {
  const Tensor mask = in.tensor("mask");
  return attention(in.tensor("q"), in.tensor("k"), in.tensor("v"), {.mask = &mask});
}

Tensor linear_of(const Inputs& in) { return linear(in.tensor("x"), in.weight("weight"), in.bias()); }

Tensor layer_norm_of(const Inputs& in) {
  return layer_norm(in.tensor("x"), in.weight("weight"), in.weight("bias"), 1e-5F);
}

Tensor batch_norm_of(const Inputs& in) {
  return batch_norm(in.tensor("x"), in.weight("weight"), in.weight("bias"), in.weight("running_mean"),
                    in.weight("running_var"), 1e-5F);
}

// At 1000 a float32 has steps of 6e-5, and torch rounds the mean to one: 8e-5 off, of 4.
constexpr double far_from_zero = 5e-5;
// The angle t f is a float32; at 999 the exponential's last digit moves it by one or two steps of 6e-5.
constexpr double angle = 1.3e-4;

std::vector<ReferenceCase> convolution_cases() {
  const Padding one = Padding::all(1);
  return {
      {"conv2d_3x3_pad1", conv({.padding = one})},
      {"conv2d_3x3_pad1_nobias", conv({.padding = one})},
      {"conv2d_3x3_stride2_pad1", conv({.stride = 2, .padding = one})},
      {"conv2d_3x3_stride2_pad1_odd", conv({.stride = 2, .padding = one})},
      {"conv2d_1x1", conv({})},
      {"conv2d_3x3_stride2_asym_pad_vae", conv({.stride = 2, .padding = {.right = 1, .bottom = 1}})},
      {"conv2d_3x3_valid", conv({})},
      {"conv2d_3x3_groups", conv({.padding = one, .groups = 4})},
      {"conv2d_3x3_depthwise", conv({.padding = one, .groups = 8})},
      {"conv2d_3x3_dilation2", conv({.padding = Padding::all(2), .dilation = 2})},
      {"conv2d_5x5_pad2", conv({.padding = Padding::all(2)})},
      {"conv2d_patch_14x14_stride14", conv({.stride = 14})},
      {"conv2d_1x1_on_1x1", conv({})},
      {"conv2d_3x3_pad1_1ch_wide", conv({.padding = one})},
      {"conv_transpose2d_2x2_stride2", up_conv({.stride = 2})},
      {"conv_transpose2d_4x4_stride2_pad1", up_conv({.stride = 2, .padding = 1})},
      {"linear", linear_of},
      {"linear_nobias", linear_of},
      {"matmul", [](const Inputs& in) { return matmul(in.tensor("a"), in.tensor("b")); }},
      {"attention_self", attend(false)},
      {"attention_cross_77", attend(false)},
      {"attention_d40", attend(false)},
      {"attention_causal", attend(true)},
      {"attention_additive_mask", attend_masked},
  };
}

std::vector<ReferenceCase> norm_and_value_cases() {
  return {
      {"group_norm_g32_c64_eps1e-05", norm(32, 1e-5F)},
      {"group_norm_g32_c64_eps1e-06", norm(32, 1e-6F)},
      {"group_norm_g32_c32_eps1e-05", norm(32, 1e-5F)},
      {"group_norm_g32_c96_eps1e-05", norm(32, 1e-5F)},
      {"group_norm_offset1000", norm(8, 1e-5F), far_from_zero},
      {"group_norm_small_input_eps1e-05", norm(8, 1e-5F)},
      {"group_norm_small_input_eps1e-06", norm(8, 1e-6F)},
      {"layer_norm_small_input", layer_norm_of},
      {"layer_norm", layer_norm_of},
      {"layer_norm_offset1000", layer_norm_of, far_from_zero},
      {"batch_norm_eval", batch_norm_of},
      {"silu", of_x(silu)},
      {"gelu_erf", of_x(gelu)},
      {"gelu_tanh", of_x(gelu_tanh)},
      {"quick_gelu", of_x(quick_gelu)},
      {"relu", of_x(relu)},
      {"leaky_relu_0.2", of_x([](const Tensor& x) { return leaky_relu(x, 0.2F); })},
      {"sigmoid", of_x(sigmoid)},
      {"tanh", of_x([](const Tensor& x) { return cutaway::tanh(x); })},
      {"softplus", of_x(softplus)},
      {"geglu", [](const Inputs& in) { return geglu(linear_of(in)); }},
      {"softmax_last", of_x([](const Tensor& x) { return softmax(x); })},
      {"softmax_large", of_x([](const Tensor& x) { return softmax(x); })},
      {"softmax_dim1", of_x([](const Tensor& x) { return softmax(x, 1); })},
      {"softmax_masked", [](const Inputs& in) { return softmax(add(in.tensor("x"), in.tensor("mask"))); }},
  };
}

std::vector<ReferenceCase> size_and_layout_cases() {
  const auto bilinear = [](int64_t height, int64_t width, bool align_corners) {
    return of_x([=](const Tensor& x) {
      const bool twice = height == 0;
      return upsample_bilinear(x, twice ? 2 * x.shape()[2] : height, twice ? 2 * x.shape()[3] : width,
                               align_corners);
    });
  };
  return {
      {"upsample_nearest_x2",
       of_x([](const Tensor& x) { return upsample_nearest(x, 2 * x.shape()[2], 2 * x.shape()[3]); })},
      {"upsample_nearest_to_size", of_x([](const Tensor& x) { return upsample_nearest(x, 7, 9); })},
      {"upsample_bilinear_x2", bilinear(0, 0, false)},
      {"upsample_bilinear_x2_align_corners", bilinear(0, 0, true)},
      {"resize_bilinear_down", bilinear(6, 7, false)},
      {"max_pool_2x2", of_x([](const Tensor& x) { return max_pool(x); })},
      {"max_pool_2x2_odd", of_x([](const Tensor& x) { return max_pool(x); })},
      {"avg_pool_2x2", of_x([](const Tensor& x) { return avg_pool(x); })},
      {"pixel_unshuffle_8", of_x([](const Tensor& x) { return pixel_unshuffle(x, 8); })},
      {"cat_channels",
       [](const Inputs& in) {
         return concat({in.tensor("a"), in.tensor("b")}, 1);
       }},
      {"permute_nchw_to_tokens", of_x(to_tokens)},
      {"embedding",
       [](const Inputs& in) {
         return embedding({2, 5, in.integers("ids")}, in.weight("weight"));
       }},
      {"timestep_embedding_320_flip1_shift0", waves(320, {}), angle},
      {"timestep_embedding_32_flip1_shift0", waves(32, {}), angle},
      {"timestep_embedding_32_flip0_shift1", waves(32, {.cos_first = false, .freq_shift = 1}), angle},
      {"timestep_embedding_32_flip0_shift0", waves(32, {.cos_first = false}), angle},
  };
}

std::vector<ReferenceCase> all_cases() {
  std::vector<ReferenceCase> all = convolution_cases();
  for (const auto& more : {norm_and_value_cases(), size_and_layout_cases()}) {
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

const SafetensorsFile& reference_file() {
  static const SafetensorsFile file =
      SafetensorsFile::open(CUTAWAY_SOURCE_DIR "/tests/reference/ops.safetensors");
  return file;
}

}  // namespace

TEST_CASE("operations against PyTorch, with every version") {
  const std::string before = chosen_backend();
  for (const ReferenceCase& c : all_cases()) {
    CAPTURE(c.name);
    const Tensor expected = reference_file().at(c.name + "/out/y").to_tensor();
    for (const char* backend : {"ref", "fast", "eigen"}) {
      CAPTURE(std::string(backend));
      choose_backend(backend);
      CHECK_CLOSE(c.run(Inputs(reference_file(), c.name)), expected, c.tolerance * largest_of(expected));
    }
  }
  choose_backend(before);
}

TEST_CASE("operations against PyTorch: no case of the file is left out") {
  std::set<std::string> in_file, here;
  for (const StoredTensor& stored : reference_file().tensors())
    in_file.insert(stored.name.substr(0, stored.name.find('/')));
  for (const ReferenceCase& c : all_cases()) here.insert(c.name);
  CHECK(here == in_file);
}
