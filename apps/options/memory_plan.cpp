#include "apps/options/memory_plan.h"

#include <algorithm>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "nn/module.h"
#include "tensor/dispatch/dry_run.h"
#include "tensor/error.h"
#include "tensor/files/mapped_files.h"

namespace cutaway {
namespace {

// visit(name, weight) for the weights of all networks.
template <class Visit>
void for_each_weight_of(const StableDiffusion& model, const Visit& visit) {
  for_each_weight(const_cast<StableDiffusion&>(model), "", visit);  // the visitors only look here
}

// Lets go of all weights whenever a fiftieth of them has been read since the last time.
class InPassing : public Observer {
 public:
  explicit InPassing(const StableDiffusion& model) {
    for_each_weight_of(model, [&](const std::string& name, const Weight& weight) {
      bytes_[name.substr(0, name.rfind('.'))] += stored_bytes(weight);
      all_ += stored_bytes(weight);
    });
  }

  void value(const std::string& path, Tensor&) override {
    const auto layer = bytes_.find(path);
    if (layer == bytes_.end()) return;
    since_ += layer->second;
    if (since_ * 50 < all_) return;
    let_go_of_files();
    since_ = 0;
  }

 private:
  std::map<std::string, int64_t> bytes_;  // of a layer's own weights, by its path
  int64_t all_ = 0, since_ = 0;
};

int64_t bytes_of_weights(const StableDiffusion& model) {
  int64_t bytes = 0;
  for_each_weight_of(model, [&](const std::string&, const Weight& weight) { bytes += stored_bytes(weight); });
  return bytes;
}

// Beside what is counted: stacks of threads, pages of the program that are not in memory yet.
int64_t with_margin(int64_t bytes) { return bytes + bytes / 50 + 2000000; }

MemoryPlan with_forecast(const StableDiffusion& model, const GenerateOptions& options, Execution how,
                         MemoryPlan plan) {
  how.low_memory = plan.low_memory;
  const MemoryMeasures measures(model, plan);
  plan.forecast = forecast(model, options, how, measures.with({}), measures.passing());
  return plan;
}

// From the largest tile that makes a difference to the smallest, in pixels.
std::vector<int64_t> tiles_for(const StableDiffusion& model, const GenerateOptions& options) {
  const int64_t scale = model.vae.config.scale(), trained = model.sample_size * scale;
  const int64_t width = options.width > 0 ? options.width : trained;
  const int64_t height = options.height > 0 ? options.height : trained;
  std::vector<int64_t> tiles;
  for (int64_t tile = trained; tile >= 8 * scale && tile % (4 * scale) == 0; tile /= 2) {
    if (tile < std::max(width, height)) tiles.push_back(tile);
  }
  return tiles;
}

}  // namespace

void add_memory_options(CLI::App& command, MemoryOptions& options) {
  command.option_defaults()->group("Memory");
  command
      .add_option("--max-memory", options.most,
                  "The most memory the run may take, such as 3GB or 800MB: what is needed to fit is done")
      ->type_name("SIZE");
  command
      .add_option(
          "--vae-tiling", options.vae_tile,
          "Run the VAE on overlapping tiles of so many pixels; the size the model was trained at when "
          "no number is given")
      ->type_name("[PIXELS]")
      ->expected(0, 1)
      ->default_str("0");
}

std::string MemoryPlan::measures() const {
  std::string text;
  const auto add = [&](bool done, const std::string& what) {
    if (done) text += (text.empty() ? "" : ", ") + what;
  };
  add(frugal, "no memory kept for later");
  add(let_go, "weights let go after each network");
  add(low_memory.vae_in_turn, "one picture at a time in the VAE");
  add(low_memory.unet_in_turn, "one latent at a time in the UNet");
  add(in_passing, "weights let go while it runs");
  add(low_memory.vae_tile > 0, "VAE in tiles of " + std::to_string(low_memory.vae_tile) + " pixels");
  return text;
}

MemoryPlan memory_plan(const StableDiffusion& model, const GenerateOptions& options, const Execution& how,
                       const MemoryOptions& memory) {
  constexpr int64_t large_weights = 512 << 20;
  MemoryPlan none;
  // The VAE decodes when the UNet is done: their weights need not be in memory together. Below some size it
  // is not worth reading them again for the next picture.
  none.let_go = bytes_of_weights(model) > large_weights;
  if (memory.vae_tile) {
    none.low_memory.vae_tile =
        *memory.vae_tile != 0 ? *memory.vae_tile : model.sample_size * model.vae.config.scale();
  }
  if (memory.most.empty() && being_debugged()) return none;
  none = with_forecast(model, options, how, none);
  if (memory.most.empty()) return none;
  const int64_t most = bytes_from_text(memory.most);
  const auto fits = [&](const MemoryPlan& plan) { return with_margin(plan.forecast.bytes) <= most; };
  if (fits(none)) return none;

  // All measures at once; then each is left out again if it fits without, the dearest first.
  std::vector<int64_t> tiles;
  if (!memory.vae_tile) tiles = tiles_for(model, options);  // else the user's own choice stays
  MemoryPlan plan{.frugal = true, .let_go = true, .in_passing = true, .low_memory = none.low_memory};
  plan.low_memory.unet_in_turn = options.guidance_scale != 1 || options.batch > 1;
  plan.low_memory.vae_in_turn = options.batch > 1;
  if (!tiles.empty()) plan.low_memory.vae_tile = tiles.back();
  plan = with_forecast(model, options, how, plan);
  if (!fits(plan)) {
    throw Error("the run cannot fit into " + memory.most + ": with all that can be done (" + plan.measures() +
                ") it takes " + bytes_text(with_margin(plan.forecast.bytes)) +
                "; allow at least that much, or take a smaller picture");
  }
  std::vector<std::function<void(MemoryPlan&)>> omissions = {
      [&](MemoryPlan& p) { p.low_memory.vae_tile = none.low_memory.vae_tile; }};
  for (const int64_t tile : tiles) {
    omissions.emplace_back(
        [tile](MemoryPlan& p) { p.low_memory.vae_tile = std::max(p.low_memory.vae_tile, tile); });
  }
  omissions.emplace_back([](MemoryPlan& p) { p.in_passing = false; });
  omissions.emplace_back([](MemoryPlan& p) { p.low_memory.unet_in_turn = false; });
  omissions.emplace_back([](MemoryPlan& p) { p.low_memory.vae_in_turn = false; });
  omissions.emplace_back([](MemoryPlan& p) { p.frugal = false; });
  omissions.emplace_back([&](MemoryPlan& p) { p.let_go = none.let_go; });
  for (const auto& leave_out : omissions) {
    MemoryPlan fewer = plan;
    leave_out(fewer);
    if (fewer.measures() == plan.measures()) continue;
    fewer = with_forecast(model, options, how, fewer);
    if (fits(fewer)) plan = fewer;
  }
  return plan;
}

MemoryMeasures::MemoryMeasures(const StableDiffusion& model, const MemoryPlan& plan) : plan_(plan) {
  keep_memory_frugally(plan.frugal);
  if (!plan.in_passing) return;
  passing_ = std::make_unique<InPassing>(model);
  observe_ = std::make_unique<Observe>(*passing_);
}

MemoryMeasures::~MemoryMeasures() { keep_memory_frugally(false); }

GenerateEvents MemoryMeasures::with(GenerateEvents events) const {
  if (!plan_.let_go) return events;
  GenerateEvents all = events;
  all.start = [events](const Tensor& noise) {
    let_go_of_files();  // the text encoder has done its part
    if (events.start) events.start(noise);
  };
  all.decode = [events] {
    let_go_of_files();  // the UNet has done its part
    if (events.decode) events.decode();
  };
  return all;
}

}  // namespace cutaway
