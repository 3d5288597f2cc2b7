#include "notebooks/module/layers.h"

#include <cxxabi.h>

#include <charconv>
#include <cstdlib>

#include "tensor/error.h"
#include "tensor/files/text.h"

namespace cutaway::python {
namespace {

template <class Part>
std::string kind_of() {
  char* name = abi::__cxa_demangle(typeid(Part).name(), nullptr, nullptr, nullptr);
  const std::string full = name == nullptr ? typeid(Part).name() : name;
  std::free(name);
  return full.substr(full.rfind(':') + 1);
}

// The float 1e-5 as Python's 1e-05, not as 9.999999747378752e-06.
double as_written(float value) {
  char text[32];
  *std::to_chars(text, text + sizeof text - 1, value).ptr = '\0';
  return std::strtod(text, nullptr);
}

template <class Part>
py::dict settings_of(const Part& part) {
  py::dict settings;
  if constexpr (requires { part.groups; }) settings["groups"] = part.groups;
  if constexpr (requires { part.eps; }) settings["eps"] = as_written(part.eps);
  if constexpr (requires { part.heads; }) settings["heads"] = part.heads;
  if constexpr (requires { part.options.stride; }) {
    settings["stride"] = part.options.stride;
    settings["padding"] = part.options.padding;
  }
  return settings;
}

// The arguments of one call, counted against what the layer takes.
class Arguments {
 public:
  Arguments(const Layer& layer, const py::args& args, size_t least, size_t most) : args_(args) {
    if (args.size() >= least && args.size() <= most) return;
    const std::string needed = std::to_string(least) + (most > least ? " or " + std::to_string(most) : "");
    throw Error(layer.path + " is a " + layer.kind + " and takes " + needed + " inputs (" + layer.inputs +
                "), but " + std::to_string(args.size()) + " were given");
  }
  size_t count() const { return args_.size(); }
  py::object object(size_t i) const { return args_[i]; }
  Tensor tensor(size_t i) const { return i < args_.size() ? to_tensor(args_[i]) : Tensor(); }
  // A network looks at the shape before any operation does, and an empty tensor has none.
  Tensor image(const Layer& layer, size_t i) const {
    Tensor x = tensor(i);
    if (x.empty() || x.shape().rank() != 4)
      throw Error(layer.path + ": x is " + (x.empty() ? "None" : to_string(x.shape())) +
                  ", but must be [N, C, H, W]");
    return x;
  }

