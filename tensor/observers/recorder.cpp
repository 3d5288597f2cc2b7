#include "tensor/observers/recorder.h"

#include <algorithm>
#include <utility>

namespace cutaway::observers {
namespace {

bool any_fits(const std::vector<std::string>& patterns, const std::string& text) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return path_fits(pattern, text); });
}

double seconds_between(std::chrono::steady_clock::time_point a, std::chrono::steady_clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

int64_t bytes_of(const Tensor& tensor) { return tensor.count() * static_cast<int64_t>(sizeof(float)); }

}  // namespace

bool Selection::has(const std::string& tag, const std::string& path) const {
  return any_fits(calls, tag) && any_fits(layers, path);
}

bool Selection::asks_for(const std::string& path) const {
  const std::string name = path.substr(path.rfind('.') + 1);
  return std::any_of(layers.begin(), layers.end(), [&](const std::string& pattern) {
    return pattern.ends_with(name) && path_fits(pattern, path);
  });
}

std::string value_name(const std::string& tag, const std::string& path, int occurrence) {
  return tag + "/trace/" + path + (occurrence > 0 ? "#" + std::to_string(occurrence) : "");
}

std::string input_name(const std::string& value_name, size_t input) {
  return value_name + ":in" + (input > 0 ? std::to_string(input) : "");
}

Recorder::Recorder(Options options, std::map<std::string, int64_t> weight_bytes)
    : options_(std::move(options)), weight_bytes_(std::move(weight_bytes)) {}

bool Recorder::wants(const std::string& path) const {
  return options_.selection.asks_for(path) && options_.selection.has(tags_.tag(path), path);
}

std::string Recorder::next_name(const std::string& path) {
  const std::string tag = tags_.tag(path);
  return value_name(tag, path, times_[value_name(tag, path, 0)]++);
}

void Recorder::enter(const std::string& path, std::span<Tensor* const> inputs) {
  const Clock::time_point now = Clock::now();
  tags_.enter(path);
  if (!options_.selection.has(tags_.tag(path), path)) return;
  Open layer{.path = path, .name = next_name(path)};
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i]->empty()) continue;
    layer.bytes += bytes_of(*inputs[i]);
    if (options_.tensors && options_.inputs) tensors_.push_back({input_name(layer.name, i), *inputs[i]});
  }
  if (const auto found = weight_bytes_.find(path); found != weight_bytes_.end()) layer.bytes += found->second;
  layer.flop = trace::flops();
  layer.begin = Clock::now();
  recording_ += seconds_between(now, layer.begin);
  layer.recording = recording_;
  open_.push_back(std::move(layer));
}

void Recorder::value(const std::string& path, Tensor& value) {
  const Clock::time_point now = Clock::now();
  if (!options_.selection.has(tags_.tag(path), path)) return;
  const bool is_layer = !open_.empty() && open_.back().path == path;
  LayerRecord record{.tag = tags_.tag(path), .path = path, .is_layer = is_layer, .shape = value.shape()};
  std::string name;
  if (is_layer) {
    const Open& layer = open_.back();
    name = layer.name;
    record.seconds = seconds_between(layer.begin, now) - (recording_ - layer.recording);
    record.flop = trace::flops() - layer.flop;
    record.bytes = layer.bytes + bytes_of(value);
    open_.pop_back();
  } else {
    name = next_name(path);
  }
  record.summary = summarise(value);
  records_.push_back(std::move(record));
  if (options_.tensors) tensors_.push_back({name, value});
  recording_ += seconds_between(now, Clock::now());
}

}  // namespace cutaway::observers
