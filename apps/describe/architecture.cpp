#include "apps/describe/architecture.h"

#include <cstdlib>
#include <map>

#include "models/stable_diffusion.h"
#include "nn/formula_weights.h"
#include "tensor/dispatch/dry_run.h"
#include "tensor/error.h"

namespace cutaway::describe {
namespace {

struct Networks {
  CLIPTextModel text_encoder;
  UNet unet;
  AutoencoderKL vae;
  int64_t latent_size = 64;  // pixels of the latent each way that the UNet was trained at
};

// Weights for boxes that only have to run. A dry run reads none of them, so they take no memory, and in a run
// that is timed a zero takes as long as any other number.
class Zeros : public WeightSource {
 public:
  std::string description() const override { return "zeros"; }
  std::vector<std::string> names() const override { return {}; }
  std::optional<Weight> find(const std::string& name, const Shape& needed) const override {
    Weight weight(needed);
    weight.name = name;
    weight.dtype = DType::f16;
    weight.owner.reset(std::calloc(static_cast<size_t>(needed.count()), sizeof(uint16_t)), &std::free);
    weight.data = weight.owner.get();
    if (weight.data == nullptr) throw Error("not enough memory for the weight " + name);
    return weight;
  }
};

Networks networks_of_sd15() {
  Networks networks;
  load_weights(networks.text_encoder, "text_encoder", Zeros());
  load_weights(networks.unet, "unet", Zeros());
  load_weights(networks.vae, "vae", Zeros());
  return networks;
}

Networks networks_of(const std::string& folder) {
  StableDiffusion model = StableDiffusion::load(folder);
  return {std::move(model.text_encoder), std::move(model.unet), std::move(model.vae), model.sample_size};
}

void run_text_encoder(const CLIPTextModel& clip) {
  TokenIds ids{1, clip.config.max_position_embeddings, {}};
  for (int64_t i = 0; i < ids.length; ++i) ids.ids.push_back(i * 997 % clip.config.vocab_size);
  clip(ids);
}

void run_unet(const UNet& unet, int64_t tokens, int64_t size) {
  const Tensor sample = formula_input("sample", {1, unet.config.in_channels, size, size});
  const Tensor prompt = formula_input("prompt", {1, tokens, unet.config.cross_attention_dim});
  const float t = 500;
  unet(sample, std::span(&t, 1), prompt);
}

void run_vae(const AutoencoderKL& vae, int64_t size) {
  const int64_t pixels = vae.config.scale() * size;
  vae.encode(formula_input("picture", {1, vae.config.in_channels, pixels, pixels}));
  vae.decode(formula_input("latent", {1, vae.config.latent_channels, size, size}));
}

// ---- What the events say of the boxes

// Paths of all boxes, to their place in the tree.
void index_boxes(Box& box, std::map<std::string, Box*>& index) {
  index[box.path] = &box;
  for (Box& child : box.children) index_boxes(child, index);
}

std::string path_around(const std::string& path) {
  const size_t dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

// A box that only holds others (the VAE as a whole) has no result of its own: its last part's counts.
void complete(Box& box, bool timed) {
  double seconds = 0;
  for (Box& child : box.children) {
    complete(child, timed);
    seconds += child.seconds;
  }
  if (box.output || box.children.empty()) return;
  box.output = box.children.back().output;
  if (timed) box.seconds = seconds;
}

// Fills in output, flops and (when `timed`) seconds of a box and all inside it.
void fill_in(Box& root, const std::vector<Event>& events, bool timed) {
  std::map<std::string, Box*> boxes;
  index_boxes(root, boxes);
  std::map<std::string, double> began;  // boxes that are running
  double seconds_before = 0, flops_before = 0;
  for (const Event& event : events) {
    for (std::string path = event.path; !path.empty(); path = path_around(path)) {
      const auto found = boxes.find(path);
      if (found == boxes.end()) continue;
      found->second->flops += event.flops - flops_before;
      const bool by_itself = event.kind == Event::Kind::enter && path == event.path;
      began.try_emplace(path, by_itself ? event.seconds : seconds_before);
    }
    const auto box = boxes.find(event.path);
    if (event.kind == Event::Kind::value && box != boxes.end()) {
      box->second->output = event.result.shape;
      if (timed) box->second->seconds += event.seconds - began[event.path];
      began.erase(event.path);
    }
    seconds_before = event.seconds;
    flops_before = event.flops;
  }
  complete(root, timed);
}

}  // namespace

Architecture describe_model(const DescribeOptions& options) {
  Networks networks = options.model.empty() ? networks_of_sd15() : networks_of(options.model);
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
  std::vector<Box>& parts = architecture.root.children;
  if (wanted(Part::text_encoder)) parts.push_back(box_tree(networks.text_encoder));
  if (wanted(Part::unet)) parts.push_back(box_tree(networks.unet));
  if (wanted(Part::vae)) parts.push_back(box_tree(networks.vae));

  const auto run = [&](bool tensors) {
    observers::Recorder recorder({.operations = {"*"}, .tensors = tensors});
    const Observe observe(recorder);
    if (wanted(Part::text_encoder)) run_text_encoder(networks.text_encoder);
    if (wanted(Part::unet))
      run_unet(networks.unet, networks.text_encoder.config.max_position_embeddings, architecture.latent_size);
    if (wanted(Part::vae)) run_vae(networks.vae, architecture.latent_size);
    return recorder.events();
  };
  const double before = trace::flops();
  {
    const DryRun dry_run;
    architecture.events = run(true);
  }
  std::vector<Event> timed_events;
  if (options.timed) {
    if (options.before_timed) options.before_timed(trace::flops() - before);
    timed_events = run(false);
  }
  for (Box& part : parts) {
    fill_in(part, options.timed ? timed_events : architecture.events, options.timed);
    architecture.root.parameters += part.parameters;
    architecture.root.flops += part.flops;
    architecture.root.seconds += part.seconds;
    architecture.root.output = part.output;  // the last part's: the picture
  }
  if (options.part != Part::all) {  // the tree starts at that part
    Box only = std::move(parts.front());
    architecture.root = std::move(only);
  }
  return architecture;
}

}  // namespace cutaway::describe
