#include "samplers/euler_ancestral.h"

namespace cutaway {

Tensor sample_euler_ancestral(const Plan& plan, const Model& model, Tensor x, const Noise& noise,
                              const OnStep& on_step) {
  for (int i = 0; i < plan.count(); ++i) {
    const auto at = static_cast<size_t>(i);
    const Tensor x0 = ask(model, plan, i, x).x0;
    const Tensor z = plan.sigmas[at + 1] > 0 ? noise(x.shape()) : Tensor();
    x = euler_ancestral_step(x, x0, plan.sigmas[at], plan.sigmas[at + 1], z);
    x = told(on_step, {i, plan.count(), plan.timesteps[at], x0, x});
  }
  return x;
}

}  // namespace cutaway
