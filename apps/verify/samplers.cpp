// Cases of samplers: schedules, and runs on a model that is a formula, compared step by step.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "apps/verify/cases.h"
#include "models/checkpoints/config.h"
#include "samplers/sampler.h"
#include "tensor/error.h"
#include "tensor/files/text.h"
#include "tensor/ops.h"

namespace cutaway::verify {
namespace {

// f(x, t) = 0.3 cos(t / 1000) x + 0.1 tanh(x)
Tensor formula_model(const Tensor& x, float t) {
  const auto factor = static_cast<float>(0.3 * std::cos(static_cast<double>(t) / 1000));
  return add(scale(x, factor), scale(tanh(x), 0.1F));
}

// The k-th tensor of a stack, the first axis being k.
Tensor item(const StoredTensor& stack, const std::vector<float>& values, size_t k) {
  const Shape shape(std::span<const int64_t>(stack.shape).subspan(1));
  const auto count = static_cast<size_t>(shape.count());
  if ((k + 1) * count > values.size()) {
    throw Error("there are " + std::to_string(stack.shape.front()) + " tensors in " + in_quotes(stack.name) +
                ", but the run needs more");
  }
  return {shape, std::span(values).subspan(k * count, count)};
}

// Noise tensors in the order in which they are asked for.
Noise noise_of(const StoredTensor& stack) {
  return [&stack, values = stack.to_floats(), next = size_t{0}](const Shape&) mutable {
    return item(stack, values, next++);
  };
}

double largest(std::span<const float> values) {
  double most = 0;
  for (const float value : values) most = std::max(most, std::fabs(static_cast<double>(value)));
  return most;
}

// All of a trajectory as one comparison: that of the step which is off most, measured by its own tolerance.
Comparison compare_steps(const std::string& name, const StoredTensor& expected,
                         const std::vector<Tensor>& latents) {
  const std::vector<float> values = expected.to_floats();
  if (expected.shape.empty() || expected.shape.front() != static_cast<int64_t>(latents.size())) {
    return not_compared(name, "the run has " + std::to_string(latents.size()) +
                                  " latents, but the reference has the shape " + to_string(expected.shape));
  }
  Comparison worst;
  for (size_t k = 0; k < latents.size(); ++k) {
    const Tensor reference = item(expected, values, k);
    const double tolerance = 2e-5 * largest(reference.values()) + 2e-6;
    const std::vector<int64_t> shape(expected.shape.begin() + 1, expected.shape.end());
    Comparison step = compare(name, latents[k], reference.values(), shape, tolerance, false);
    if (!step.problem.empty()) return step;
    step.index.insert(step.index.begin(), static_cast<int64_t>(k));
    if (k == 0 || step.ratio > worst.ratio) worst = step;
  }
  worst.shape = expected.shape;
  return worst;
}

// Numbers that need not agree to the last bit: each may be off by
// `relative` times itself, or that of `least`.
Comparison compare_numbers(const std::string& name, const std::vector<float>& actual,
                           const std::vector<float>& expected, double relative, double least) {
  if (actual.size() != expected.size()) return compare(name, actual, expected, {}, 0);
  Comparison worst;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double tolerance = relative * std::max(std::fabs(static_cast<double>(expected[i])), least);
    Comparison one =
        compare(name, std::span(actual).subspan(i, 1), std::span(expected).subspan(i, 1), {1}, tolerance);
    one.index = {static_cast<int64_t>(i)};
    if (i == 0 || one.ratio > worst.ratio) worst = one;
  }
  worst.name = name;
  worst.shape = {static_cast<int64_t>(expected.size())};
  return worst;
}

// ---- Runs of diffusers' schedulers

const std::map<std::string, std::string>& schedulers() {
  static const std::map<std::string, std::string> table = {
      {"DDIMScheduler", "ddim"},
      {"DDPMScheduler", "ddpm"},
      {"DPMSolverMultistepScheduler", "dpmpp_2m"},
      {"EulerAncestralDiscreteScheduler", "euler_ancestral"},
      {"EulerDiscreteScheduler", "euler"},
  };
  return table;
}

// Keys of scheduler_config.json that models/checkpoints/config.h reads.
bool is_read(const std::string& key) {
  static const std::vector<std::string> keys = {
      "num_train_timesteps", "beta_start",        "beta_end",          "beta_schedule",
      "trained_betas",       "prediction_type",   "timestep_spacing",  "steps_offset",
      "clip_sample",         "clip_sample_range", "set_alpha_to_one",  "rescale_betas_zero_snr",
      "variance_type",       "use_karras_sigmas", "lower_order_final", "euler_at_final",
      "final_sigmas_type",   "thresholding"};
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

// Keys with one value that is what our samplers do.
const std::map<std::string, nlohmann::json>& only_values() {
  static const std::map<std::string, nlohmann::json> table = {
      {"algorithm_type", "dpmsolver++"}, {"interpolation_type", "linear"}, {"solver_order", 2},
      {"solver_type", "midpoint"},       {"timestep_type", "discrete"},    {"use_lu_lambdas", false}};
  return table;
}

struct SchedulerRun {
  const Sampler* sampler;
  nlohmann::json config;
  float eta = 0;
};

// Throws NotBuilt when the run's scheduler, or an option of it, is none of ours.
SchedulerRun scheduler_run(const Params& run, const Params& betas) {
  const std::string scheduler = run.text("scheduler");
  const auto found = schedulers().find(scheduler);
  if (found == schedulers().end()) throw NotBuilt("the sampler of " + scheduler + " is not built yet");
  SchedulerRun result{.sampler = &sampler_named(found->second), .config = betas.values()};
  const Params config = run.object("config");
  for (const auto& [key, value] : config.values().items()) {
    const auto only = only_values().find(key);
    if (only != only_values().end() && value == only->second) continue;
    if (!is_read(key)) {
      throw NotBuilt(scheduler + " with " + key + " " + value.dump() + " is not built yet");
    }
    result.config[key] = value;
  }
  const Params step = run.object("step_kwargs");
  for (const std::string& key : step.keys()) {
    if (key == "eta" && result.sampler == &sampler_named("ddim")) continue;
    if (step.number(key, 0) != 0) throw NotBuilt(scheduler + " with " + key + " is not built yet");
  }
  result.eta = static_cast<float>(step.number("eta", 0));
  return result;
}

struct Trajectory {
  std::string prefix;  // "ddim_eta1/eps/20/"
  bool predicts_v = false;
  int steps = 0;
};

// From "<run>/<eps or v>/<...>/<steps>/out/latents".
std::vector<Trajectory> trajectories_of(const Case& the_case) {
  std::vector<Trajectory> list;
  for (const TensorEntry& tensor : the_case.entry->tensors) {
    const NameParts parts = parts_of(tensor.name);
    if (tensor.role != Role::output || !parts.tag.starts_with(the_case.part + "/")) continue;
    const std::string rest = parts.tag.substr(the_case.part.size() + 1);
    const std::string prediction = rest.substr(0, rest.find('/'));
    const std::string steps = rest.substr(rest.rfind('/') + 1);
    const bool number =
        !steps.empty() && steps.size() < 6 && steps.find_first_not_of("0123456789") == std::string::npos;
    if ((prediction != "eps" && prediction != "v") || !number || parts.rest != "latents") {
      throw Error(the_case.path() + ": " + in_quotes(tensor.name) +
                  " is no trajectory, which would be <run>/<eps or v>/<steps>/out/latents");
    }
    list.push_back({parts.tag + "/", prediction == "v", std::stoi(steps)});
  }
  return list;
}

// Runs the sampler; the latents are those before the first step and after each.
std::vector<Tensor> latents_of(const Sampler& sampler, const Plan& plan, float eta,
                               const SafetensorsFile& file) {
  const Tensor x0 = file.at("in/x0").to_tensor();
  std::vector<Tensor> latents = {scale(x0, plan.init_noise_sigma)};
  sample(sampler,
         {.plan = plan,
          .model = formula_model,
          .noise = noise_of(file.at("in/noise")),
          .eta = eta,
          .on_step = [&](const Step& step) { latents.push_back(step.latent); }},
         x0);
  return latents;
}

void run_diffusers_trajectory(const SafetensorsFile& file, SchedulerRun run, const Trajectory& trajectory,
                              Comparisons& comparisons) {
  run.config["prediction_type"] = trajectory.predicts_v ? "v_prediction" : "epsilon";
  const Plan plan = cutaway::plan(*run.sampler, scheduler_config(run.config, file.path()), trajectory.steps);
  const auto compare_list = [&](const std::string& name, const std::vector<float>& ours, double relative,
                                double least) {
    const StoredTensor* stored = file.find(trajectory.prefix + name);
    if (!stored) return;
    comparisons.push_back(compare_numbers(stored->name, ours, stored->to_floats(), relative, least));
  };
  compare_list("timesteps", plan.timesteps, 1e-6, 1000);
  if (!plan.sigmas.empty()) compare_list("sigmas", plan.sigmas, 5e-6, 1e-3);
  compare_list("init_noise_sigma", {plan.init_noise_sigma}, 5e-6, 1);
  const StoredTensor& expected = file.at(trajectory.prefix + "out/latents");
  comparisons.push_back(
      compare_steps(expected.name, expected, latents_of(*run.sampler, plan, run.eta, file)));
}

// ---- Schedules and the forward process

SchedulerConfig schedule_config(const std::string& name, const Params& betas) {
  SchedulerConfig config = scheduler_config(betas.values(), betas.where());
  if (name == "ddpm_linear") return {};  // Ho et al. 2020: linear from 0.0001 to 0.02
  if (name == "linear" || name == "scaled_linear" || name == "squaredcos_cap_v2") {
    config.beta_schedule = beta_schedule_named(name);
    return config;
  }
  throw NotBuilt("there is no noise schedule " + in_quotes(name));
}

Comparisons run_schedule(const Case& the_case, const SafetensorsFile& file) {
  const std::string name = the_case.part.substr(the_case.part.rfind('/') + 1);
  SchedulerConfig config = schedule_config(name, the_case.entry->params.object("betas"));
  Comparisons comparisons;
  for (const TensorEntry& tensor : the_case.entry->tensors) {
    if (!tensor.name.starts_with(the_case.part + "/")) continue;
    const std::string what = tensor.name.substr(the_case.part.size() + 1);
    const std::vector<float> expected = file.at(tensor.name).to_floats();
    config.num_train_timesteps = static_cast<int64_t>(expected.size());
    const NoiseSchedule schedule(config);
    if (what == "betas") {
      comparisons.push_back(compare_numbers(tensor.name, schedule.betas, expected, 1e-6, 0));
    } else if (what == "alphas_cumprod") {
      comparisons.push_back(compare_numbers(tensor.name, schedule.alphas_cumprod, expected, 2e-6, 0));
    } else {
      comparisons.push_back(
          not_compared(tensor.name, "no such value: a schedule has betas and alphas_cumprod"));
    }
  }
  return comparisons;
}

// add_noise/<t>/out/noisy and velocity, of add_noise/x and the first of in/noise.
Comparisons run_add_noise(const Case& the_case, const SafetensorsFile& file) {
  const Params betas = the_case.entry->params.object("betas");
  const NoiseSchedule schedule(scheduler_config(betas.values(), betas.where()));
  const Tensor x = file.at("add_noise/x").to_tensor();
  const StoredTensor& noises = file.at("in/noise");
  const Tensor noise = item(noises, noises.to_floats(), 0);
  Comparisons comparisons;
  for (const TensorEntry& tensor : the_case.entry->tensors) {
    const NameParts parts = parts_of(tensor.name);
    if (tensor.role != Role::output || !parts.tag.starts_with(the_case.part + "/")) continue;
    const std::string t = parts.tag.substr(the_case.part.size() + 1);
    const bool number = !t.empty() && t.size() < 6 && t.find_first_not_of("0123456789") == std::string::npos;
    if (!number || std::stoll(t) >= schedule.count()) {
      throw Error(the_case.path() + ": " + in_quotes(tensor.name) + " names no training time step");
    }
    const float ab = schedule.alpha_bar(std::stoll(t));
    if (parts.rest == "noisy") {
      comparisons.push_back(compare_with(file, tensor, add_noise(x, noise, ab), false));
    } else if (parts.rest == "velocity") {
      comparisons.push_back(compare_with(file, tensor, velocity(x, noise, ab), false));
    } else {
      comparisons.push_back(not_compared(tensor.name, "no such value: there are noisy and velocity"));
    }
  }
  return comparisons;
}

// ---- k-diffusion

NoiseSchedule stable_diffusion_schedule(const Params& params) {
  SchedulerConfig config;
  config.beta_schedule = BetaSchedule::scaled_linear;
  config.beta_start = 0.00085;
  config.beta_end = 0.012;
  if (params.has("betas")) config = scheduler_config(params.object("betas").values(), params.where());
  return NoiseSchedule(config);
}

// denoiser/: which time step a noise level belongs to.
Comparisons run_denoiser(const Case& the_case, const SafetensorsFile& file) {
  const std::vector<float> all = stable_diffusion_schedule(the_case.entry->params).sigmas();
  std::vector<float> t, nearest;
  for (const float sigma : file.at("denoiser/in/sigmas").to_floats()) {
    t.push_back(static_cast<float>(timestep_of(all, sigma)));
    const auto log_distance = [&](float of) { return std::fabs(std::log(of) - std::log(sigma)); };
    const auto closest = std::min_element(
        all.begin(), all.end(), [&](float a, float b) { return log_distance(a) < log_distance(b); });
    nearest.push_back(static_cast<float>(closest - all.begin()));
  }
  Comparisons comparisons;
  for (const TensorEntry& tensor : the_case.entry->tensors) {
    const StoredTensor& stored = file.at(tensor.name);
    const auto count = static_cast<int64_t>(t.size());
    if (tensor.name == "denoiser/all_sigmas") {
      comparisons.push_back(compare_numbers(tensor.name, all, stored.to_floats(), 5e-6, 0));
    } else if (tensor.name == "denoiser/out/t") {
      comparisons.push_back(compare_with(file, tensor, Tensor({count}, t), false));
    } else if (tensor.name == "denoiser/out/t_quantized") {
      comparisons.push_back(compare_numbers(tensor.name, nearest, stored.to_floats(), 0, 0));
    } else if (tensor.name.starts_with("denoiser/out/")) {
      comparisons.push_back(not_compared(tensor.name, "no such value"));
    }
  }
  return comparisons;
}

const Sampler& kdiffusion_sampler(const std::string& name) {
  static const std::set<std::string> known = {"dpmpp_2m", "euler", "euler_ancestral"};
  if (!known.contains(name)) throw NotBuilt("k-diffusion's sampler " + name + " is not built yet");
  return sampler_named(name);
}

}  // namespace

Comparisons run_diffusers_sampler(const Case& the_case) {
  const Params& params = the_case.entry->params;
  const SafetensorsFile file = SafetensorsFile::open(the_case.path());
  if (the_case.part.starts_with("schedule/")) return run_schedule(the_case, file);
  if (the_case.part == "add_noise") return run_add_noise(the_case, file);
  const Params runs = params.object("runs");
  if (!runs.has(the_case.part)) runs.refuse(the_case.part, "is needed to know the scheduler of this run");
  const SchedulerRun run = scheduler_run(runs.object(the_case.part), params.object("betas"));
  Comparisons comparisons;
  for (const Trajectory& trajectory : trajectories_of(the_case)) {
    run_diffusers_trajectory(file, run, trajectory, comparisons);
  }
  return comparisons;
}

Comparisons run_kdiffusion_sampler(const Case& the_case) {
  const SafetensorsFile file = SafetensorsFile::open(the_case.path());
  if (the_case.part == "denoiser") return run_denoiser(the_case, file);
  const Sampler& sampler = kdiffusion_sampler(the_case.part);
  const NoiseSchedule schedule = stable_diffusion_schedule(the_case.entry->params);
  Comparisons comparisons;
  for (const Trajectory& trajectory : trajectories_of(the_case)) {
    const PredictionType type =
        trajectory.predicts_v ? PredictionType::v_prediction : PredictionType::epsilon;
    const Plan plan = plan_for_sigmas(schedule, type, file.at(trajectory.prefix + "in/sigmas").to_floats());
    const StoredTensor& expected = file.at(trajectory.prefix + "out/latents");
    comparisons.push_back(compare_steps(expected.name, expected, latents_of(sampler, plan, 0, file)));
  }
  return comparisons;
}

}  // namespace cutaway::verify
