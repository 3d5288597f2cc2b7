#include "samplers/euler.h"

namespace cutaway {

Tensor sample_euler(const Plan& plan, const Model& model, Tensor x, const OnStep& on_step) {
  for (int i = 0; i < plan.count(); ++i) {
    const auto at = static_cast<size_t>(i);
    const Tensor x0 = ask(model, plan, i, x).x0;
    x = euler_step(x, x0, plan.sigmas[at], plan.sigmas[at + 1]);
    x = told(on_step, {i, plan.count(), plan.timesteps[at], x0, x});
  }
  return x;
}

}  // namespace cutaway
