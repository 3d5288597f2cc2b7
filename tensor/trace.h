// Scopes and observers: every layer has one dotted path, and whatever happens in it can be watched by that
// path. Doc: docs/trace.md
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace cutaway {

/// Watches a run. All functions are called on the thread that runs the network, between operations.
/// A tensor given by reference may be replaced: the run goes on with the new one.
class Observer {
 public:
  virtual ~Observer() = default;
  /// A layer begins. `inputs` are its arguments, in the order of its operator().
  virtual void enter(const std::string& path, std::span<Tensor* const> inputs);
  /// A layer's result (at the layer's path) or an inner value that has a name of its own (path + "." + name).
  virtual void value(const std::string& path, Tensor& value);
  /// An operation is done; `path` is that of the layer it ran in. `inputs` are the tensors it took, without
  /// its weights, in the order of its signature.
  virtual void operation(const std::string& path, const char* name, std::span<const Tensor* const> inputs,
                         const Tensor& result);
  /// Is a value wanted that costs extra to make, such as the table of an attention?
  virtual bool wants(const std::string& path) const;
};

/// Installs an observer for its own lifetime, on this thread. Observers are called in the order they came.
class Observe {
 public:
  explicit Observe(Observer& observer);
  ~Observe();
  Observe(const Observe&) = delete;
  Observe& operator=(const Observe&) = delete;

 private:
  Observer* observer_;
};

/// While one lives, nobody sees this thread's layers: no observer is told, no breakpoint on a path stops.
/// For runs that are not the user's, such as a dry run.
class Unwatched {
 public:
  Unwatched();
  ~Unwatched();
  Unwatched(const Unwatched&) = delete;
  Unwatched& operator=(const Unwatched&) = delete;

 private:
  std::vector<Observer*> observers_;
  bool watched_;
};

namespace trace {
/// Empty, and called at the start of every layer: the place for a breakpoint on a path.
void entered(const char* path);
/// For operations: tells observers that one is done.
void operation_done(const char* name, std::span<const Tensor* const> inputs, const Tensor& result);
/// For operations with a value that only observers need: is it wanted, and here it is.
bool wants(const char* name);
void inner_value(const char* name, Tensor value);
bool observed();
/// Floating-point operations of the matrix products (convolution, linear, attention) on
/// this thread so far: two for each multiplication and addition. The difference over a
/// stretch of a run is what that stretch had to do.
double flops();
void count_flops(double count);
/// The sampler's step that this thread is in, counted from 0; -1 outside of all steps. Whoever runs the steps
/// sets it; observers and the debugger read it.
int step();
void set_step(int step);
}  // namespace trace

/// The first line of every layer's operator():
///
///     Tensor operator()(Tensor x, Tensor temb) const {
///       Scope scope(path, x, temb);
///       ...
///       return scope.out(add(skip, h));
///     }
///
/// It tells errors where they are, backends where they begin, and observers what went in and came out.
/// Without an observer it costs a few nanoseconds. `path` must outlive the scope, as a layer's own path does.
class Scope {
 public:
  template <class... Inputs>
  explicit Scope(const std::string& path, Inputs&... inputs) : Scope(path) {
    if (trace::observed()) {
      Tensor* const list[] = {&inputs..., nullptr};
      tell_enter(std::span<Tensor* const>(list, sizeof...(inputs)));
    }
  }
  explicit Scope(const std::string& path);
  ~Scope();
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

  /// The layer's result, on its way out.
  Tensor out(Tensor result) const;
  /// An inner value worth a name, on its way through: scope("moments", h).
  Tensor operator()(const char* name, Tensor value) const;

  /// The path of the innermost open scope, or "".
  static const std::string& current_path();

 private:
  void tell_enter(std::span<Tensor* const> inputs) const;

  const std::string& path_;
  const Scope* outer_;
};

}  // namespace cutaway
