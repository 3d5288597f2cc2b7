#include "samplers/sdedit.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "tensor/error.h"
#include "tensor/ops.h"

namespace cutaway {

int first_step(int steps, double strength) {
  if (!(strength > 0 && strength <= 1)) {
    throw Error("the strength is " + std::to_string(strength) +
                ", but must be above 0 (the picture as it is) and at most 1 (as if there were none)");
  }
  const int taken = std::min(static_cast<int>(steps * strength), steps);
  if (taken < 1) {
    throw Error("strength " + std::to_string(strength) + " of " + std::to_string(steps) +
                " steps leaves no step to take: at least " +
                std::to_string(static_cast<int>(std::ceil(1 / strength))) +
                " steps are needed, or a higher "
                "strength");
  }
  return steps - taken;
}

Plan plan_from(const Plan& plan, int first) {
  if (first < 0 || first >= plan.count()) {
    throw Error("there is no step " + std::to_string(first) + " in a plan of " +
                std::to_string(plan.count()));
  }
  Plan rest = plan;
  const auto drop = [first](auto& values) { values.erase(values.begin(), values.begin() + first); };
  drop(rest.timesteps);
  drop(rest.alpha_bars);
  drop(rest.alpha_bars_to);
  if (!rest.sigmas.empty()) drop(rest.sigmas);
  rest.init_noise_sigma = 1;
  return rest;
}

Tensor noised(const Plan& plan, int i, const Tensor& x0, const Tensor& eps) {
  const auto at = static_cast<size_t>(i);
  if (plan.variance == Variance::exploding) return add(x0, scale(eps, plan.sigmas.at(at)));
  return add_noise(x0, eps, static_cast<float>(plan.alpha_bars.at(at)));
}

}  // namespace cutaway
