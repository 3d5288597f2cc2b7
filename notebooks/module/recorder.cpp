#include "notebooks/module/recorder.h"

#include <fnmatch.h>

#include <algorithm>

namespace cutaway::python {
namespace {

bool fits(const std::string& pattern, const std::string& path) {
  return fnmatch(pattern.c_str(), path.c_str(), 0) == 0;
}

}  // namespace

Recorder::Recorder(std::vector<std::string> patterns, bool with_operations)
    : patterns_(std::move(patterns)), with_operations_(with_operations) {}

bool Recorder::selected(const std::string& path) {
  const auto known = selected_.find(path);
  if (known != selected_.end()) return known->second;
  const bool any = std::any_of(patterns_.begin(), patterns_.end(),
                               [&](const auto& pattern) { return fits(pattern, path); });
  return selected_[path] = any;
}

bool Recorder::wants(const std::string& path) const {
  return std::any_of(patterns_.begin(), patterns_.end(), [&](const std::string& pattern) {
    return pattern.ends_with("probs") && fits(pattern, path);
  });
}

void Recorder::enter(const std::string& path, std::span<Tensor* const> inputs) {
  if (!selected(path)) return;
  operations_.erase(path);
  Call call{{}, trace::step()};
  for (const Tensor* input : inputs) call.inputs.push_back(*input);
  calls_[path].push_back(std::move(call));
}

void Recorder::value(const std::string& path, Tensor& value) {
  if (!selected(path) && !wants(path)) return;
  end_of_layer(path, value);
  keep(path, value);
}

void Recorder::operation(const std::string& path, const char* name, std::span<const Tensor* const>,
                         const Tensor& result) {
  if (!with_operations_ || !selected(path)) return;
  Operations& operations = operations_[path];
  const int count = ++operations.count[name];
  operations.last_key = path + "/" + name + (count > 1 ? "." + std::to_string(count) : "");
  keep(operations.last_key, result);
}

// The last operation's result nearly always is the layer's own: then it is not listed twice.
void Recorder::end_of_layer(const std::string& path, const Tensor& value) {
  const auto layer = operations_.find(path);
  if (layer == operations_.end()) return;
  const auto last = values_.find(layer->second.last_key);
  if (last != values_.end() && last->second.back().value.data() == value.data()) {
    last->second.pop_back();
    if (last->second.empty()) {
      std::erase(paths_, last->first);
      values_.erase(last);
    }
  }
  operations_.erase(layer);
}

void Recorder::keep(const std::string& path, const Tensor& value) {
  std::vector<Moment>& moments = values_[path];
  if (moments.empty()) paths_.push_back(path);
  moments.push_back({value, trace::step()});
}

const std::vector<Recorder::Moment>& Recorder::values(const std::string& path) const {
  static const std::vector<Moment> none;
  const auto found = values_.find(path);
  return found == values_.end() ? none : found->second;
}

const std::vector<Recorder::Call>& Recorder::calls(const std::string& path) const {
  static const std::vector<Call> none;
  const auto found = calls_.find(path);
  return found == calls_.end() ? none : found->second;
}

}  // namespace cutaway::python
