#include "samplers/dpmpp_2m.h"

namespace cutaway {
namespace {

Level level(const Plan& plan, size_t i) {
  const double sigma = plan.sigmas[i];
  if (plan.variance == Variance::exploding) return {.alpha = 1, .sigma = sigma};
  const double ab = 1 / (1 + sigma * sigma);
  return {.alpha = std::sqrt(ab), .sigma = sigma * std::sqrt(ab)};
}

}  // namespace

Tensor sample_dpmpp_2m(const Plan& plan, const Model& model, Tensor x, const OnStep& on_step) {
  Tensor x0_before;
  for (int i = 0; i < plan.count(); ++i) {
    const auto at = static_cast<size_t>(i);
    const Tensor x0 = ask(model, plan, i, x).x0;
    const Level s = level(plan, at), t = level(plan, at + 1);
    const bool last = i == plan.count() - 1;
    if (i == 0 || (last && plan.first_order_last)) {
      x = dpmpp_1_step(x, x0, s, t);
    } else {
      x = dpmpp_2m_step(x, x0, x0_before, level(plan, at - 1), s, t);
    }
    x0_before = x0;
    x = told(on_step, {i, plan.count(), plan.timesteps[at], x0, x});
  }
  return x;
}

}  // namespace cutaway
