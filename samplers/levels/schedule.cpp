#include "samplers/levels/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "tensor/error.h"
#include "tensor/files/text.h"
#include "tensor/ops.h"

namespace cutaway {
namespace {

// torch.linspace in float32, to the last bit where it works on eight numbers at a time: each eight start at
// first + step i (from the end: last - step (count - 1 - i)) in one rounding, and go on from there.
std::vector<float> linspace(double from, double to, int64_t count) {
  const auto first = static_cast<float>(from), last = static_cast<float>(to);
  const float step = count > 1 ? (last - first) / static_cast<float>(count - 1) : 0;
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t begin = i + 8 - i % 8 <= count ? i - i % 8 : i;
    const float base = begin < count / 2 || count == 1
                           ? std::fma(step, static_cast<float>(begin), first)
                           : std::fma(-step, static_cast<float>(count - 1 - begin), last);
    values.push_back(base + step * static_cast<float>(i - begin));
  }
  return values;
}

// Nichol & Dhariwal 2021, eq. 17: alpha_bar(t) = f(t) / f(0),
// beta = 1 - alpha_bar_t / alpha_bar_(t-1), at most 0.999.
std::vector<float> cosine_betas(int64_t count) {
  const auto f = [](double t) { return std::pow(std::cos((t + 0.008) / 1.008 * std::numbers::pi / 2), 2); };
  std::vector<float> betas;
  for (int64_t i = 0; i < count; ++i) {
    const double t = static_cast<double>(i) / static_cast<double>(count);
    const double t_next = static_cast<double>(i + 1) / static_cast<double>(count);
    betas.push_back(static_cast<float>(std::min(1 - f(t_next) / f(t), 0.999)));
  }
  return betas;
}

std::vector<float> betas_of(const SchedulerConfig& config) {
  const int64_t count = config.num_train_timesteps;
  if (!config.trained_betas.empty()) return config.trained_betas;
  if (config.beta_schedule == BetaSchedule::squaredcos_cap_v2) return cosine_betas(count);
  if (config.beta_schedule == BetaSchedule::linear)
    return linspace(config.beta_start, config.beta_end, count);
  std::vector<float> betas = linspace(std::sqrt(config.beta_start), std::sqrt(config.beta_end), count);
  for (float& beta : betas) beta *= beta;
  return betas;
}

// The product is kept in double, as PyTorch does, and each of its values rounded.
std::vector<float> cumulative_product_of_alphas(const std::vector<float>& betas) {
  std::vector<float> alphas_cumprod;
  double product = 1;
  for (const float beta : betas) {
    product *= 1 - beta;
    alphas_cumprod.push_back(static_cast<float>(product));
  }
  return alphas_cumprod;
}

void check(const SchedulerConfig& config) {
  const int64_t count = config.num_train_timesteps;
  if (count < 1 || count > 1'000'000) {
    throw Error("the noise schedule has num_train_timesteps " + std::to_string(count) +
                ", but must have from 1 to 1000000");
  }
  if (!config.trained_betas.empty() && static_cast<int64_t>(config.trained_betas.size()) != count) {
    throw Error("the noise schedule has " + std::to_string(config.trained_betas.size()) +
                " trained_betas, but num_train_timesteps is " + std::to_string(count));
  }
}

template <class Value>
struct Named {
  std::string_view name;
  Value value;
};

template <class Value, size_t n>
Value named(const char* key, std::string_view name, const Named<Value> (&known)[n]) {
  std::string names;
  for (const auto& one : known) {
    if (one.name == name) return one.value;
    names += (names.empty() ? "" : ", ") + std::string(one.name);
  }
  throw Error(std::string(key) + " is " + in_quotes(name) + ", but must be one of " + names);
}

}  // namespace

BetaSchedule beta_schedule_named(std::string_view name) {
  return named<BetaSchedule>("beta_schedule", name,
                             {{"linear", BetaSchedule::linear},
                              {"scaled_linear", BetaSchedule::scaled_linear},
                              {"squaredcos_cap_v2", BetaSchedule::squaredcos_cap_v2}});
}

PredictionType prediction_type_named(std::string_view name) {
  if (name == "sample") {
    throw Error(
        "prediction_type is 'sample': a model that predicts the picture itself is not supported, only one "
        "that predicts epsilon or v_prediction");
  }
  return named<PredictionType>(
      "prediction_type", name,
      {{"epsilon", PredictionType::epsilon}, {"v_prediction", PredictionType::v_prediction}});
}

TimestepSpacing timestep_spacing_named(std::string_view name) {
  return named<TimestepSpacing>("timestep_spacing", name,
                                {{"leading", TimestepSpacing::leading},
                                 {"trailing", TimestepSpacing::trailing},
                                 {"linspace", TimestepSpacing::linspace}});
}

VarianceType variance_type_named(std::string_view name) {
  return named<VarianceType>(
      "variance_type", name,
      {{"fixed_small", VarianceType::fixed_small}, {"fixed_large", VarianceType::fixed_large}});
}

FinalSigma final_sigma_named(std::string_view name) {
  return named<FinalSigma>("final_sigmas_type", name,
                           {{"zero", FinalSigma::zero}, {"sigma_min", FinalSigma::sigma_min}});
}

