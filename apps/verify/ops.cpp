// Cases of single operations: the operation is the one whose name the case's begins with.
#include <cmath>
#include <map>

#include "apps/verify/cases.h"
#include "tensor/error.h"
#include "tensor/files/text.h"
#include "tensor/ops.h"

namespace cutaway::verify {
namespace {

// One case of ops.safetensors: "<op>/in/x", "<op>/out/y".
class Operands {
 public:
  Operands(const SafetensorsFile& file, const FileEntry& entry, std::string op)
      : file_(file), entry_(entry), op_(std::move(op)) {}

  bool has(const std::string& name) const { return file_.find(op_ + "/in/" + name) != nullptr; }
  const StoredTensor& stored(const std::string& name) const { return file_.at(op_ + "/in/" + name); }
  Tensor tensor(const std::string& name) const { return stored(name).to_tensor(); }
  Weight weight(const std::string& name) const { return Weight::of(tensor(name), op_ + " " + name); }
  std::optional<Weight> bias() const { return has("bias") ? std::optional(weight("bias")) : std::nullopt; }
  Params params() const { return entry_.params.object(op_); }
  /// Height and width of the result: in the params, else the reference's own.
  std::pair<int64_t, int64_t> size() const {
    const std::vector<int64_t> size = params().integers("size");
    if (size.size() == 2) return {size[0], size[1]};
    const std::vector<int64_t>& shape = file_.at(op_ + "/out/y").shape;
    if (shape.size() != 4) throw Error(op_ + ": the reference's result must be [N, C, H, W]");
    return {shape[2], shape[3]};
  }

