#include "models/pipeline/compat.h"

#include <cmath>

#include "tensor/error.h"
#include "tensor/files/text.h"

namespace cutaway {
namespace {

const std::vector<Compat>& table() {
  static const std::vector<Compat> rows = {
      {.name = "diffusers",
       .prompt_weights = PromptWeights::none,
       .start_noise = RandomSource::cpu,
       .step_noise = RandomSource::cpu,
       .noise_for = NoiseFor::picture,
       .step_stream = StepNoise::goes_on,
       .levels = LevelRule::diffusers,
       .start_scale = StartScale::diffusers,
       .ddim_is_euler = false,
       .ddim_leaves_out_last = false,
       .samplers = {"ddim", "ddpm", "euler", "euler_ancestral", "dpmpp_2m", "dpmpp_2m_karras"}},
      {.name = "webui",
       .prompt_weights = PromptWeights::webui,
       .start_noise = RandomSource::cuda,
       .step_noise = RandomSource::cuda,
       .noise_for = NoiseFor::picture,
       .step_stream = StepNoise::goes_on,
       .levels = LevelRule::kdiffusion,
       .start_scale = StartScale::sigma,
       .ddim_is_euler = false,
       .ddim_leaves_out_last = true,
       .samplers = {"ddim", "euler", "euler_ancestral", "dpmpp_2m", "dpmpp_2m_karras"}},
      {.name = "comfyui",
       .prompt_weights = PromptWeights::comfyui,
       .start_noise = RandomSource::cpu,
       .step_noise = RandomSource::cuda,
       .noise_for = NoiseFor::batch,
       .step_stream = StepNoise::same_seed_anew,
       .levels = LevelRule::kdiffusion_whole_timesteps,
       .start_scale = StartScale::whole_variance,
       .ddim_is_euler = true,
       .ddim_leaves_out_last = false,
       .samplers = {"ddim", "ddpm", "euler", "euler_ancestral", "dpmpp_2m", "dpmpp_2m_karras"}},
      {.name = "compvis",
       .prompt_weights = PromptWeights::none,
       .start_noise = RandomSource::cuda,
       .step_noise = RandomSource::cuda,
       .noise_for = NoiseFor::batch,
       .step_stream = StepNoise::goes_on,
       .levels = LevelRule::compvis,
       .start_scale = StartScale::sigma,
       .ddim_is_euler = false,
       .ddim_leaves_out_last = false,
       .samplers = {"ddim"}},
  };
  return rows;
}

template <class Value>
struct Named {
  const char* name;
  Value value;
};
constexpr Named<PromptWeights> weight_rules[] = {
    {"none", PromptWeights::none}, {"webui", PromptWeights::webui}, {"comfyui", PromptWeights::comfyui}};
constexpr Named<RandomSource> sources[] = {{"cpu", RandomSource::cpu}, {"cuda", RandomSource::cuda}};

template <class Value, size_t n>
Value named(const char* what, std::string_view name, const Named<Value> (&known)[n]) {
  std::vector<std::string> names;
  for (const Named<Value>& one : known) {
    if (name == one.name) return one.value;
    names.emplace_back(one.name);
  }
  throw Error(std::string("there is no ") + what + " " + in_quotes(name) + did_you_mean(name, names));
}

template <class Value, size_t n>
const char* name_of(Value value, const Named<Value> (&known)[n]) {
  for (const Named<Value>& one : known) {
    if (one.value == value) return one.name;
  }
  return "";
}

void must_have(const Compat& program, std::string_view sampler) {
  std::string known;
  for (const std::string& name : program.samplers) {
    if (name == sampler) return;
    known += (known.empty() ? "" : ", ") + name;
  }
  throw Error(std::string(program.name) + " has no sampler " + std::string(sampler) +
              ", so there is nothing to be equal to; it has " + known);
}

// diffusers has no spacings but its own and karras, which is a setting of its scheduler.
Plan diffusers_plan(const Sampler& sampler, LevelSpacing spacing, SchedulerConfig config, int steps) {
  const std::string name = sampler.name;
  if (spacing == LevelSpacing::karras && (name == "euler" || name == "dpmpp_2m")) {
    config.use_karras_sigmas = true;
  } else if (spacing != LevelSpacing::by_sampler &&
             !(spacing == LevelSpacing::karras && sampler.spacing == spacing)) {
    throw Error("diffusers cannot space the noise levels of " + name + " as " + to_string(spacing) +
                ": it has karras for euler and dpmpp_2m; --compat webui or comfyui has others");
  }
  return plan(sampler, config, steps);
}

}  // namespace

const Compat& compat_of(std::string_view program) {
  for (const Compat& row : table()) {
    if (program == row.name) return row;
  }
  throw Error("there are no conventions of " + in_quotes(program) +
              "; known are diffusers, webui, comfyui, compvis" + did_you_mean(program, program_names()));
}

std::vector<std::string> program_names() {
  std::vector<std::string> names;
  for (const Compat& row : table()) names.emplace_back(row.name);
  return names;
}

PromptWeights prompt_weights_named(std::string_view name) {
  return named("rule of prompt weights", name, weight_rules);
}
RandomSource random_source_named(std::string_view name) { return named("source of noise", name, sources); }
const char* to_string(PromptWeights weights) { return name_of(weights, weight_rules); }
const char* to_string(RandomSource source) { return name_of(source, sources); }

Route route(const Compat& program, const Sampler& sampler, LevelSpacing spacing,
            const SchedulerConfig& config, int steps, float eta) {
  must_have(program, sampler.name);
  if (program.levels == LevelRule::diffusers)
    return {&sampler, diffusers_plan(sampler, spacing, config, steps)};

  const NoiseSchedule schedule = schedule_in_double(config);
  const bool ddim = sampler.name == std::string_view("ddim");
  if (ddim && !program.ddim_is_euler) {
    if (spacing != LevelSpacing::by_sampler) {
      throw Error(std::string("ddim of ") + program.name +
                  " has time steps of its own; leave out --schedule");
    }
    return {&sampler,
            plan_compvis_ddim(schedule, config.prediction_type, steps, program.ddim_leaves_out_last)};
  }
  if (ddim && eta > 0)
    throw Error(std::string("ddim of ") + program.name + " takes no eta: it is euler there");

  if (spacing == LevelSpacing::by_sampler) spacing = sampler.spacing;
  const std::vector<float> levels = spaced_levels(spacing, schedule.sigmas(), steps);
  Plan plan = plan_for_sigmas(schedule, config.prediction_type, levels);
  if (program.levels == LevelRule::kdiffusion_whole_timesteps) round_timesteps(plan);
  const float sigma = levels.front();
  // Only from the training's last level is there nothing but noise. (ComfyUI, max_denoise)
  const bool from_the_last = sigma > schedule.sigmas().back() * (1 - 1e-5F);
  if (program.start_scale == StartScale::whole_variance && from_the_last)
    plan.init_noise_sigma = std::sqrt(1 + sigma * sigma);
  if (ddim) return {&sampler_named("euler"), plan};
  return {&sampler, sampler.scale == Variance::preserving ? preserving(plan) : plan};
}

}  // namespace cutaway
