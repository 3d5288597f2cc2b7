#include "apps/verify/recorder.h"

#include <algorithm>

namespace cutaway::verify {

Recorder::Recorder(const std::vector<ValueName>& wanted) {
  for (const ValueName& place : wanted) {
    if (place.what == ValueName::What::value) values_[place.path];
    if (place.what == ValueName::What::input) inputs_[place.path];
    operation_names_.insert(place.operations.begin(), place.operations.end());
  }
}

void Recorder::enter(const std::string& path, std::span<Tensor* const> inputs) {
  const auto wanted = inputs_.find(path);
  if (wanted != inputs_.end() && !inputs.empty()) wanted->second.push_back(*inputs.front());
}

void Recorder::value(const std::string& path, Tensor& value) {
  if (const auto wanted = values_.find(path); wanted != values_.end()) wanted->second.push_back(value);
}

void Recorder::operation(const std::string& path, const char* name, std::span<const Tensor* const>,
                         const Tensor& result) {
  if (operation_names_.contains(name)) operations_.push_back({path, name, result});
}

const Tensor* Recorder::find(const ValueName& place) const {
  const auto occurrence = static_cast<size_t>(place.occurrence);
  if (place.what == ValueName::What::value || place.what == ValueName::What::input) {
    const auto& recorded = place.what == ValueName::What::value ? values_ : inputs_;
    const auto found = recorded.find(place.path);
    if (found == recorded.end() || occurrence >= found->second.size()) return nullptr;
    return &found->second[occurrence];
  }
  size_t seen = 0;
  for (const Operation& operation : operations_) {
    const bool named =
        std::find(place.operations.begin(), place.operations.end(), operation.name) != place.operations.end();
    if (!named || !(place.anywhere || operation.path == place.path)) continue;
    if (seen++ == occurrence) return &operation.result;
  }
  return nullptr;
}

}  // namespace cutaway::verify
