#include "tensor/observers/recorder.h"

#include <algorithm>
#include <utility>

namespace cutaway::observers {
namespace {

bool any_fits(const std::vector<std::string>& patterns, const std::string& text) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return path_fits(pattern, text); });
}

Kept kept(const Tensor& tensor, bool numbers) {
  if (tensor.empty()) return {};
  return {tensor.shape(), numbers ? tensor : Tensor()};
}

}  // namespace

bool Selection::asks_for(const std::string& path) const {
  const std::string name = path.substr(path.rfind('.') + 1);
  return std::any_of(layers.begin(), layers.end(), [&](const std::string& pattern) {
    return pattern.ends_with(name) && path_fits(pattern, path);
  });
}

// ---- Recorder

Recorder::Recorder(Options options) : options_(std::move(options)) {}

bool Recorder::wants(const std::string& path) const {
  return options_.selection.asks_for(path) && any_fits(options_.selection.calls, names_.tag(path));
}

bool Recorder::selected(const std::vector<std::string>& patterns, const std::string& path) {
  const auto [known, is_new] = selected_.try_emplace(path);
  if (is_new) known->second = any_fits(patterns, path);
  return known->second && any_fits(options_.selection.calls, names_.tag(path));
}

// Between the two, the run's clock stands still.
void Recorder::pause() { seconds_ += std::chrono::duration<double>(Clock::now() - resumed_).count(); }
void Recorder::resume() { resumed_ = Clock::now(); }

Event& Recorder::add(Event::Kind kind, const std::string& path) {
  events_.push_back({.kind = kind,
                     .path = path,
                     .call = names_.tag(path),
                     .step = trace::step(),
                     .seconds = seconds_,
                     .flops = trace::flops() - flops_before_});
  return events_.back();
}

void Recorder::enter(const std::string& path, std::span<Tensor* const> inputs) {
  pause();
  names_.enter(path);
  if (selected(options_.selection.layers, path)) {
    open_.push_back(events_.size());
    Event& event = add(Event::Kind::enter, path);
    event.occurrence = occurrences_[{event.call, path}]++;
    for (const Tensor* input : inputs)
      event.inputs.push_back(kept(*input, options_.tensors && options_.inputs));
  }
  resume();
}

void Recorder::value(const std::string& path, Tensor& value) {
  pause();
  if (selected(options_.selection.layers, path)) {
    Event& event = add(Event::Kind::value, path);
    if (!open_.empty() && events_[open_.back()].path == path) {
      event.entered = open_.back();
      event.occurrence = events_[open_.back()].occurrence;
      open_.pop_back();
    } else {
      event.occurrence = occurrences_[{event.call, path}]++;
    }
    event.result = kept(value, options_.tensors);
    if (options_.summaries) event.summary = summarise(value);
  }
  resume();
}

void Recorder::operation(const std::string& path, const char* name, std::span<const Tensor* const> inputs,
                         const Tensor& result) {
  pause();
  if (!options_.operations.empty() && selected(options_.operations, path + "/" + name)) {
    Event& event = add(Event::Kind::operation, path);
    event.operation = name;
    for (const Tensor* input : inputs) event.inputs.push_back(kept(*input, options_.tensors));
    event.result = kept(result, options_.tensors);
  }
  resume();
}

// ---- Names

std::string value_name(const std::string& call, const std::string& path, int occurrence) {
  return call + "/trace/" + path + (occurrence > 0 ? "#" + std::to_string(occurrence) : "");
}

std::string input_name(const std::string& value_name, size_t input) {
  return value_name + ":in" + (input > 0 ? std::to_string(input) : "");
}

std::vector<NamedTensor> named_tensors(const std::vector<Event>& events) {
  std::vector<NamedTensor> tensors;
  const auto add = [&](const std::string& name, const Tensor& tensor) {
    if (!tensor.empty()) tensors.push_back({name, tensor});
  };
  for (const Event& event : events) {
    if (event.kind == Event::Kind::operation) continue;
    const std::string name = value_name(event.call, event.path, event.occurrence);
    for (size_t i = 0; i < event.inputs.size(); ++i) add(input_name(name, i), event.inputs[i].tensor);
    add(name, event.result.tensor);
  }
  return tensors;
}

}  // namespace cutaway::observers
