#include "samplers/ddpm.h"

namespace cutaway {

Tensor sample_ddpm(const Plan& plan, const Model& model, Tensor x, const Noise& noise,
                   const OnStep& on_step) {
  for (int i = 0; i < plan.count(); ++i) {
    const auto at = static_cast<size_t>(i);
    const double ab = plan.alpha_bars[at], ab_to = plan.alpha_bars_to[at];
    Tensor x0 = ask(model, plan, i, x).x0;
    if (const auto range = plan.clip_sample_range) x0 = clamp(x0, -*range, *range);
    if (plan.timesteps[at] > 0) {
      x = ddpm_step(x, x0, ab, ab_to, plan.variance_type, noise(x.shape()));
    } else {
      x = ddpm_mean(x, x0, ab, ab_to);
    }
    x = told(on_step, {i, plan.count(), plan.timesteps[at], x0, x});
  }
  return x;
}

}  // namespace cutaway