NoiseSchedule::NoiseSchedule(const SchedulerConfig& config) {
  check(config);
  betas = betas_of(config);
  for (size_t t = 0; t < betas.size(); ++t) {
    if (!(betas[t] > 0 && betas[t] < 1)) {
      throw Error("the noise schedule has beta " + std::to_string(betas[t]) + " at time step " +
                  std::to_string(t) + ", but every beta must lie between 0 and 1");
    }
  }
  if (config.rescale_betas_zero_snr) betas = rescaled_to_zero_snr(betas);
  alphas_cumprod = cumulative_product_of_alphas(betas);
}

std::vector<float> NoiseSchedule::sigmas() const {
  std::vector<float> sigmas;
  for (const float ab : alphas_cumprod) sigmas.push_back(std::sqrt((1 - ab) / ab));
  return sigmas;
}

std::vector<float> rescaled_to_zero_snr(const std::vector<float>& betas) {
  std::vector<float> root = cumulative_product_of_alphas(betas);  // sqrt(alpha_bar)
  for (float& r : root) r = std::sqrt(r);
  const float first = root.front(), last = root.back();
  if (first == last)
    throw Error("a noise schedule of one time step cannot be rescaled to zero signal at its end");
  for (float& r : root) r = (r - last) * (first / (first - last));  // the last becomes 0, the first stays
  std::vector<float> rescaled;
  for (size_t t = 0; t < root.size(); ++t) {
    const float ab = root[t] * root[t];
    rescaled.push_back(1 - (t == 0 ? ab : ab / (root[t - 1] * root[t - 1])));
  }
  return rescaled;
}

std::vector<double> spaced_timesteps(TimestepSpacing spacing, int64_t train_steps, int64_t steps,
                                     int64_t offset) {
  const auto T = static_cast<double>(train_steps), n = static_cast<double>(steps);
  std::vector<double> timesteps;
  for (int64_t i = 0; i < steps; ++i) {
    const int64_t from_end = steps - 1 - i;
    if (spacing == TimestepSpacing::trailing) {
      timesteps.push_back(std::nearbyint(T - static_cast<double>(i) * (T / n)) - 1);
    } else if (spacing == TimestepSpacing::leading) {
      timesteps.push_back(static_cast<double>(from_end * (train_steps / steps) + offset));
    } else {
      timesteps.push_back(from_end == 0           ? 0
                          : from_end == steps - 1 ? T - 1
                                                  : static_cast<double>(from_end) * ((T - 1) / (n - 1)));
    }
    if (!(timesteps.back() >= 0 && timesteps.back() <= T - 1)) {
      throw Error("with " + std::to_string(steps) + " steps and steps_offset " + std::to_string(offset) +
                  " a step lands on time step " + std::to_string(static_cast<int64_t>(timesteps.back())) +
                  ", but the model was trained on 0 to " + std::to_string(train_steps - 1) +
                  ": take fewer steps");
    }
  }
  return timesteps;
}

double sigma_at(const std::vector<float>& sigmas, double t) {
  const auto last = static_cast<int64_t>(sigmas.size()) - 1;
  const auto low = std::clamp<int64_t>(static_cast<int64_t>(std::floor(t)), 0, last);
  const double sigma = sigmas[static_cast<size_t>(low)];
  if (low == last) return sigma;
  const double next = sigmas[static_cast<size_t>(low + 1)];
  return sigma + (next - sigma) * (t - static_cast<double>(low));
}

double timestep_of(const std::vector<float>& sigmas, double sigma) {
  if (sigmas.size() < 2) return 0;
  const double log_sigma = std::log(std::max(sigma, 1e-10));
  // Compared in float32, as the originals do, so that a sigma of the schedule finds its own time step.
  const auto not_above = [&](float s) { return std::log(s) <= static_cast<float>(log_sigma); };
  const auto last = std::find_if(sigmas.rbegin(), sigmas.rend(), not_above);  // rend: all are above
  const int64_t low =
      std::clamp<int64_t>(sigmas.rend() - last - 1, 0, static_cast<int64_t>(sigmas.size()) - 2);
  const double log_low = std::log(sigmas[static_cast<size_t>(low)]);
  const double log_high = std::log(sigmas[static_cast<size_t>(low + 1)]);
  return static_cast<double>(low) + std::clamp((log_sigma - log_low) / (log_high - log_low), 0.0, 1.0);
}

std::vector<double> karras_sigmas(double sigma_min, double sigma_max, int64_t n) {
  constexpr double rho = 7;
  const double low = std::pow(sigma_min, 1 / rho), high = std::pow(sigma_max, 1 / rho);
  std::vector<double> sigmas;
  for (int64_t i = 0; i < n; ++i) {
    const double ramp = n > 1 ? static_cast<double>(i) / static_cast<double>(n - 1) : 0;
    sigmas.push_back(std::pow(high + ramp * (low - high), rho));
  }
  return sigmas;
}

Tensor add_noise(const Tensor& x0, const Tensor& eps, float ab) {
  return add(scale(x0, std::sqrt(ab)), scale(eps, std::sqrt(1 - ab)));
}

Tensor velocity(const Tensor& x0, const Tensor& eps, float ab) {
  return sub(scale(eps, std::sqrt(ab)), scale(x0, std::sqrt(1 - ab)));
}

}  // namespace cutaway
