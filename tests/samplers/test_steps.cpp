// Each step against its equation, written out number by number, and the samplers against each other where
// theory says that they agree.
#include <doctest/doctest.h>

#include "samplers/ddim.h"
#include "samplers/ddpm.h"
#include "samplers/dpmpp_2m.h"
#include "samplers/euler.h"
#include "samplers/euler_ancestral.h"
#include "tests/samplers/trajectory.h"

namespace cutaway::test {
namespace {

const Shape shape{2, 4, 3, 5};

// f of the numbers at one place of a, b and c, at every place.
template <class F>
Tensor for_each_number(const Tensor& a, const Tensor& b, const Tensor& c, F f) {
  Tensor y(a.shape());
  for (int64_t i = 0; i < a.count(); ++i) {
    y.mutable_data()[i] =
        static_cast<float>(f(double{a.data()[i]}, double{b.data()[i]}, double{c.data()[i]}));
  }
  return y;
}

double sigma_of(double ab) { return std::sqrt((1 - ab) / ab); }

const Tensor x = random_tensor(shape, 1), eps = random_tensor(shape, 2), z = random_tensor(shape, 3);
constexpr double ab = 0.3, ab_to = 0.55;

}  // namespace

TEST_CASE("DDIM eq. 12 and 16") {
  for (const double eta : {0.0, 0.4, 1.0}) {
    const auto equation = [&](double x_t, double e, double noise) {
      const double sigma = eta * std::sqrt((1 - ab_to) / (1 - ab)) * std::sqrt(1 - ab / ab_to);
      return std::sqrt(ab_to) * ((x_t - std::sqrt(1 - ab) * e) / std::sqrt(ab)) +
             std::sqrt(1 - ab_to - sigma * sigma) * e + sigma * noise;
    };
    const Tensor expected = for_each_number(x, eps, z, equation);
    CHECK_CLOSE(ddim_step(from_eps(x, eps, ab), ab, ab_to, eta, z), expected, 2e-6);
    CHECK_DIFFERS(ddim_step(from_eps(x, eps, ab), ab, ab_to, 0.2, z), expected, 1e-2);  // another eta
    CHECK_DIFFERS(ddim_step(from_v(x, eps, ab), ab, ab_to, eta, z), expected, 1e-2);    // taken as v
    CHECK_DIFFERS(ddim_step(from_eps(x, eps, ab), ab, ab_to - 0.01, eta, z), expected,
                  2e-3);  // another ab_to
  }
}

TEST_CASE("DDPM eq. 7, and DDIM with eta 1 is the same step") {
  const Tensor x0 = from_eps(x, eps, ab).x0;
  const auto equation = [&](double x_t, double clean, double noise) {
    const double alpha = ab / ab_to, beta = 1 - alpha;
    const double mean =
        std::sqrt(ab_to) * beta / (1 - ab) * clean + std::sqrt(alpha) * (1 - ab_to) / (1 - ab) * x_t;
    return mean + std::sqrt((1 - ab_to) / (1 - ab) * beta) * noise;
  };
  const Tensor expected = for_each_number(x, x0, z, equation);
  const Tensor small = ddpm_step(x, x0, ab, ab_to, VarianceType::fixed_small, z);
  CHECK_CLOSE(small, expected, 2e-6);
  CHECK_CLOSE(ddim_step({x0, eps}, ab, ab_to, 1, z), small, 2e-6);
  CHECK_DIFFERS(ddim_step({x0, eps}, ab, ab_to, 0.9, z), small, 1e-2);
  CHECK_DIFFERS(ddpm_step(x, x0, ab, ab_to, VarianceType::fixed_large, z), small, 1e-2);
  CHECK(ddpm_variance(VarianceType::fixed_large, ab, ab_to) == doctest::Approx(1 - ab / ab_to));
}

TEST_CASE("Euler's step, and DDIM with eta 0 is the same in its scale") {
  const double sigma = sigma_of(ab), sigma_to = sigma_of(ab_to);
  const Tensor x0 = from_eps(x, eps, ab).x0;
  const Tensor x_sigma = scale(x, static_cast<float>(1 / std::sqrt(ab)));  // x0 + sigma eps
  const Tensor expected = for_each_number(x_sigma, x0, z, [&](double at, double clean, double) {
    return at + (at - clean) / sigma * (sigma_to - sigma);
  });
  const Tensor actual = euler_step(x_sigma, x0, sigma, sigma_to);
  CHECK_CLOSE(actual, expected, 2e-6);
  CHECK_CLOSE(scale(actual, static_cast<float>(std::sqrt(ab_to))), ddim_step({x0, eps}, ab, ab_to, 0, z),
              2e-6);
  CHECK_DIFFERS(euler_step(x_sigma, x0, sigma_to, sigma), expected, 1e-2);  // up instead of down
}

TEST_CASE("the ancestral step goes to sigma_down, and is DDIM with eta 1 in its scale") {
  const double sigma = sigma_of(ab), sigma_to = sigma_of(ab_to);
  const auto [down, up] = ancestral_levels(sigma, sigma_to);
  CHECK(down * down + up * up == doctest::Approx(sigma_to * sigma_to));
  CHECK(down == doctest::Approx(sigma_to * sigma_to / sigma));

  const Tensor x0 = from_eps(x, eps, ab).x0;
  const Tensor x_sigma = scale(x, static_cast<float>(1 / std::sqrt(ab)));
  const Tensor actual = euler_ancestral_step(x_sigma, x0, sigma, sigma_to, z);
  CHECK_CLOSE(scale(actual, static_cast<float>(std::sqrt(ab_to))), ddim_step({x0, eps}, ab, ab_to, 1, z),
              3e-6);
  const Tensor twin = add(euler_step(x_sigma, x0, sigma, sigma_to), scale(z, static_cast<float>(up)));
  CHECK_DIFFERS(twin, actual, 1e-2);  // to sigma_to, and the noise on top
  CHECK_CLOSE(euler_ancestral_step(x_sigma, x0, sigma, 0, Tensor()), x0, 2e-6);
}

TEST_CASE("DPM-Solver++(2M), algorithm 2") {
  const auto at = [](double alpha_bar) { return Level{std::sqrt(alpha_bar), std::sqrt(1 - alpha_bar)}; };
  const Level before = at(0.1), s = at(ab), t = at(ab_to);
  const Tensor x0 = from_eps(x, eps, ab).x0, x0_before = random_tensor(shape, 4);
  const auto lambda = [](const Level& l) { return std::log(l.alpha) - std::log(l.sigma); };
  const double h = lambda(t) - lambda(s), r = (lambda(s) - lambda(before)) / h;
  const Tensor expected =
      for_each_number(x, x0, x0_before, [&](double x_s, double clean, double clean_before) {
        const double d = (1 + 1 / (2 * r)) * clean - 1 / (2 * r) * clean_before;
        return t.sigma / s.sigma * x_s - t.alpha * (std::exp(-h) - 1) * d;
      });
  CHECK_CLOSE(dpmpp_2m_step(x, x0, x0_before, before, s, t), expected, 4e-6);
  CHECK_DIFFERS(dpmpp_2m_step(x, x0_before, x0, before, s, t), expected,
                1e-2);  // the two predictions exchanged
  CHECK_DIFFERS(dpmpp_1_step(x, x0, s, t), expected, 1e-2);

  CHECK_CLOSE(dpmpp_1_step(x, x0, s, t), ddim_step({x0, eps}, ab, ab_to, 0, z), 2e-6);  // section 4.1
  CHECK_CLOSE(dpmpp_1_step(x, x0, s, {.alpha = 1, .sigma = 0}), x0, 1e-7);              // no noise left
}

// Pictures whose numbers are independent and normal with standard deviation c have an exact answer: the best
// x0 is c^2 / (c^2 + sigma^2) x, and x shrinks with sqrt(c^2 + sigma^2).
TEST_CASE("Euler's error falls with the step, that of DPM-Solver++(2M) with its square") {
  constexpr double c = 0.5;
  const Model eps_of_normal_pictures = [](const Tensor& x_t, float t) {
    static const NoiseSchedule schedule(stable_diffusion_betas());
    const double sigma = sigma_at(schedule.sigmas(), t), level = 1 / std::sqrt(1 + sigma * sigma);
    return scale(x_t, static_cast<float>(sigma / (c * c + sigma * sigma) / level));
  };
  const auto error = [&](const Sampler& sampler, int steps) {
    SchedulerConfig config = stable_diffusion_betas();
    config.use_karras_sigmas = sampler.name == std::string("euler");
    const Plan made = plan(sampler, config, steps);
    const Tensor start = Tensor::filled({1}, 1), end = sample(sampler, {made, eps_of_normal_pictures}, start);
    const double sigma = made.sigmas.front();
    const double from = made.variance == Variance::exploding ? sigma : std::sqrt(1 + sigma * sigma);
    return std::fabs(end.data()[0] - from * c / std::sqrt(c * c + sigma * sigma));
  };
  const double euler = error(sampler_named("euler"), 16) / error(sampler_named("euler"), 64);
  const double second =
      error(sampler_named("dpmpp_2m_karras"), 16) / error(sampler_named("dpmpp_2m_karras"), 64);
  CHECK(euler > 2.5);
  CHECK(euler < 6);
  CHECK(second > 9);
}

}  // namespace cutaway::test
