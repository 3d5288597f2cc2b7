// Notebook 3 in C++: from prompt to picture, with the sampler's step written out.
//
//   tools/debug build/step/tests/notebooks/03_prompt_to_picture
//   (gdb) break one_step
//   (gdb) run
#include <map>

#include "notebooks/twins/report.h"
#include "samplers/guidance.h"
#include "samplers/noise/torch_cpu.h"
#include "samplers/sampler.h"
#include "tensor/ops.h"

using namespace cutaway;
using namespace cutaway::twins;

namespace {

constexpr int count = 20;
constexpr float cfg = 3;
constexpr int64_t cat = 2, tree = 6;  // places in "start a cat next to a tree end"

// Adds up the cross-attention tables of one call of the UNet, those of 16 x 16 pixels.
class AttentionMaps : public Observer {
 public:
  bool wants(const std::string& path) const override { return path.ends_with("attn2.probs"); }

  void value(const std::string& path, Tensor& table) override {
    if (!wants(path) || table.shape()[2] != pixels) return;
    const int64_t heads = table.shape()[1], tokens = table.shape()[3];
    const float* of_prompt = table.data() + heads * pixels * tokens;  // the second of the two prompts
    for (int64_t head = 0; head < heads; ++head) {
      for (int64_t pixel = 0; pixel < pixels; ++pixel) {
        for (const int64_t token : {cat, tree}) {
          const float share = of_prompt[(head * pixels + pixel) * tokens + token];
          (pixel % 16 < 8 ? left : right)[token] += share;
        }
      }
    }
    rows_ += heads * pixels;
  }

  double mean_of(int64_t token) { return (left[token] + right[token]) / static_cast<double>(rows_); }

  static constexpr int64_t pixels = 256;
  std::map<int64_t, double> left, right;  // by token: the sum over heads, layers and that half of the pixels

 private:
  int64_t rows_ = 0;
};

// One DDIM step (Song et al. 2020, eq. 12, with eta 0) for a model that answers v.
Tensor one_step(const StableDiffusion& model, const Plan& plan, int i, const Tensor& x,
                const Tensor& both_prompts, Tensor& believed) {
  const float t = plan.timesteps[static_cast<size_t>(i)];
  const double ab = plan.alpha_bars[static_cast<size_t>(i)],
               ab_to = plan.alpha_bars_to[static_cast<size_t>(i)];

  const Tensor answers = model.unet(concat({x, x}, 0), std::vector<float>{t, t}, both_prompts);
  const Tensor v = guided(slice(answers, 0, 0, 1), slice(answers, 0, 1, 2), cfg);

  const auto signal = static_cast<float>(std::sqrt(ab)), noise = static_cast<float>(std::sqrt(1 - ab));
  believed = sub(scale(x, signal), scale(v, noise));          // x0
  const Tensor eps = add(scale(x, noise), scale(v, signal));  // and the noise in x

  const auto signal_to = static_cast<float>(std::sqrt(ab_to)),
             noise_to = static_cast<float>(std::sqrt(1 - ab_to));
  return add(scale(believed, signal_to), scale(eps, noise_to));
}

void report_step(int step, const Tensor& latent, const Tensor& believed, AttentionMaps& maps) {
  if (step == 1 || step == 10 || step == count) {
    report("std of the latent after step " + std::to_string(step), std_of(latent));
    report("std of what it believes at step " + std::to_string(step), std_of(believed));
  }
  if (step == 1 || step == count) {
    report("attention on 'cat' in step " + std::to_string(step), maps.mean_of(cat));
    report("attention on 'tree' in step " + std::to_string(step), maps.mean_of(tree));
  }
}

void draw(const StableDiffusion& model) {
  const Tensor context = model.encode_prompt("a cat next to a tree", {});
  report("std of the prompt's vectors", std_of(context));
  const Tensor both = concat({model.encode_prompt("", {}), context}, 0);

  Tensor latent = TorchRandom(2).randn({1, 4, 16, 16});
  report("std of the noise", std_of(latent));

  const Plan steps = plan(sampler_named("ddim"), model.scheduler, count);
  std::map<int64_t, double> left, right;
  for (int i = 0; i < steps.count(); ++i) {
    AttentionMaps maps;
    const Observe observing(maps);
    Tensor believed;
    latent = one_step(model, steps, i, latent, both, believed);
    report_step(i + 1, latent, believed, maps);
    for (const int64_t token : {cat, tree}) {
      left[token] += maps.left[token];
      right[token] += maps.right[token];
    }
  }
  report("attention on 'cat', left half against right half", left[cat] / right[cat]);
  report("attention on 'tree', left half against right half", left[tree] / right[tree]);

  const Tensor picture = model.vae.decode(scale(latent, 1 / model.vae.config.scaling_factor));
  report("mean of the picture", mean(picture));
}

}  // namespace

int main(int argc, char** argv) { return run(argc, argv, draw); }
