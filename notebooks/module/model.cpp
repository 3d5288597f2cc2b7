// cutaway.StableDiffusion: a model folder, its layers by path, and whole pictures.
#include <fnmatch.h>

#include <optional>

#include "notebooks/module/bindings.h"
#include "notebooks/module/layers.h"
#include "tensor/error.h"
#include "tensor/files/text.h"

namespace cutaway::python {
namespace {

using namespace pybind11::literals;

using ModelPtr = std::shared_ptr<const Model>;

// Parts of a model as Python sees them: each keeps the whole model alive.
struct LayerHandle {
  ModelPtr model;
  const Layer* layer;
};
struct TokenizerHandle {
  ModelPtr model;
  const Tokenizer& get() const { return model->parts.tokenizer; }
};
struct VaeHandle {
  ModelPtr model;
  const AutoencoderKL& get() const { return model->parts.vae; }
};

// ---- Weights

// As float32: a file may hold half precision, so this is a copy.
Tensor values_of(const Weight& weight) {
  Tensor values(weight.shape);
  weight.read(0, weight.shape.count(), values.mutable_data());
  return values;
}

py::object weight_at(const Model& model, const std::string& path) {
  for (const auto& [at, weight] : model.weights) {
    if (at == path) return to_array(values_of(*weight));
  }
  throw Error("there is no weight " + in_quotes(path) +
              "; weights(path of a layer) gives all of a layer by name");
}

// {"conv1.weight": array, ...}: all weights inside a layer, named as seen from it.
py::dict weights_in(const Model& model, const std::string& path) {
  const std::string below = model.layer(path).path + ".";
  py::dict weights;
  for (const auto& [at, weight] : model.weights) {
    if (at.starts_with(below)) weights[py::str(at.substr(below.size()))] = to_array(values_of(*weight));
  }
  return weights;
}

std::vector<std::string> paths_of(const Model& model, const std::string& pattern) {
  std::vector<std::string> paths;
  for (const Layer& layer : model.layers) {
    if (fnmatch(pattern.c_str(), layer.path.c_str(), 0) == 0) paths.push_back(layer.path);
  }
  return paths;
}

// ---- Pictures

void warn(const std::string& text) {
  const py::gil_scoped_acquire acquired;
  if (PyErr_WarnEx(PyExc_UserWarning, text.c_str(), 1) != 0) throw py::error_already_set();
}

// Between steps: Ctrl-C (or a notebook's stop button) ends the run, and the caller may look at the latent.
void between_steps(const Step& step, const std::optional<py::function>& on_step) {
  const py::gil_scoped_acquire acquired;
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  if (on_step) (*on_step)(step);
}

GenerateResult generate(const Model& model, const GenerateOptions& options,
                        const std::optional<py::function>& on_step) {
  GenerateEvents events;
  events.warning = warn;
  events.step = [&](const Step& step) { between_steps(step, on_step); };
  return without_gil([&] { return model.parts.generate(options, {}, events); });
}

void bind_pictures(py::module_& module) {
  py::class_<Step>(module, "Step", "Told to on_step after each step.")
      .def_readonly("index", &Step::index, "From 0 to count - 1.")
      .def_readonly("count", &Step::count)
      .def_readonly("t", &Step::t, "The time step that the UNet was asked at, in training steps.")
      .def_property_readonly(
          "latent", [](const Step& step) { return to_array(step.latent); }, "After the step: [N, 4, h, w].");
  py::class_<GenerateResult>(module, "Result")
      .def_property_readonly(
          "latent", [](const GenerateResult& r) { return to_array(r.latent); },
          "[N, 4, h, w], as the UNet sees it, that is, times scaling_factor.")
      .def_property_readonly(
          "picture", [](const GenerateResult& r) { return to_array(r.picture); },
          "[N, 3, H, W], about -1 to 1; cutaway.rgb makes bytes of it.");
}

// ---- Parts

void bind_parts(py::module_& module) {
  py::class_<LayerHandle>(module, "Layer", "A layer, called with arrays.")
      .def_property_readonly("path", [](const LayerHandle& self) { return self.layer->path; })
      .def_property_readonly(
          "kind", [](const LayerHandle& self) { return self.layer->kind; }, "The name of its struct in C++.")
      .def_property_readonly(
          "inputs", [](const LayerHandle& self) { return self.layer->inputs; }, "What it is called with.")
      .def_property_readonly(
          "settings", [](const LayerHandle& self) { return self.layer->settings.attr("copy")(); },
          "What the weights do not tell: eps, groups, heads, stride, padding.")
      .def(
          "weights", [](const LayerHandle& self) { return weights_in(*self.model, self.layer->path); },
          "All weights inside, by name, as float32.")
      .def("__call__",
           [](const LayerHandle& self, const py::args& args) { return self.layer->call(*self.layer, args); })
      .def("__repr__", [](const LayerHandle& self) {
        return "<" + self.layer->path + ": " + self.layer->kind + "(" + self.layer->inputs + ")>";
      });

  py::class_<TokenizerHandle>(module, "Tokenizer")
      .def(
          "encode",
          [](const TokenizerHandle& self, const std::string& text) { return self.get().encode(text); },
          "text"_a, "The text's token ids, without start and end.")
      .def(
          "encode_padded",
          [](const TokenizerHandle& self, const std::string& text) {
            return self.get().encode_padded(text).ids;
          },
          "text"_a, "Start, the tokens that fit, end, padding: as many as the text encoder takes.")
      .def(
          "token", [](const TokenizerHandle& self, int64_t id) { return self.get().token(id); }, "id"_a,
          "How the vocabulary writes a token; \"</w>\" ends a word.")
      .def_property_readonly("context_length",
                             [](const TokenizerHandle& self) { return self.get().context_length(); });

  py::class_<VaeHandle>(module, "VAE")
      .def(
          "encode",
          [](const VaeHandle& self, const Tensor& picture) {
            const LatentDistribution latent = without_gil([&] { return self.get().encode(picture); });
            return py::make_tuple(latent.mean, latent.std);
          },
          "picture"_a, "[N, 3, H, W] from -1 to 1 -> mean and std of its latent, before scaling_factor.")
      .def(
          "decode",
          [](const VaeHandle& self, const Tensor& latent) {
            return without_gil([&] { return self.get().decode(latent); });
          },
          "latent"_a, "[N, 4, h, w], before scaling_factor -> picture [N, 3, 8 h, 8 w], about -1 to 1.")
      .def_property_readonly(
          "scaling_factor", [](const VaeHandle& self) { return self.get().config.scaling_factor; },
          "The UNet sees latents times this.");
}

void bind_stable_diffusion(py::module_& module) {
  const auto part = [](const char* path) {
    return [path](const ModelPtr& self) { return LayerHandle{self, &self->layer(path)}; };
  };
  py::class_<Model, std::shared_ptr<Model>>(module, "StableDiffusion", "A model folder in diffusers layout.")
      .def_static(
          "load", [](const std::string& folder) { return std::make_shared<Model>(folder); }, "folder"_a)
      .def_property_readonly("tokenizer", [](const ModelPtr& self) { return TokenizerHandle{self}; })
      .def_property_readonly("text_encoder", part("text_encoder"), "ids [N, T] -> [N, T, width].")
      .def_property_readonly("unet", part("unet"),
                             "sample [N, 4, h, w], t, prompt [N, T, width] -> [N, 4, h, w].")
      .def_property_readonly("vae", [](const ModelPtr& self) { return VaeHandle{self}; })
      .def_property_readonly(
          "alphas_cumprod",
          [](const ModelPtr& self) {
            const std::vector<float> ab = NoiseSchedule(self->parts.scheduler).alphas_cumprod;
            return Tensor(Shape{static_cast<int64_t>(ab.size())}, ab);
          },
          "For each training time step, how much of the picture is left in the noise: alpha bar of DDPM.")
      .def(
          "layer",
          [](const ModelPtr& self, const std::string& path) {
            return LayerHandle{self, &self->layer(path)};
          },
          "path"_a)
      .def(
          "paths", [](const ModelPtr& self, const std::string& pattern) { return paths_of(*self, pattern); },
          "pattern"_a = "*", "The paths of all layers, in picture order; * stands for any text.")
      .def(
          "weight", [](const ModelPtr& self, const std::string& path) { return weight_at(*self, path); },
          "path"_a, "One weight, as float32.")
      .def(
          "weights", [](const ModelPtr& self, const std::string& path) { return weights_in(*self, path); },
          "path"_a, "All weights of a layer and the layers inside it, by name, as float32.")
      .def(
          "encode_prompt",
          [](const ModelPtr& self, const std::string& prompt, const std::string& weights, int64_t clip_skip) {
            const PromptRules rules{prompt_weights_named(weights), clip_skip};
            return without_gil([&] { return self->parts.encode_prompt(prompt, warn, rules); });
          },
          "prompt"_a, "weights"_a = "none", "clip_skip"_a = 1,
          "What the UNet sees of a prompt: [1, T, width]. weights: what brackets mean, none, webui or "
          "comfyui.")
      .def(
          "generate",
          [](const ModelPtr& self, const std::string& prompt, uint64_t seed, int steps, float cfg,
             const std::string& negative_prompt, const std::string& sampler, float eta, int64_t batch,
             int64_t width, int64_t height, const Tensor& start, const std::string& compat, int64_t clip_skip,
             const std::optional<py::function>& on_step, float cfg_rescale) {
            GenerateOptions options;
            options.prompt = prompt;
            options.negative_prompt = negative_prompt;
            options.sampler = &sampler_named(sampler);
            options.steps = steps;
            options.guidance_scale = cfg;
            options.guidance_rescale = cfg_rescale;
            options.eta = eta;
            options.seed = seed;
            options.batch = batch;
            options.width = width;
            options.height = height;
            options.compat = compat_of(compat);
            options.clip_skip = clip_skip;
            if (!start.empty()) options.start = start;
            return generate(*self, options, on_step);
          },
          "prompt"_a, "seed"_a = 0, "steps"_a = 20, "cfg"_a = 7.5F, "negative_prompt"_a = "",
          "sampler"_a = "ddim", "eta"_a = 0.0F, "batch"_a = 1, "width"_a = 0, "height"_a = 0,
          "start"_a = py::none(), "compat"_a = "diffusers", "clip_skip"_a = 1, "on_step"_a = py::none(),
          "cfg_rescale"_a = 0.0F,
          "Draws. compat: the program whose picture it shall be (diffusers, webui, comfyui, compvis). "
          "on_step is called with a Step after each step; an exception in it ends the run.");
}

}  // namespace

void bind_model(py::module_& module) {
  bind_pictures(module);
  bind_parts(module);
  bind_stable_diffusion(module);
}

}  // namespace cutaway::python
