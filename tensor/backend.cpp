#include "tensor/backend.h"

#include <omp.h>

#include <algorithm>

#include "tensor/error.h"
#include "tensor/trace.h"

namespace cutaway {
namespace {

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

Backend backend_named(std::string_view name) {
  for (const Backend backend : {Backend::ref, Backend::fast, Backend::eigen, Backend::shadow}) {
    if (name == to_string(backend)) return backend;
  }
  throw Error("there is no backend '" + std::string(name) + "'; known are ref, fast, eigen and shadow");
}

bool is_below(std::string_view path, std::string_view root) {
  return path.starts_with(root) && (path.size() == root.size() || path[root.size()] == '.');
}

Isa& isa_in_use() {
  static Isa isa = best_isa();
  return isa;
}

}  // namespace

const char* to_string(Backend backend) {
  switch (backend) {
    case Backend::ref:
      return "ref";
    case Backend::fast:
      return "fast";
    case Backend::eigen:
      return "eigen";
    case Backend::shadow:
      return "shadow";
  }
  return "?";
}

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

Backend backend_at(std::string_view path) {
  for (const BackendRule& rule : choice().below) {
    if (is_below(path, rule.path)) return rule.backend;
  }
  return choice().everywhere;
}

Backend current_backend() {
  return choice().below.empty() ? choice().everywhere : backend_at(Scope::current_path());
}

const char* to_string(Isa isa) {
  switch (isa) {
    case Isa::generic:
      return "generic";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
  }
  return "?";
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
  for (const Isa isa : {Isa::generic, Isa::avx2, Isa::avx512}) {
    if (name != to_string(isa)) continue;
    if (isa > best_isa()) {
      throw Error("this processor has no " + std::string(name) + "; the best it has is " +
                  to_string(best_isa()));
    }
    isa_in_use() = isa;
    return;
  }
  throw Error("there is no instruction set '" + std::string(name) + "'; known are generic, avx2 and avx512");
}

void choose_threads(int threads) {
  if (threads < 1 || threads > 1024) {
    throw Error("the number of threads must be from 1 to 1024, but " + std::to_string(threads) +
                " was given");
  }
  omp_set_num_threads(threads);
}

int current_threads() { return omp_get_max_threads(); }

}  // namespace cutaway
