// Planted bugs: one layer at a time is made wrong, and the comparison has to name it. Docs: docs/compare.md
#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <set>

#include "models/clip_text.h"
#include "models/unets/unet_sd.h"
#include "models/vae.h"
#include "nn/formula_weights.h"
#include "tensor/error.h"
#include "tensor/observers/comparison.h"
#include "tensor/observers/finite_check.h"
#include "tensor/observers/recorder.h"
#include "tensor/ops.h"

namespace cutaway::observers {
namespace {

namespace fs = std::filesystem;

// Under the address sanitizer, which makes a run many times slower, every eighth mutant: it looks at memory,
// not at verdicts.
#if defined(__SANITIZE_ADDRESS__)
constexpr int every_nth = 8;
#else
constexpr int every_nth = 1;
#endif

// ---- The three networks, small, with weights from the formula

struct Networks {
  CLIPTextModel text_encoder;
  UNet unet;
  AutoencoderKL vae;

  Networks()
      : text_encoder({.vocab_size = 99,
                      .hidden_size = 32,
                      .intermediate_size = 64,
                      .num_hidden_layers = 2,
                      .num_attention_heads = 4,
                      .max_position_embeddings = 8}),
        unet({.block_out_channels = {16, 32, 32},
              .attends = {true, true, false},
              .heads = {4, 4, 4},
              .layers_per_block = 1,
              .cross_attention_dim = 32,
              .norm_num_groups = 4}),
        vae({.block_out_channels = {16, 32}, .layers_per_block = 1, .norm_num_groups = 4}) {
    load_weights(text_encoder, "text_encoder", FormulaSource());
    load_weights(unet, "unet", FormulaSource());
    load_weights(vae, "vae", FormulaSource());
  }

  void run() const {
    text_encoder({1, 8, {98, 3, 1, 4, 1, 5, 9, 2}});
    unet(formula_input("sample", {2, 4, 12, 8}), std::vector<float>{700, 700},
         formula_input("prompt", {2, 8, 32}));
    vae.decode(formula_input("latent", {1, 4, 6, 5}));
    vae.encode(formula_input("image", {1, 3, 12, 8}));
  }
};

template <class Visit>
void for_each_layer(Networks& networks, const Visit& visit) {
  for_each_module(networks.text_encoder, "text_encoder", visit);
  for_each_module(networks.unet, "unet", visit);
  for_each_module(networks.vae, "vae", visit);
}

// ---- Mistakes

using Plant = std::function<void(Networks&)>;
struct Mutant {
  std::string path, mistake;
  Plant plant;
};

Weight changed(const Weight& weight, const std::function<void(std::vector<float>&)>& change) {
  std::vector<float> values(static_cast<size_t>(weight.shape.count()));
  weight.read(0, weight.shape.count(), values.data());
  change(values);
  return Weight::of(Tensor(weight.shape, values), weight.name);
}

void one_wrong(Weight& weight) {
  weight = changed(weight, [](std::vector<float>& values) { values[values.size() / 2] += 0.5F; });
}

// The rows of a matrix with its halves exchanged: query and key, value and gate.
void halves_swapped(Weight& weight) {
  weight = changed(weight, [](std::vector<float>& values) {
    std::rotate(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                values.end());
  });
}

void transposed(Weight& weight) {
  const auto n = static_cast<size_t>(weight.shape[-1]);
  weight = changed(weight, [n](std::vector<float>& values) {
    for (size_t first = 0; first + n * n <= values.size(); first += n * n) {
      for (size_t i = 0; i < n; ++i) {
        for (size_t j = i + 1; j < n; ++j) std::swap(values[first + i * n + j], values[first + j * n + i]);
      }
    }
  });
}

template <class Layer>
Mutant mutant(const std::string& path, const std::string& mistake, void (*spoil)(Layer&)) {
  return {path, mistake, [path, spoil](Networks& networks) {
            for_each_layer(networks, [&](const std::string& at, auto& layer) {
              if constexpr (std::is_same_v<std::remove_cvref_t<decltype(layer)>, Layer>) {
                if (at == path) spoil(layer);
              }
            });
          }};
}

std::vector<Mutant> all_mutants() {
  std::vector<Mutant> mutants;
  Networks networks;
  for_each_layer(networks, [&](const std::string& path, auto& layer) {
    using Layer = std::remove_cvref_t<decltype(layer)>;
    const auto add = [&](const char* mistake, void (*spoil)(Layer&)) {
      mutants.push_back(mutant<Layer>(path, mistake, spoil));
    };
    if constexpr (std::is_same_v<Layer, Linear>) {
      add("one wrong weight", [](Linear& l) { one_wrong(l.weight); });
      add("halves swapped", [](Linear& l) { halves_swapped(l.weight); });
      if (layer.bias) add("no bias", [](Linear& l) { l.bias.reset(); });
      if (layer.weight.shape[0] == layer.weight.shape[1])
        add("transposed", [](Linear& l) { transposed(l.weight); });
    } else if constexpr (std::is_same_v<Layer, Conv2d>) {
      add("one wrong weight", [](Conv2d& c) { one_wrong(c.weight); });
      add("no bias", [](Conv2d& c) { c.bias.reset(); });
      if (layer.weight.shape[2] == 3) {
        add("rows and columns of the window exchanged", [](Conv2d& c) { transposed(c.weight); });
        add("padding on the wrong side", [](Conv2d& c) {
          Padding& p = c.options.padding;
          p = {.left = p.right + 1, .right = p.left - 1, .top = p.bottom + 1, .bottom = p.top - 1};
          if (p.right < 0) p = {.left = 1, .right = 0, .top = 1, .bottom = 0};
        });
      }
    } else if constexpr (std::is_same_v<Layer, GroupNorm>) {
      add("wrong eps", [](GroupNorm& n) { n.eps *= 10; });
      add("wrong groups", [](GroupNorm& n) { n.groups /= 2; });
      add("one wrong weight", [](GroupNorm& n) { one_wrong(n.weight); });
    } else if constexpr (std::is_same_v<Layer, LayerNorm>) {
      add("wrong eps", [](LayerNorm& n) { n.eps *= 10; });
      add("one wrong bias", [](LayerNorm& n) { one_wrong(n.bias); });
    } else if constexpr (std::is_same_v<Layer, CrossAttention>) {
      add("heads and head width exchanged", [](CrossAttention& a) { a.heads *= 2; });
    } else if constexpr (std::is_same_v<Layer, CLIPAttention>) {
      add("heads and head width exchanged", [](CLIPAttention& a) { a.heads *= 2; });
    } else if constexpr (std::is_same_v<Layer, CLIPMLP>) {
      add("another activation", [](CLIPMLP& m) { m.activation = Activation::gelu; });
    } else if constexpr (std::is_same_v<Layer, UNet>) {
      add("sine before cosine", [](UNet& u) { u.config.time.cos_first = !u.config.time.cos_first; });
    }
  });
  return mutants;
}

// A mistake between two boxes: what goes into a layer is something else
// than the layer around should have made.
class WrongFeed : public Observer {
 public:
  WrongFeed(std::string path, Tensor (*spoil)(const Tensor&)) : path_(std::move(path)), spoil_(spoil) {}
  void enter(const std::string& path, std::span<Tensor* const> inputs) override {
    if (path == path_) *inputs[0] = spoil_(*inputs[0]);
  }

