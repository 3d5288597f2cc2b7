#include "apps/describe/architecture.h"

#include <algorithm>
#include <iterator>

#include "models/stable_diffusion.h"
#include "nn/formula_weights.h"
#include "tensor/error.h"

namespace cutaway::describe {
namespace {

struct Networks {
  CLIPTextModel text_encoder;
  UNet unet;
  AutoencoderKL vae;
  int64_t latent_size = 64;  // pixels of the latent each way that the UNet was trained at
};

// Weights for boxes that only have to run: every weight is a stretch of one block of random numbers, and each
// begins somewhere else. 860 million parameters take the memory of the largest weight. Scales of norms have a
// block of their own with numbers near 1, so that no value fades away on its way through.
class SharedBlock : public WeightSource {
 public:
  explicit SharedBlock(int64_t largest)
      : block_(random_numbers(largest + shifts, 0)), scales_(random_numbers(2 * shifts, 1)) {}

  std::string description() const override { return "a block of random numbers"; }
  std::vector<std::string> names() const override { return {}; }
  std::optional<Weight> find(const std::string& name, const Shape& needed) const override {
    Weight weight(needed);
    weight.name = name;
    weight.dtype = DType::f16;
    const Block& block = needed.rank() == 1 && name.ends_with(".weight") ? scales_ : block_;
    weight.data = block->data() + fnv1a64(name) % shifts;
    weight.owner = block;
    return weight;
  }

 private:
  using Block = std::shared_ptr<std::vector<uint16_t>>;

  static Block random_numbers(int64_t count, float middle) {
    auto block = std::make_shared<std::vector<uint16_t>>(static_cast<size_t>(count));
    uint64_t state = 1;
    for (uint16_t& number : *block) {
      state = splitmix64(state);
      number = f32_to_f16(middle + static_cast<float>(state >> 40) / 268435456.0F - 0.03125F);  // +- 1/32
    }
    return block;
  }

  static constexpr int64_t shifts = 65536;
  Block block_, scales_;
};

template <class Layer>
int64_t largest_weight(Layer& layer) {
  int64_t largest = 0;
  for_each_weight(layer, "", [&](const std::string&, const Weight& weight) {
    largest = std::max(largest, weight.shape.count());
  });
  return largest;
}

Networks networks_of_sd15(Part part) {
  Networks networks;
  const auto wanted = [part](Part one) { return part == Part::all || part == one; };
  int64_t largest = 0;
  if (wanted(Part::text_encoder)) largest = std::max(largest, largest_weight(networks.text_encoder));
  if (wanted(Part::unet)) largest = std::max(largest, largest_weight(networks.unet));
  if (wanted(Part::vae)) largest = std::max(largest, largest_weight(networks.vae));
  const SharedBlock block(largest);
  if (wanted(Part::text_encoder)) load_weights(networks.text_encoder, "text_encoder", block);
  if (wanted(Part::unet)) load_weights(networks.unet, "unet", block);
  if (wanted(Part::vae)) load_weights(networks.vae, "vae", block);
  return networks;
}

Networks networks_of(const std::string& folder) {
  StableDiffusion model = StableDiffusion::load(folder);
  return {std::move(model.text_encoder), std::move(model.unet), std::move(model.vae), model.sample_size};
}

RunAt runs_text_encoder(const CLIPTextModel& clip) {
  return [&clip](int64_t, int64_t) {
    TokenIds ids{1, clip.config.max_position_embeddings, {}};
    for (int64_t i = 0; i < ids.length; ++i) ids.ids.push_back(i * 997 % clip.config.vocab_size);
    clip(ids);
  };
}

RunAt runs_unet(const UNet& unet, int64_t tokens) {
  return [&unet, tokens](int64_t height, int64_t width) {
    const Tensor sample = formula_input("sample", {1, unet.config.in_channels, height, width});
    const Tensor prompt = formula_input("prompt", {1, tokens, unet.config.cross_attention_dim});
    const float t = 500;
    unet(sample, std::span(&t, 1), prompt);
  };
}

RunAt runs_vae(const AutoencoderKL& vae) {
  return [&vae](int64_t height, int64_t width) {
    const int64_t scale = vae.config.scale();
    vae.encode(formula_input("picture", {1, vae.config.in_channels, scale * height, scale * width}));
    vae.decode(formula_input("latent", {1, vae.config.latent_channels, height, width}));
  };
}

// Runs one network and adds its boxes and events to the architecture. `base` is the smallest latent it takes.
void add_network(Architecture& architecture, Box box, const RunAt& run, int64_t base, bool timed) {
  const int64_t size = architecture.latent_size;
  Recording small = record_scaled(run, base, size);
  fill_in(box, timed ? record(run, size, size, Recorder::Keep::times) : small, timed);
  Box& root = architecture.root;
  root.parameters += box.parameters;
  root.flops += box.flops;
  root.seconds += box.seconds;
  root.output = box.output;  // the last part's: the picture
  root.children.push_back(std::move(box));

  std::vector<Event>& events = architecture.recording.events;
  std::move(small.events.begin(), small.events.end(), std::back_inserter(events));
  architecture.recording.tables.merge(small.tables);
}

}  // namespace

Architecture describe_model(const DescribeOptions& options) {
  Networks networks = options.model.empty() ? networks_of_sd15(options.part) : networks_of(options.model);
  const int64_t scale = networks.vae.config.scale();
  const int64_t unet_base = int64_t{1} << (networks.unet.config.block_out_channels.size() - 1);
  const int64_t pixels = options.pixels == 0 ? networks.latent_size * scale : options.pixels;
  if (pixels % (unet_base * scale) != 0) {
    throw Error("the picture is " + std::to_string(pixels) + " pixels wide, but must be a multiple of " +
                std::to_string(unet_base * scale) + ", so that every level halves evenly");
  }

  Architecture architecture;
  architecture.pixels = pixels;
  architecture.latent_size = pixels / scale;
  architecture.latent_channels = networks.unet.config.in_channels;
  architecture.model = options.model.empty() ? "Stable Diffusion 1.5" : options.model;
  architecture.root.type = "StableDiffusion";
  architecture.root.name = "stable_diffusion";
  const auto wanted = [&](Part one) { return options.part == Part::all || options.part == one; };
  if (wanted(Part::text_encoder)) {
    add_network(architecture, box_tree(networks.text_encoder), runs_text_encoder(networks.text_encoder),
                unet_base, options.timed);
  }
  if (wanted(Part::unet)) {
    const int64_t tokens = networks.text_encoder.config.max_position_embeddings;
    add_network(architecture, box_tree(networks.unet), runs_unet(networks.unet, tokens), unet_base,
                options.timed);
  }
  if (wanted(Part::vae))
    add_network(architecture, box_tree(networks.vae), runs_vae(networks.vae), 2, options.timed);
  if (options.part != Part::all) {  // the tree starts at that part
    Box only = std::move(architecture.root.children.front());
    architecture.root = std::move(only);
  }
  return architecture;
}

}  // namespace cutaway::describe
