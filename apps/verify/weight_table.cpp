#include "apps/verify/weight_table.h"

#include <algorithm>
#include <regex>

#include "tensor/error.h"
#include "tensor/files/text.h"

namespace cutaway::verify {
namespace {

std::string renamed_path(const std::string& name,
                         const std::vector<std::pair<std::string, std::string>>& pairs) {
  const std::pair<std::string, std::string>* best = nullptr;
  for (const auto& pair : pairs) {
    if (name.starts_with(pair.first + ".") && (!best || pair.first.size() > best->first.size())) best = &pair;
  }
  return best ? best->second + name.substr(best->first.size()) : name;
}

Tensor times(const Weight& weight, float factor) {
  Tensor values(weight.shape);
  const WeightValues from = weight.f32();
  float* to = values.mutable_data();
  for (int64_t i = 0; i < values.count(); ++i) to[i] = from[i] * factor;
  return values;
}

}  // namespace

void WeightTable::add_file(const SafetensorsFile& file) {
  for (const StoredTensor& stored : file.tensors()) {
    const bool number = stored.dtype == "F32" || stored.dtype == "F16" || stored.dtype == "BF16";
    if (number && stored.name.find('/') == std::string::npos) add(stored.name, file.weight(stored));
  }
}

void WeightTable::add(const std::string& name, Weight weight) { weights_[name] = std::move(weight); }

WeightTable WeightTable::renamed(const std::vector<std::pair<std::string, std::string>>& pairs) const {
  WeightTable table(description_);
  for (const auto& [name, weight] : weights_) table.add(renamed_path(name, pairs), weight);
  return table;
}

WeightTable WeightTable::scaled(const std::vector<std::string>& patterns, float factor) const {
  WeightTable table = *this;
  for (const std::string& pattern : patterns) {
    std::regex expression;
    try {
      expression = std::regex(pattern);
    } catch (const std::regex_error&) {
      throw Error(in_quotes(pattern) + " is no regular expression");
    }
    for (const auto& [name, weight] : weights_) {
      if (std::regex_match(name, expression)) table.add(name, Weight::of(times(weight, factor), name));
    }
  }
  return table;
}

bool WeightTable::has_below(const std::string& path) const {
  const auto at = weights_.lower_bound(path + ".");
  return at != weights_.end() && at->first.starts_with(path + ".");
}

int64_t WeightTable::count_below(const std::string& path) const {
  int64_t count = 0;
  while (has_below(join_path(path, std::to_string(count)))) ++count;
  return count;
}

const Shape& WeightTable::shape(const std::string& name) const {
  const auto found = weights_.find(name);
  if (found == weights_.end()) {
    throw Error(description_ + " has no weight " + in_quotes(name) + ", which says how large the layer is");
  }
  return found->second.shape;
}

std::vector<std::string> WeightTable::names() const {
  std::vector<std::string> names;
  for (const auto& [name, weight] : weights_) names.push_back(name);
  return names;
}

std::optional<Weight> WeightTable::find(const std::string& name, const Shape&) const {
  const auto found = weights_.find(name);
  if (found == weights_.end()) return std::nullopt;
  return found->second;
}

}  // namespace cutaway::verify
