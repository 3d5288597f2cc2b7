#include "samplers/ddim.h"

namespace cutaway {

Tensor sample_ddim(const Plan& plan, const Model& model, Tensor x, float eta, const Noise& noise,
                   const OnStep& on_step) {
  for (int i = 0; i < plan.count(); ++i) {
    const auto at = static_cast<size_t>(i);
    Prediction seen = ask(model, plan, i, x);
    if (const auto range = plan.clip_sample_range) seen.x0 = clamp(seen.x0, -*range, *range);
    const Tensor z = eta > 0 ? noise(x.shape()) : Tensor();
    x = ddim_step(seen, plan.alpha_bars[at], plan.alpha_bars_to[at], eta, z);
    x = told(on_step, {i, plan.count(), plan.timesteps[at], seen.x0, x});
  }
  return x;
}

}  // namespace cutaway
