#include "samplers/sampler.h"

#include <string>
#include <utility>

#include "samplers/ddim.h"
#include "samplers/ddpm.h"
#include "samplers/dpmpp_2m.h"
#include "samplers/euler.h"
#include "samplers/euler_ancestral.h"
#include "tensor/error.h"
#include "tensor/ops.h"

namespace cutaway {

Tensor sample(SamplerKind kind, const SchedulerConfig& config, const SamplerOptions& options,
              const Model& model, Tensor start, const Noise& noise, const OnStep& on_step) {
  return sample(kind, plan(kind, config, options.steps), options.eta, model, std::move(start), noise,
                on_step);
}

Tensor sample(SamplerKind kind, const Plan& plan, float eta, const Model& model, Tensor start,
              const Noise& noise, const OnStep& on_step) {
  if (!(eta >= 0 && eta <= 1)) {
    throw Error("eta is " + std::to_string(eta) +
                ", but must be from 0 (no noise added) to 1 (as much as DDPM)");
  }
  const bool by_alpha_bar = kind == SamplerKind::ddim || kind == SamplerKind::ddpm;
  if (by_alpha_bar ? plan.variance == Variance::exploding : plan.sigmas.empty()) {
    throw Error(std::string("the sampler ") + to_string(kind) +
                " cannot follow this plan, which was made for another sampler");
  }
  Tensor x = plan.init_noise_sigma == 1 ? std::move(start) : scale(start, plan.init_noise_sigma);
  switch (kind) {
    case SamplerKind::ddim:
      return sample_ddim(plan, model, std::move(x), eta, noise, on_step);
    case SamplerKind::ddpm:
      return sample_ddpm(plan, model, std::move(x), noise, on_step);
    case SamplerKind::euler:
      return sample_euler(plan, model, std::move(x), on_step);
    case SamplerKind::euler_ancestral:
      return sample_euler_ancestral(plan, model, std::move(x), noise, on_step);
    case SamplerKind::dpmpp_2m:
    case SamplerKind::dpmpp_2m_karras:
      return sample_dpmpp_2m(plan, model, std::move(x), on_step);
  }
  throw Error("there is no such sampler");
}

}  // namespace cutaway
