#include "samplers/sampler.h"

#include "samplers/ddim.h"
#include "samplers/ddpm.h"
#include "samplers/dpmpp_2m.h"
#include "samplers/euler.h"
#include "samplers/euler_ancestral.h"
#include "tensor/error.h"
#include "tensor/files/text.h"
#include "tensor/ops.h"

namespace cutaway {
namespace {

constexpr auto preserving_scale = Variance::preserving, exploding_scale = Variance::exploding;
constexpr std::optional<Variance> either_scale;

// clang-format off
constexpr Sampler samplers[] = {
    {"ddim",            preserving_scale, sample_ddim,            plan_ddim},
    {"ddpm",            preserving_scale, sample_ddpm,            plan_ddpm},
    {"euler",           exploding_scale,  sample_euler,           plan_euler},
    {"euler_ancestral", exploding_scale,  sample_euler_ancestral, plan_euler_ancestral},
    {"dpmpp_2m",        either_scale,     sample_dpmpp_2m,        plan_dpmpp_2m},
    {"dpmpp_2m_karras", either_scale,     sample_dpmpp_2m,        plan_dpmpp_2m, LevelSpacing::karras},
};
// clang-format on

}  // namespace

const Sampler& sampler_named(std::string_view name) {
  std::string known;
  for (const Sampler& sampler : samplers) {
    if (name == sampler.name) return sampler;
    known += (known.empty() ? "" : ", ") + std::string(sampler.name);
  }
  throw Error("there is no sampler " + in_quotes(name) + "; the samplers are " + known +
              did_you_mean(name, sampler_names()));
}

std::vector<std::string> sampler_names() {
  std::vector<std::string> names;
  for (const Sampler& sampler : samplers) names.emplace_back(sampler.name);
  return names;
}

Plan plan(const Sampler& sampler, SchedulerConfig config, int steps) {
  if (steps < 1 || steps > config.num_train_timesteps) {
    throw Error("the number of steps is " + std::to_string(steps) + ", but must be from 1 to " +
                std::to_string(config.num_train_timesteps) + ", the model's training time steps");
  }
  if (sampler.spacing == LevelSpacing::karras) config.use_karras_sigmas = true;
  return sampler.plan(config, steps);
}

Tensor sample(const Sampler& sampler, const Run& run, const Tensor& start) {
  const Plan& plan = run.plan;
  if (!(run.eta >= 0 && run.eta <= 1)) {
    throw Error("eta is " + std::to_string(run.eta) +
                ", but must be from 0 (no noise added) to 1 (as much as DDPM)");
  }
  if (sampler.scale ? plan.variance != *sampler.scale : plan.sigmas.empty()) {
    throw Error(std::string("the sampler ") + sampler.name +
                " cannot follow this plan, which was made for another sampler");
  }
  return sampler.walk(run, plan.init_noise_sigma == 1 ? start : scale(start, plan.init_noise_sigma));
}

}  // namespace cutaway