 private:
  std::string path_;
  Tensor (*spoil_)(const Tensor&);
};

// ---- Recording and comparing

class TemporaryFile {
 public:
  TemporaryFile() : path_(fs::temp_directory_path() / ("cutaway-mutants-" + std::to_string(getpid()))) {}
  ~TemporaryFile() {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }
  std::string path() const { return path_.string(); }

 private:
  fs::path path_;
};

Reference recorded(const TemporaryFile& file) {
  Recorder recorder({});
  {
    const Observe observe(recorder);
    Networks().run();
  }
  write_safetensors(file.path(), named_tensors(recorder.events()));
  return Reference(SafetensorsFile::open(file.path()));
}

struct Verdict {
  std::string first;
  std::vector<std::string> wrong;
  size_t compared;
};

Verdict compared(const Networks& networks, const Reference& reference, bool teacher_forced,
                 Tolerance tolerance) {
  Comparison comparison(reference, tolerance, teacher_forced);
  const Observe observe(comparison);
  networks.run();
  return {comparison.first_diverging(), comparison.wrong_layers(), comparison.values().size()};
}

void check_verdicts(const std::string& path, const Networks& networks, const Reference& reference,
                    Tolerance tolerance, std::map<std::string, std::pair<int, int>>& found,
                    const std::string& kind) {
  const Verdict forced = compared(networks, reference, true, tolerance);
  const Verdict free = compared(networks, reference, false, tolerance);
  const bool exact = forced.first == path && forced.wrong == std::vector<std::string>{path};
  const bool first = free.first == path;
  CHECK_MESSAGE(
      exact, "teacher-forced names " << forced.first << " and " << forced.wrong.size() << " layers in all");
  CHECK_MESSAGE(first, "free-running names " << free.first);
  auto& [named, planted] = found[kind];
  named += exact && first ? 1 : 0;
  ++planted;
}

TEST_CASE("planted bugs: each of several hundred is named, and nothing else") {
  const TemporaryFile file;
  const Reference reference = recorded(file);
  CHECK(compared(Networks(), reference, true, {.exact = true}).wrong.empty());
  CHECK(compared(Networks(), reference, true, {.exact = true}).compared > 500);

  const Networks whole;
  std::map<std::string, std::pair<int, int>> found;  // mistake -> how many named, of how many
  int number = 0;
  for (const Mutant& mutant : all_mutants()) {
    if (number++ % every_nth != 0) continue;
    CAPTURE(mutant.path);
    CAPTURE(mutant.mistake);
    Networks networks = whole;  // shares all weights but the wrong one
    mutant.plant(networks);
    check_verdicts(mutant.path, networks, reference, {.exact = true}, found, mutant.mistake);
  }
  for (const auto& [mistake, counts] : found)
    MESSAGE(mistake << ": " << counts.first << " of " << counts.second << " named");
}

TEST_CASE("planted bugs: those that show are named within the tolerance of another program, too") {
  const TemporaryFile file;
  const Reference reference = recorded(file);
  const Networks whole;
  int planted = 0, named = 0, number = 0;
  for (const Mutant& mutant : all_mutants()) {
    if (++number % (4 * every_nth) != 0) continue;  // a part of them, for the sake of time
    if (mutant.mistake == "wrong eps") continue;    // on inputs of ordinary size it is as small as rounding
    CAPTURE(mutant.path);
    CAPTURE(mutant.mistake);
    Networks networks = whole;  // shares all weights but the wrong one
    mutant.plant(networks);
    const Verdict verdict = compared(networks, reference, true, {});
    ++planted;
    named += verdict.wrong == std::vector<std::string>{mutant.path} ? 1 : 0;
  }
  MESSAGE(named << " of " << planted);
  CHECK(planted > 60 / every_nth);
  CHECK(named >= planted * 99 / 100);
}

TEST_CASE("planted bugs: a wrong operation between two boxes is the fault of the box around them") {
  const TemporaryFile file;
  const Reference reference = recorded(file);
  const std::string block = "unet.down_blocks.0.resnets.0", transformer = "unet.mid_block.attentions.0";
  const std::tuple<std::string, std::string, Tensor (*)(const Tensor&)> faults[] = {
      {block + ".conv1", block, [](const Tensor& x) { return gelu(x); }},
      {block + ".time_emb_proj", block, [](const Tensor& x) { return silu(x); }},
      {transformer + ".transformer_blocks.0", transformer, [](const Tensor& x) { return scale(x, 0.5F); }},
      {transformer + ".transformer_blocks.0.attn1.to_out.0", transformer + ".transformer_blocks.0.attn1",
       [](const Tensor& x) { return scale(x, 1.001F); }},
      {transformer + ".transformer_blocks.0.ff.net.2", transformer + ".transformer_blocks.0.ff",
       [](const Tensor& x) { return silu(x); }},
      {"unet.up_blocks.0", "unet", [](const Tensor& x) { return scale(x, 2); }},
      {"vae.decoder.conv_out", "vae.decoder", [](const Tensor& x) { return silu(x); }},
      {"text_encoder.text_model.encoder.layers.1.mlp.fc2", "text_encoder.text_model.encoder.layers.1.mlp",
       [](const Tensor& x) { return scale(x, -1); }},
  };
  for (const auto& fault : faults) {
    const std::string fed = std::get<0>(fault), to_blame = std::get<1>(fault);
    const auto operation = std::get<2>(fault);
    CAPTURE(fed);
    WrongFeed wrong_feed(fed, operation);
    const Observe observe(wrong_feed);  // before the comparison, which sees what is left
    const Verdict verdict = compared(Networks(), reference, true, {.exact = true});
    CHECK(verdict.first == to_blame);
    CHECK(verdict.wrong == std::vector<std::string>{to_blame});
  }
}

TEST_CASE("a NaN planted into any layer's weights is found in that layer") {
  std::vector<Mutant> mutants;
  Networks networks;
  for_each_layer(networks, [&](const std::string& path, auto& layer) {
    using Layer = std::remove_cvref_t<decltype(layer)>;
    if constexpr (std::is_same_v<Layer, Linear> || std::is_same_v<Layer, Conv2d> ||
                  std::is_same_v<Layer, GroupNorm> || std::is_same_v<Layer, LayerNorm>) {
      mutants.push_back(mutant<Layer>(path, "NaN", [](Layer& l) {
        l.weight = changed(l.weight, [](std::vector<float>& values) {
          values[1] = std::numeric_limits<float>::quiet_NaN();
        });
      }));
    }
  });
  CHECK(mutants.size() > 100);
  int number = 0;
  for (const Mutant& mutant : mutants) {
    if (number++ % every_nth != 0) continue;
    CAPTURE(mutant.path);
    Networks spoilt = networks;
    mutant.plant(spoilt);
    FiniteCheck check;
    const Observe observe(check);
    std::string message;
    try {
      spoilt.run();
    } catch (const Error& error) {
      message = error.what();
    }
    CHECK(message.find("there is a NaN in the result of " + mutant.path + ",") == 0);
    CHECK(message.find("The inputs are finite") != std::string::npos);
  }
}

}  // namespace
}  // namespace cutaway::observers
