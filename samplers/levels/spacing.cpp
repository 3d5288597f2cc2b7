#include "samplers/levels/spacing.h"

#include <algorithm>
#include <cmath>

#include "tensor/error.h"
#include "tensor/files/text.h"

namespace cutaway {
namespace {

struct NamedSpacing {
  const char* name;
  LevelSpacing spacing;
};
constexpr NamedSpacing spacings[] = {
    {"normal", LevelSpacing::normal},           {"karras", LevelSpacing::karras},
    {"exponential", LevelSpacing::exponential}, {"simple", LevelSpacing::simple},
    {"sgm_uniform", LevelSpacing::sgm_uniform}, {"ddim_uniform", LevelSpacing::ddim_uniform},
};

// `count` numbers from `first` to `last`, both among them; one alone is the first.
std::vector<double> even(double first, double last, int count) {
  std::vector<double> values;
  for (int i = 0; i < count; ++i)
    values.push_back(count == 1 ? first : first + (last - first) * i / (count - 1));
  return values;
}

std::vector<double> levels_of_timesteps(const std::vector<float>& sigmas, const std::vector<double>& steps) {
  std::vector<double> levels;
  for (const double t : steps) levels.push_back(sigma_between(sigmas, t));
  return levels;
}

std::vector<double> levels_of(LevelSpacing spacing, const std::vector<float>& sigmas, int n) {
  const auto count = static_cast<int>(sigmas.size());
  const double last = count - 1;
  std::vector<double> levels;
  switch (spacing) {
    case LevelSpacing::by_sampler:
      throw Error("the noise levels of a run need a spacing: by_sampler names none");
    case LevelSpacing::normal:
      return levels_of_timesteps(sigmas, even(last, 0, n));
    case LevelSpacing::sgm_uniform: {
      std::vector<double> timesteps = even(last, 0, n + 1);
      timesteps.pop_back();
      return levels_of_timesteps(sigmas, timesteps);
    }
    case LevelSpacing::karras:
      return karras_sigmas(sigmas.front(), sigmas.back(), n);
    case LevelSpacing::exponential:
      levels = even(std::log(sigmas.back()), std::log(sigmas.front()), n);
      for (double& level : levels) level = std::exp(level);
      return levels;
    case LevelSpacing::simple:
      for (int i = 0; i < n; ++i) {
        const auto back = static_cast<size_t>(i * (static_cast<double>(count) / n));
        levels.push_back(sigmas[sigmas.size() - 1 - back]);
      }
      return levels;
    case LevelSpacing::ddim_uniform:
      for (int t = 1; t < count; t += count / n) levels.push_back(sigmas[static_cast<size_t>(t)]);
      std::reverse(levels.begin(), levels.end());
      return levels;
  }
  return levels;
}

}  // namespace

LevelSpacing level_spacing_named(std::string_view name) {
  std::string known;
  for (const NamedSpacing& one : spacings) {
    if (name == one.name) return one.spacing;
    known += (known.empty() ? "" : ", ") + std::string(one.name);
  }
  throw Error("there is no spacing of noise levels " + in_quotes(name) + "; known are " + known +
              did_you_mean(name, level_spacing_names()));
}

std::vector<std::string> level_spacing_names() {
  std::vector<std::string> names;
  for (const NamedSpacing& one : spacings) names.emplace_back(one.name);
  return names;
}

const char* to_string(LevelSpacing spacing) {
  for (const NamedSpacing& one : spacings) {
    if (one.spacing == spacing) return one.name;
  }
  return "";
}

NoiseSchedule schedule_in_double(const SchedulerConfig& config) {
  NoiseSchedule schedule(config);
  if (config.rescale_betas_zero_snr) return schedule;  // only diffusers has it
  const auto last = static_cast<double>(schedule.count() - 1);
  double product = 1;
  for (int64_t t = 0; t < schedule.count(); ++t) {
    const auto at = static_cast<size_t>(t);
    const double way = last > 0 ? static_cast<double>(t) / last : 0;
    double beta = schedule.betas[at];
    if (config.trained_betas.empty() && config.beta_schedule == BetaSchedule::linear) {
      beta = config.beta_start + (config.beta_end - config.beta_start) * way;
    } else if (config.trained_betas.empty() && config.beta_schedule == BetaSchedule::scaled_linear) {
      const double first = std::sqrt(config.beta_start);
      const double root = first + (std::sqrt(config.beta_end) - first) * way;
      beta = root * root;
    }
    product *= 1 - beta;
    schedule.betas[at] = static_cast<float>(beta);
    schedule.alphas_cumprod[at] = static_cast<float>(product);
  }
  return schedule;
}

double sigma_between(const std::vector<float>& sigmas, double t) {
  const auto last = static_cast<double>(sigmas.size() - 1);
  const double clamped = std::clamp(t, 0.0, last);
  const auto low = static_cast<size_t>(clamped), high = static_cast<size_t>(std::ceil(clamped));
  const double way = clamped - std::floor(clamped);
  return std::exp((1 - way) * std::log(sigmas[low]) + way * std::log(sigmas[high]));
}

std::vector<float> spaced_levels(LevelSpacing spacing, const std::vector<float>& sigmas, int n) {
  if (n < 1 || static_cast<size_t>(n) > sigmas.size()) {
    throw Error("the number of steps is " + std::to_string(n) + ", but must be from 1 to " +
                std::to_string(sigmas.size()) + ", the model's training time steps");
  }
  const std::vector<double> levels = levels_of(spacing, sigmas, n);
  std::vector<float> rounded(levels.begin(), levels.end());
  rounded.push_back(0);
  return rounded;
}

void round_timesteps(Plan& plan) {
  for (float& t : plan.timesteps) t = std::ceil(t - 0.5F);  // of two that are equally near, the lower
}

Plan plan_compvis_ddim(const NoiseSchedule& schedule, PredictionType type, int n, bool leaves_out_last) {
  const auto count = static_cast<int>(schedule.count());
  const int stride = n < 1 || n > count ? 0 : count / n;
  std::vector<int> timesteps;
  for (int t = 0; stride > 0 && t < count; t += stride) timesteps.push_back(t + 1);
  if (leaves_out_last) {
    for (int& t : timesteps) t = std::min(t, count - 1);
  }
  const size_t left = leaves_out_last ? 1 : 0;
  if (timesteps.size() <= left) {
    throw Error("DDIM spaced as in latent diffusion cannot take " + std::to_string(n) + " steps: take from " +
                std::to_string(left + 1) + " to " + std::to_string(count));
  }
  if (timesteps.back() >= count) {
    throw Error("DDIM spaced as in latent diffusion cannot take " + std::to_string(n) +
                " steps: it would begin at time step " + std::to_string(timesteps.back()) +
                ", behind the training's last, " + std::to_string(count - 1) +
                "; take another number of steps");
  }
  Plan plan;
  plan.prediction_type = type;
  for (size_t i = timesteps.size(); i-- > left;) {
    plan.timesteps.push_back(static_cast<float>(timesteps[i]));
    plan.alpha_bars.push_back(schedule.alpha_bar(timesteps[i]));
    plan.alpha_bars_to.push_back(schedule.alpha_bar(i > 0 ? timesteps[i - 1] : 0));
  }
  return plan;
}

Plan preserving(const Plan& exploding) {
  Plan plan = exploding;
  plan.variance = Variance::preserving;
  plan.init_noise_sigma = 1;
  return plan;
}

}  // namespace cutaway
