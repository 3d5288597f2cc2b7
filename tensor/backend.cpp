#include "tensor/backend.h"

#include <omp.h>

#include <algorithm>
#include <array>

#include "tensor/error.h"
#include "tensor/trace.h"

namespace cutaway {
namespace {

// By the numbers of their enums.
constexpr std::array backend_names{"ref", "fast", "eigen", "shadow"};
constexpr std::array isa_names{"generic", "avx2", "avx512"};
constexpr std::array precision_names{"f32", "bf16"};
constexpr std::array convolution_names{"fastest", "direct"};

template <class Choice, size_t count>
Choice named(std::string_view name, const std::array<const char*, count>& names, const std::string& refusal) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found != names.end()) return static_cast<Choice>(found - names.begin());
  std::string known = names[0];
  for (size_t i = 1; i < count; ++i) known += (i + 1 < count ? ", " : " and ") + std::string(names[i]);
  throw Error(refusal + "; known are " + known);
}

Backend backend_named(std::string_view name) {
  return named<Backend>(name, backend_names, "there is no backend '" + std::string(name) + "'");
}

struct BackendRule {
  std::string path;
  Backend backend;
};

struct Choice {
  std::string text = "fast";
  Backend everywhere = Backend::fast;
  std::vector<BackendRule> below;  // longest path first
};

Choice& choice() {
  static Choice the_choice;
  return the_choice;
}

bool is_below(std::string_view path, std::string_view root) {
  return path.starts_with(root) && (path.size() == root.size() || path[root.size()] == '.');
}

Precision precision_in_use = Precision::f32;
Convolution convolution_in_use = Convolution::fastest;

Isa& isa_in_use() {
  static Isa isa = best_isa();
  return isa;
}

}  // namespace

const char* to_string(Backend backend) { return backend_names.at(static_cast<size_t>(backend)); }
const char* to_string(Isa isa) { return isa_names.at(static_cast<size_t>(isa)); }
const char* to_string(Precision precision) { return precision_names.at(static_cast<size_t>(precision)); }
const char* to_string(Convolution way) { return convolution_names.at(static_cast<size_t>(way)); }

void choose_backend(std::string_view text) {
  Choice chosen;
  chosen.text = text;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view part = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    const size_t equals = part.rfind('=');
    if (equals == std::string_view::npos) {
      chosen.everywhere = backend_named(part);
    } else {
      chosen.below.push_back({std::string(part.substr(0, equals)), backend_named(part.substr(equals + 1))});
    }
  }
  std::stable_sort(chosen.below.begin(), chosen.below.end(),
                   [](const BackendRule& a, const BackendRule& b) { return a.path.size() > b.path.size(); });
  choice() = std::move(chosen);
}

std::string chosen_backend() { return choice().text; }

std::vector<std::string> backend_paths() {
  std::vector<std::string> paths;
  for (const BackendRule& rule : choice().below) paths.push_back(rule.path);
  return paths;
}

Backend backend_at(std::string_view path) {
  for (const BackendRule& rule : choice().below) {
    if (is_below(path, rule.path)) return rule.backend;
  }
  return choice().everywhere;
}

Backend current_backend() {
  return choice().below.empty() ? choice().everywhere : backend_at(Scope::current_path());
}

Isa best_isa() {
#ifdef __x86_64__
  // Exactly the features the kernels use.
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("fma")) {
    return Isa::avx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Isa::avx2;
#endif
  return Isa::generic;
}

Isa current_isa() { return isa_in_use(); }

void choose_isa(std::string_view name) {
  const Isa isa = named<Isa>(name, isa_names, "there is no instruction set '" + std::string(name) + "'");
  if (isa > best_isa()) {
    throw Error("this processor has no " + std::string(name) + "; the best it has is " +
                to_string(best_isa()));
  }
  isa_in_use() = isa;
}

void choose_precision(std::string_view name) {
  precision_in_use =
      named<Precision>(name, precision_names, "products cannot be computed in '" + std::string(name) + "'");
}

Precision current_precision() { return precision_in_use; }

bool has_bf16_product() {
#ifdef __x86_64__
  static const bool processor_has_it = __builtin_cpu_supports("avx512bf16") != 0;
  return processor_has_it && current_isa() == Isa::avx512;
#else
  return false;
#endif
}

void choose_convolution(std::string_view name) {
  convolution_in_use =
      named<Convolution>(name, convolution_names, "there is no convolution '" + std::string(name) + "'");
}

Convolution current_convolution() { return convolution_in_use; }

void choose_threads(int threads) {
  if (threads < 1 || threads > 1024) {
    throw Error("the number of threads must be from 1 to 1024, but " + std::to_string(threads) +
                " was given");
  }
  omp_set_num_threads(threads);
}

int current_threads() { return omp_get_max_threads(); }

}  // namespace cutaway