 private:
  const SafetensorsFile& file_;
  const FileEntry& entry_;
  std::string op_;
};

using Results = std::map<std::string, Tensor>;
using Operation = Results (*)(const Operands&);

Results y(Tensor result) { return {{"y", std::move(result)}}; }

template <Tensor (*function)(const Tensor&)>
Results of_x(const Operands& in) {
  return y(function(in.tensor("x")));
}

Results run_conv2d(const Operands& in) {
  const Params params = in.params();
  const int64_t all = params.integer("padding", 0);
  Padding padding = Padding::all(all);
  const std::vector<int64_t> before = params.integers("pad_left_right_top_bottom_before");
  if (before.size() == 4) {  // zeros by hand, then the convolution's own
    padding = {all + before[0], all + before[1], all + before[2], all + before[3]};
  }
  return y(conv2d(in.tensor("x"), in.weight("weight"), in.bias(),
                  {.stride = params.integer("stride", 1),
                   .padding = padding,
                   .dilation = params.integer("dilation", 1),
                   .groups = params.integer("groups", 1)}));
}

Results run_conv_transpose2d(const Operands& in) {
  const Params params = in.params();
  return y(
      conv_transpose2d(in.tensor("x"), in.weight("weight"), in.bias(),
                       {.stride = params.integer("stride", 1), .padding = params.integer("padding", 0)}));
}

Results run_linear(const Operands& in) { return y(linear(in.tensor("x"), in.weight("weight"), in.bias())); }

float eps_of(const Operands& in) { return static_cast<float>(in.params().number("eps", 1e-5)); }

Results run_group_norm(const Operands& in) {
  return y(group_norm(in.tensor("x"), in.weight("weight"), in.weight("bias"),
                      in.params().integer("groups", 32), eps_of(in)));
}

Results run_layer_norm(const Operands& in) {
  return y(layer_norm(in.tensor("x"), in.weight("weight"), in.weight("bias"), eps_of(in)));
}

Results run_batch_norm(const Operands& in) {
  return y(batch_norm(in.tensor("x"), in.weight("weight"), in.weight("bias"), in.weight("running_mean"),
                      in.weight("running_var"), eps_of(in)));
}

Results run_leaky_relu(const Operands& in) {
  return y(leaky_relu(in.tensor("x"), static_cast<float>(in.params().number("negative_slope", 0.01))));
}

Results run_clamp(const Operands& in) {
  const Params params = in.params();
  return y(clamp(in.tensor("x"), static_cast<float>(params.number("min", -INFINITY)),
                 static_cast<float>(params.number("max", INFINITY))));
}

Results run_geglu(const Operands& in) {
  if (!in.has("weight")) return of_x<geglu>(in);
  return y(geglu(linear(in.tensor("x"), in.weight("weight"), in.bias())));
}

Results run_softmax(const Operands& in) {
  Tensor x = in.tensor("x");
  if (in.has("mask")) x = add(x, in.tensor("mask"));
  const int64_t axis = in.params().integer("dim", -1);
  if (axis < -Shape::max_rank || axis >= Shape::max_rank) in.params().refuse("dim", "must be an axis of x");
  return y(softmax(x, static_cast<int>(axis)));
}

Results run_attention(const Operands& in) {
  const Tensor q = in.tensor("q"), k = in.tensor("k"), v = in.tensor("v");
  AttentionOptions options;
  Tensor mask;
  if (in.has("mask")) {
    mask = in.tensor("mask");
    if (mask.shape().rank() == 2) mask = mask.reshaped({1, 1, mask.shape()[0], mask.shape()[1]});
    options.mask = &mask;
  } else {
    const std::string what = in.params().has("mask") ? in.params().text("mask") : "";
    options.causal = what.starts_with("causal") || in.params().flag("causal", false);
  }
  return {{"probs", attention_probs(q, k, options)}, {"y", attention(q, k, v, options)}};
}

Results run_upsample_nearest(const Operands& in) {
  const auto [height, width] = in.size();
  return y(upsample_nearest(in.tensor("x"), height, width));
}

Results run_bilinear(const Operands& in) {
  const auto [height, width] = in.size();
  if (in.params().flag("antialias", false)) throw NotBuilt("resizing with antialias is not built yet");
  return y(upsample_bilinear(in.tensor("x"), height, width, in.params().flag("align_corners", false)));
}

Results run_max_pool(const Operands& in) {
  return y(max_pool(in.tensor("x"), in.params().integer("size", 2)));
}
Results run_avg_pool(const Operands& in) {
  return y(avg_pool(in.tensor("x"), in.params().integer("size", 2)));
}
Results run_pixel_unshuffle(const Operands& in) {
  return y(pixel_unshuffle(in.tensor("x"), in.params().integer("factor", 2)));
}

Results run_concat(const Operands& in) {
  std::vector<Tensor> parts;
  for (char name = 'a'; name <= 'z' && in.has(std::string(1, name)); ++name) {
    parts.push_back(in.tensor(std::string(1, name)));
  }
  return y(concat(parts, static_cast<int>(in.params().integer("dim", 1))));
}

Results run_embedding(const Operands& in) {
  const StoredTensor& ids = in.stored("ids");
  if (ids.shape.size() != 2) throw Error("token ids must be [N, T], but are " + to_string(ids.shape));
  return y(embedding({.batch = ids.shape[0], .length = ids.shape[1], .ids = ids.to_integers()},
                     in.weight("weight")));
}

Results run_matmul(const Operands& in) { return y(matmul(in.tensor("a"), in.tensor("b"))); }
Results run_add(const Operands& in) { return y(add(in.tensor("a"), in.tensor("b"))); }
Results run_mul(const Operands& in) { return y(mul(in.tensor("a"), in.tensor("b"))); }

Results run_timestep_embedding(const Operands& in) {
  const StoredTensor& stored = in.stored("t");
  std::vector<float> t;
  if (stored.dtype.starts_with("F")) {
    t = stored.to_floats();
  } else {
    for (const int64_t step : stored.to_integers()) t.push_back(static_cast<float>(step));
  }
  const Params params = in.params();
  TimestepOptions options;
  options.cos_first = params.flag("flip_sin_to_cos", options.cos_first);
  options.freq_shift = static_cast<float>(params.number("downscale_freq_shift", options.freq_shift));
  options.max_period = static_cast<float>(params.number("max_period", options.max_period));
  return y(timestep_embedding(t, params.integer("dim", 320), options));
}

const std::map<std::string, Operation>& operations() {
  static const std::map<std::string, Operation> table = {
      {"add", run_add},
      {"attention", run_attention},
      {"avg_pool", run_avg_pool},
      {"batch_norm", run_batch_norm},
      {"cat", run_concat},
      {"clamp", run_clamp},
      {"conv2d", run_conv2d},
      {"conv_transpose2d", run_conv_transpose2d},
      {"embedding", run_embedding},
      {"exp", of_x<exp>},
      {"geglu", run_geglu},
      {"gelu", of_x<gelu>},
      {"gelu_erf", of_x<gelu>},
      {"gelu_tanh", of_x<gelu_tanh>},
      {"group_norm", run_group_norm},
      {"layer_norm", run_layer_norm},
      {"leaky_relu", run_leaky_relu},
      {"linear", run_linear},
      {"matmul", run_matmul},
      {"max_pool", run_max_pool},
      {"mul", run_mul},
      {"permute_nchw_to_tokens", of_x<to_tokens>},
      {"pixel_unshuffle", run_pixel_unshuffle},
      {"quick_gelu", of_x<quick_gelu>},
      {"relu", of_x<relu>},
      {"resize_bilinear", run_bilinear},
      {"sigmoid", of_x<sigmoid>},
      {"silu", of_x<silu>},
      {"softmax", run_softmax},
      {"softplus", of_x<softplus>},
      {"tanh", of_x<tanh>},
      {"timestep_embedding", run_timestep_embedding},
      {"upsample_bilinear", run_bilinear},
      {"upsample_nearest", run_upsample_nearest},
  };
  return table;
}

// The operation with the longest name that `part` is, or begins with before an underscore.
Operation operation_named(const std::string& part) {
  Operation best = nullptr;
  size_t longest = 0;
  for (const auto& [name, operation] : operations()) {
    if ((part == name || part.starts_with(name + "_")) && name.size() > longest) {
      best = operation;
      longest = name.size();
    }
  }
  if (!best) throw NotBuilt("there is no operation for " + in_quotes(part));
  return best;
}

}  // namespace

Comparisons run_operation(const Case& the_case) {
  const FileEntry& entry = *the_case.entry;
  const Operation operation = operation_named(the_case.part);
  const SafetensorsFile file = SafetensorsFile::open(the_case.path());
  check_against_manifest(file, entry);
  const Results results = operation(Operands(file, entry, the_case.part));
  Comparisons comparisons;
  for (const TensorEntry& expected : entry.tensors) {
    const NameParts parts = parts_of(expected.name);
    if (parts.tag != the_case.part || expected.role != Role::output) continue;
    const auto result = results.find(parts.rest);
    comparisons.push_back(
        result == results.end()
            ? not_compared(expected.name, "no such value: the operation gives none of that name")
            : compare_with(file, expected, result->second, false));
  }
  return comparisons;
}

}  // namespace cutaway::verify
