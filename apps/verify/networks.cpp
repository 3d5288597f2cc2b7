// Whole networks.
#include "apps/verify/cases.h"
#include "apps/verify/fixture.h"
#include "models/checkpoints/config.h"
#include "nn/formula_weights.h"
#include "tensor/error.h"
#include "tensor/ops.h"

namespace cutaway::verify {
namespace {

// An input of the file, or with formula weights one that the formula makes from its name.
Tensor input_or_formula(const Inputs& in, const std::string& name, const Shape& shape, bool formula) {
  return formula && !in.has(name) ? formula_input("in/" + name, shape) : in.tensor(name);
}

// What a run of the VAE begins with: the inputs of the file. With formula weights and no input of its own, a
// run that has a picture among its outputs decodes, and one that has moments encodes.
struct VaeInputs {
  Tensor latent, image;
};

VaeInputs vae_inputs(const VaeConfig& config, const Inputs& in, bool formula) {
  VaeInputs inputs;
  for (const std::string& name : in.names()) {
    const Tensor x = in.tensor(name);
    const bool is_image =
        name == "image" || (x.shape().rank() == 4 && x.shape()[1] != config.latent_channels);
    (is_image ? inputs.image : inputs.latent) = x;
  }
  if (!formula || !inputs.latent.empty() || !inputs.image.empty()) return inputs;
  for (const std::string& name : in.outputs()) {
    const Shape shape = in.output_shape(name);
    if (shape.rank() != 4) continue;
    const int64_t height = shape[2], width = shape[3], scale = config.scale();
    if (shape[1] == config.out_channels) {
      inputs.latent =
          formula_input("in/latent", {shape[0], config.latent_channels, height / scale, width / scale});
    } else {
      inputs.image = formula_input("in/image", {shape[0], config.in_channels, height * scale, width * scale});
    }
  }
  return inputs;
}

// The channels of the latent, the mask and the masked latent, as far as the case has them.
Tensor joined_sample(const Inputs& in) {
  std::vector<Tensor> parts = {in.tensor("sample")};
  for (const char* name : {"mask", "masked_latent"}) {
    if (in.has(name)) parts.push_back(in.tensor(name));
  }
  return parts.size() == 1 ? parts.front() : concat(parts, 1);
}

Fixture sd_unet(const LayerSpec& b) {
  UNetConfig config = unet_config(b.config.values(), b.config.where());
  const bool formula = b.entry.weights == "formula";
  // An inpainting network is its base's but for the channels that go in.
  if (b.entry.kind == "inpainting") config.in_channels = b.weights.shape("conv_in.weight")[1];
  return fixture_of(UNet(config), b.source, [config, formula](const UNet& unet, const Inputs& in) {
    const std::vector<std::string> names = in.outputs();
    const std::string output = names.empty() ? "sample" : names.front();  // "sample", or "" for the only one
    Tensor sample, prompt;
    if (formula) {
      const Shape shape = in.output_shape(output).with(1, config.in_channels);
      sample = input_or_formula(in, "sample", shape, true);
      prompt = input_or_formula(in, "encoder_hidden_states",
                                {sample.shape()[0], 77, config.cross_attention_dim}, true);
    } else {
      sample = joined_sample(in);
      prompt = in.tensor("encoder_hidden_states");
    }
    const std::vector<float> t = in.timesteps("timestep", sample.shape()[0]);
    return Outputs{{output, unet(sample, t, prompt)}};
  });
}

Fixture vae(const LayerSpec& b) {
  const bool formula = b.entry.weights == "formula";
  Fixture fixture = fixture_of(AutoencoderKL(vae_config(b.config.values(), b.config.where())), b.source,
                               [formula](const AutoencoderKL& network, const Inputs& in) -> Outputs {
                                 const VaeInputs inputs = vae_inputs(network.config, in, formula);
                                 Outputs outputs;
                                 if (!inputs.latent.empty()) outputs["image"] = network.decode(inputs.latent);
                                 if (!inputs.image.empty()) {
                                   const LatentDistribution latent = network.encode(inputs.image);
                                   outputs["mean"] = latent.mean;
                                   outputs["logvar"] = latent.logvar;
                                   outputs["std"] = latent.std;
                                 }
                                 if (outputs.empty())
                                   throw Error("the case has neither a latent nor an image to begin with");
                                 if (!inputs.latent.empty())
                                   outputs[""] = outputs["image"];  // a run with one output
                                 return outputs;
                               });
  fixture.aliases["out/moments"] = ValueName::value_at("quant_conv");
  return fixture;
}

constexpr std::string_view clip_skip = "clip_skip";

Fixture clip_text(const LayerSpec& b) {
  const ClipTextConfig config = clip_text_config(b.config.values(), b.config.where());
  Fixture fixture =
      fixture_of(CLIPTextModel(config), b.source, [](const CLIPTextModel& model, const Inputs& in) {
        const TokenIds ids = in.tokens("input_ids");
        const Tensor last = model(ids);
        Outputs out{{"last_hidden_state", last}, {"", last}, {"pooler_output", pooled(last, ids)}};
        for (const std::string& name : in.outputs()) {  // clip_skip2: a run without the last layer
          if (!name.starts_with(clip_skip)) continue;
          const std::string number = name.substr(clip_skip.size());
          if (number.empty() || number.size() > 4 ||
              number.find_first_not_of("0123456789") != std::string::npos)
            continue;
          out[name] = model(ids, std::stoll(number));
        }
        return out;
      });
  const std::string before_last =
      config.num_hidden_layers == 1
          ? "text_model.embeddings"
          : "text_model.encoder.layers." + std::to_string(config.num_hidden_layers - 2);
  fixture.aliases["out/hidden_state_penultimate"] = ValueName::value_at(before_last);
  return fixture;
}

// The text encoder of the base with rows for new words, the file's own weight.
Fixture textual_inversion(const LayerSpec& b) {
  WeightTable table = b.weights;
  const auto rows = table.weights().extract("emb_params");
  if (rows.empty()) throw Error(b.entry.file + " has no emb_params, the rows of the new words");
  const Shape shape = rows.mapped().shape;
  Tensor new_rows(shape);
  rows.mapped().read(0, shape.count(), new_rows.mutable_data());
  const ClipTextConfig config = clip_text_config(b.config.values(), b.config.where());
  const int64_t first = b.params.integer("first_new_id", config.vocab_size);
  if (first != config.vocab_size)
    b.params.refuse("first_new_id",
                    "must be the size of the vocabulary, " + std::to_string(config.vocab_size));
  return fixture_of(CLIPTextModel(config), table, [new_rows](const CLIPTextModel& model, const Inputs& in) {
    return Outputs{{"last_hidden_state", model(in.tokens("input_ids"), 1, new_rows)}};
  });
}

}  // namespace

const Builders& network_builders() {
  static const Builders table = {{"clip_text", clip_text},
                                 {"inpainting", sd_unet},
                                 {"sd_unet", sd_unet},
                                 {"textual_inversion", textual_inversion},
                                 {"vae", vae}};
  return table;
}

}  // namespace cutaway::verify
