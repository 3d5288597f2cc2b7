// tensor/dispatch/: what stands between a call and its kernel: the checks, the choice, a dry run, a second
// opinion, a replay, a band of rows.
//
// run: all that stands between an operation and its kernel.   Doc: docs/operations.md
//
// An operation in tensor/ops.cpp checks its shapes, then calls this, which computes and tells. Computing is a
// call of one version. Three things may take its place: a band of a picture's rows has the version that
// reaches for the others, a dry run computes nothing, and shadow mode asks for a second opinion.
#pragma once

#include <type_traits>
#include <vector>

#include "tensor/backend.h"
#include "tensor/dispatch/dry_run.h"
#include "tensor/dispatch/replay.h"
#include "tensor/dispatch/row_bands.h"
#include "tensor/dispatch/shadow.h"
#include "tensor/trace.h"

namespace cutaway {

template <class... Parameters>
using Version = Tensor (*)(Parameters...);

/// An operation by its versions, all of one signature.
template <class... Parameters>
struct Operation {
  const char* name;
  Version<Parameters...> ref, fast;
  Version<Parameters...> eigen = nullptr;    // of matrix products; else the referee runs the definition
  Version<Parameters...> on_band = nullptr;  // of what needs more than a band's own rows
  bool told = true;                          // to observers

  /// For a part of another operation, which is told as a whole.
  Operation untold() const { return {name, ref, fast, eigen, on_band, false}; }
};
template <class... Parameters, class... More>
Operation(const char*, Version<Parameters...>, Version<Parameters...>, More...) -> Operation<Parameters...>;

/// The version for the layer that runs now. Beside `fast`, shadow mode runs `ref`.
template <class... Parameters>
Version<Parameters...> chosen(const Operation<Parameters...>& operation, Backend backend) {
  if (backend == Backend::fast || backend == Backend::shadow) return operation.fast;
  return backend == Backend::eigen && operation.eigen != nullptr ? operation.eigen : operation.ref;
}

/// The tensors among an operation's arguments, and the whole numbers.
struct Inputs {
  std::vector<const Tensor*> tensors;
  std::vector<int64_t> numbers;

  template <class... Arguments>
  explicit Inputs(const Arguments&... arguments) {
    (add(arguments), ...);
  }

  void add(const Tensor& x) { tensors.push_back(&x); }
  void add(const std::vector<Tensor>& parts) {
    for (const Tensor& part : parts) add(part);
  }
  void add(const Padding& p) {
    for (const int64_t pixels : {p.left, p.right, p.top, p.bottom}) add(pixels);
  }
  template <class Other>
  void add(const Other& other) {
    if constexpr (std::is_integral_v<Other>) numbers.push_back(other);
  }
};

/// Throws Error for what cannot be done on a band of a picture's rows.
template <class... Arguments>
void need_possible_on_band(const char* operation, const Arguments&... arguments) {
  const Inputs inputs(arguments...);
  const Shape x = inputs.tensors.empty() ? Shape() : inputs.tensors.front()->shape();
  bands::need_possible(operation, x, inputs.numbers);
}

template <class... Parameters>
Tensor run(const Operation<Parameters...>& operation, const std::type_identity_t<Parameters>&... arguments);

/// Tells observers what was done, and keeps the call for whoever records calls.
template <class... Parameters, class... Arguments>
void tell(const Operation<Parameters...>& operation, const Tensor& y, const Arguments&... arguments) {
  if (trace::observed()) {
    const Inputs inputs(arguments...);
    trace::operation_done(operation.name, inputs.tensors, y);
  }
  if (replay::recorder() != nullptr) {
    const auto again = [operation](const auto&... made) { return run(operation, made...); };
    replay::record(operation.name, y, again, arguments...);
  }
}

template <class... Parameters>
Tensor run(const Operation<Parameters...>& operation, const std::type_identity_t<Parameters>&... arguments) {
  const bool on_band = Bands::now() != nullptr;
  if (on_band) need_possible_on_band(operation.name, arguments...);

  Tensor y;
  if (on_band && operation.on_band != nullptr) {
    y = operation.on_band(arguments...);
  } else if (in_dry_run()) {
    y = dry_run::run(operation.fast, arguments...);
  } else {
    const Backend backend = current_backend();
    const Version<Parameters...> version = chosen(operation, backend);
    y = version(arguments...);
    if (backend == Backend::shadow)
      shadow::compare(operation.name, Scope::current_path(), y, operation.ref(arguments...));
  }

  if (operation.told) tell(operation, y, arguments...);
  return y;
}

/// Two operations, a multiplication and an addition, for each term of each sum.
inline void count_products(int64_t sums, int64_t terms) {
  if (in_dry_run() && !trace::observed()) return;  // nothing is done, and nobody asks
  trace::count_flops(2 * static_cast<double>(sums) * static_cast<double>(terms));
}

}  // namespace cutaway