 private:
  const py::args& args_;
};

std::vector<Tensor> to_tensors(const py::object& list) {
  if (!py::isinstance<py::sequence>(list) || py::isinstance<py::str>(list))
    throw Error("skips must be a list of arrays");
  std::vector<Tensor> tensors;
  for (const py::handle& item : list) tensors.push_back(to_tensor(item));
  return tensors;
}

using Call = std::function<py::object(const Layer&, const py::args&)>;
struct Signature {
  const char* inputs;
  Call call;
};

Signature signature(const sd::DownBlock& part) {
  return {"h, temb, prompt -> h, skips", [&part](const Layer& layer, const py::args& args) -> py::object {
            const Arguments given(layer, args, 3, 3);
            std::vector<Tensor> skips;
            const Tensor h = given.tensor(0), temb = given.tensor(1), prompt = given.tensor(2);
            const Tensor y = without_gil([&] { return part(h, temb, prompt, skips); });
            return py::make_tuple(y, skips);
          }};
}

Signature signature(const sd::UpBlock& part) {
  return {"h, temb, prompt, skips", [&part](const Layer& layer, const py::args& args) -> py::object {
            const Arguments given(layer, args, 4, 4);
            std::vector<Tensor> skips = to_tensors(given.object(3));
            const Tensor h = given.tensor(0), temb = given.tensor(1), prompt = given.tensor(2);
            return to_array(without_gil([&] { return part(h, temb, prompt, skips); }));
          }};
}

Signature signature(const UNet& part) {
  return {"sample, t, prompt", [&part](const Layer& layer, const py::args& args) -> py::object {
            const Arguments given(layer, args, 3, 3);
            const Tensor sample = given.image(layer, 0), prompt = given.tensor(2);
            const std::vector<float> t = to_timesteps(given.object(1), sample.shape()[0]);
            return to_array(without_gil([&] { return part(sample, t, prompt); }));
          }};
}

Signature signature(const Upsample& part) {
  return {"x", [&part](const Layer& layer, const py::args& args) -> py::object {
            const Arguments given(layer, args, 1, 3);
            const Tensor x = given.image(layer, 0);
            if (given.count() == 1) return to_array(without_gil([&] { return part(x); }));
            if (given.count() == 2) throw Error(layer.path + " takes x, or x, height, width");
            const auto height = given.object(1).cast<int64_t>(), width = given.object(2).cast<int64_t>();
            return to_array(without_gil([&] { return part(x, height, width); }));
          }};
}

// All others differ only in how many tensors they take, or take token ids.
template <class Part>
Signature signature(const Part& part) {
  constexpr bool one = std::is_invocable_v<const Part&, Tensor>;
  constexpr bool two = std::is_invocable_v<const Part&, Tensor, Tensor>;
  if constexpr (std::is_invocable_v<const Part&, Tensor, Tensor, Tensor>) {
    return {"h, temb, prompt", [&part](const Layer& layer, const py::args& args) -> py::object {
              const Arguments given(layer, args, 3, 3);
              const Tensor h = given.tensor(0), temb = given.tensor(1), prompt = given.tensor(2);
              return to_array(without_gil([&] { return part(h, temb, prompt); }));
            }};
  } else if constexpr (two) {
    constexpr bool time_may_be_missing = one;  // ResBlock: the VAE's have no time step
    constexpr bool attention = std::is_same_v<Part, CrossAttention>;
    return {time_may_be_missing ? "x, temb"
            : attention         ? "x, context"
                                : "x, prompt",
            [&part](const Layer& layer, const py::args& args) -> py::object {
              const Arguments given(layer, args, time_may_be_missing ? 1 : 2, 2);
              const Tensor x = given.tensor(0), second = given.tensor(1);
              return to_array(without_gil([&] { return part(x, second); }));
            }};
  } else if constexpr (one) {
    return {"x", [&part](const Layer& layer, const py::args& args) -> py::object {
              const Arguments given(layer, args, 1, 1);
              const Tensor x = given.tensor(0);
              return to_array(without_gil([&] { return part(x); }));
            }};
  } else if constexpr (std::is_invocable_v<const Part&, Tensor, int64_t>) {
    return {"x", [&part](const Layer& layer, const py::args& args) -> py::object {
              const Arguments given(layer, args, 1, 1);
              const Tensor x = given.tensor(0);
              return to_array(without_gil([&] { return part(x, 0); }));
            }};
  } else if constexpr (std::is_invocable_v<const Part&, TokenIds>) {
    return {"ids", [&part](const Layer& layer, const py::args& args) -> py::object {
              const Arguments given(layer, args, 1, 1);
              const TokenIds ids = to_token_ids(given.object(0));
              return to_array(without_gil([&] { return part(ids); }));
            }};
  } else if constexpr (std::is_invocable_v<const Part&, TokenIds, int64_t>) {
    return {"ids", [&part](const Layer& layer, const py::args& args) -> py::object {
              const Arguments given(layer, args, 1, 1);
              const TokenIds ids = to_token_ids(given.object(0));
              return to_array(without_gil([&] { return part(ids, 0); }));
            }};
  } else {
    static_assert(std::is_same_v<Part, AutoencoderKL>, "say how this layer is called");
    return {"", [](const Layer&, const py::args&) -> py::object {
              throw Error("the VAE is two networks: use vae.encode(picture) or vae.decode(latent)");
            }};
  }
}

template <class Network>
void add_layers(Network& network, const std::string& name, std::vector<Layer>& layers) {
  for_each_module(network, name, [&](const std::string& path, const auto& part) {
    using Part = std::remove_cvref_t<decltype(part)>;
    const Signature how = signature(part);
    layers.push_back({path, kind_of<Part>(), how.inputs, settings_of(part), how.call});
  });
}

}  // namespace

Model::Model(const std::string& folder) : parts(without_gil([&] { return StableDiffusion::load(folder); })) {
  parts.each([&](const char* name, auto& network) { add_layers(network, name, layers); });
  for_each_weight(
      parts, "", [&](const std::string& path, const Weight& weight) { weights.emplace_back(path, &weight); });
  for (size_t i = 0; i < layers.size(); ++i) by_path_[layers[i].path] = i;
}

const Layer& Model::layer(const std::string& path) const {
  const auto found = by_path_.find(path);
  if (found != by_path_.end()) return layers[found->second];

  const auto outer = [&](const std::string& inner) {  // the layer around it, "" around a network
    std::string at = inner;
    do at.erase(at.rfind('.') == std::string::npos ? 0 : at.rfind('.'));
    while (!at.empty() && !by_path_.contains(at));
    return at;
  };
  const std::string known = outer(path);
  std::string inside;
  for (const Layer& layer : layers) {
    if (outer(layer.path) == known) inside += (inside.empty() ? "" : ", ") + layer.path;
  }
  throw Error("there is no layer " + in_quotes(path) + "; " + (known.empty() ? "the model" : known) +
              (inside.empty() ? " has no layers inside" : " has " + inside));
}

}  // namespace cutaway::python
