#include "tensor/trace.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace cutaway {
namespace {

thread_local const Scope* innermost = nullptr;
thread_local std::vector<Observer*> observers;
thread_local double flops_so_far = 0;
thread_local int step_now = -1;
thread_local bool watched = true;

std::string joined(const std::string& path, const char* name) {
  return path.empty() ? name : path + "." + name;
}

}  // namespace

void Observer::enter(const std::string&, std::span<Tensor* const>) {}
void Observer::value(const std::string&, Tensor&) {}
void Observer::operation(const std::string&, const char*, std::span<const Tensor* const>, const Tensor&) {}
bool Observer::wants(const std::string&) const { return false; }

Observe::Observe(Observer& observer) : observer_(&observer) { observers.push_back(observer_); }
Observe::~Observe() { std::erase(observers, observer_); }

Unwatched::Unwatched() : observers_(std::exchange(observers, {})), watched_(std::exchange(watched, false)) {}
Unwatched::~Unwatched() {
  observers = std::move(observers_);
  watched = watched_;
}

namespace trace {

[[gnu::noinline]] void entered(const char* path) { asm volatile("" : : "r"(path) : "memory"); }

double flops() { return flops_so_far; }
void count_flops(double count) { flops_so_far += count; }

int step() { return step_now; }
void set_step(int step) { step_now = step; }

bool observed() { return !observers.empty(); }

void operation_done(const char* name, std::span<const Tensor* const> inputs, const Tensor& result) {
  for (Observer* observer : observers) observer->operation(Scope::current_path(), name, inputs, result);
}

bool wants(const char* name) {
  return std::any_of(observers.begin(), observers.end(), [&](const Observer* observer) {
    return observer->wants(joined(Scope::current_path(), name));
  });
}

void inner_value(const char* name, Tensor value) {
  for (Observer* observer : observers) observer->value(joined(Scope::current_path(), name), value);
}

}  // namespace trace

Scope::Scope(const std::string& path) : path_(path), outer_(innermost) {
  innermost = this;
  if (watched) trace::entered(path.c_str());
}

Scope::~Scope() { innermost = outer_; }

void Scope::tell_enter(std::span<Tensor* const> inputs) const {
  for (Observer* observer : observers) observer->enter(path_, inputs);
}

Tensor Scope::out(Tensor result) const {
  for (Observer* observer : observers) observer->value(path_, result);
  return result;
}

Tensor Scope::operator()(const char* name, Tensor value) const {
  for (Observer* observer : observers) observer->value(joined(path_, name), value);
  return value;
}

const std::string& Scope::current_path() {
  static const std::string outside;
  return innermost == nullptr ? outside : innermost->path_;
}

}  // namespace cutaway
