// Cases of classifier-free guidance, and of the weight formula's test numbers.
#include "samplers/guidance.h"

#include <charconv>
#include <cmath>

#include "apps/verify/cases.h"
#include "nn/formula_weights.h"
#include "tensor/error.h"
#include "tensor/files/json.h"
#include "tensor/files/text.h"

namespace cutaway::verify {
namespace {

std::optional<float> number_in(const std::string& text) {
  float number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// "cfg_7.5" or "cfg_7.5_rescale_0.7"
std::optional<Tensor> guided_as_named(const std::string& name, const Tensor& uncond, const Tensor& text) {
  const std::string begin = "cfg_", middle = "_rescale_";
  if (!name.starts_with(begin)) return std::nullopt;
  const size_t at = name.find(middle);
  const std::optional<float> scale = number_in(name.substr(begin.size(), at - begin.size()));
  if (!scale) return std::nullopt;
  const Tensor result = guided(uncond, text, *scale);
  if (at == std::string::npos) return result;
  const std::optional<float> rescale = number_in(name.substr(at + middle.size()));
  if (!rescale) return std::nullopt;
  return rescale_guided(result, text, *rescale);
}

// ---- The formula

// 64-bit numbers stand in the file as decimal texts.
uint64_t whole_number(const std::string& text, const std::string& where) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    throw Error(where + ": " + in_quotes(text) + " must be a whole number of 64 bits");
  }
  return number;
}

Comparison compare_hash(const std::string& name, uint64_t actual, uint64_t expected) {
  Comparison comparison;
  comparison.name = name;
  comparison.shape = {1};
  if (actual == expected) return comparison;
  return not_compared(name, std::to_string(actual) + ", but the reference has " + std::to_string(expected));
}

// A sum depends on the order in the last digits; everything else must be the same bits.
Comparison compare_sum(const std::string& name, double actual, double expected, double sum_of_sizes) {
  Comparison comparison;
  comparison.name = name;
  comparison.shape = {1};
  comparison.index = {0};
  comparison.tolerance = 1e-9 * sum_of_sizes;
  comparison.difference = std::fabs(actual - expected);
  comparison.ratio = comparison.difference / comparison.tolerance;
  if (std::isnan(comparison.ratio)) return not_compared(name, "the sum is no number");
  return comparison;
}

std::vector<double> doubles(const Params& params, const std::string& key) {
  std::vector<double> list;
  if (!params.has(key)) return list;
  const nlohmann::json& values = params.values().at(key);
  if (!values.is_array()) params.refuse(key, "must be a list of numbers");
  for (const nlohmann::json& value : values) {
    if (!value.is_number()) params.refuse(key, "must be a list of numbers");
    list.push_back(value.get<double>());
  }
  return list;
}

void compare_tensor(const Params& expected, Comparisons& comparisons) {
  const std::string name = expected.text("name");
  const std::vector<int64_t> extents = expected.integers("shape");
  const Shape shape{std::span<const int64_t>(extents)};
  Tensor values = formula_input(name, shape);
  if (expected.text("kind", "") != "input") {
    values = Tensor(shape);
    FormulaSource().find(name, shape)->read(0, values.count(), values.mutable_data());
  }
  double sum = 0, sum_of_sizes = 0;
  for (const float value : values.values()) {
    sum += value;
    sum_of_sizes += std::fabs(static_cast<double>(value));
  }
  const std::vector<double> listed = doubles(expected, "first8");
  const std::vector<float> first(listed.begin(), listed.end());
  if (first.size() > static_cast<size_t>(values.count()))
    expected.refuse("first8", "is longer than the tensor");
  comparisons.push_back(compare(name + "/first" + std::to_string(first.size()),
                                values.values().first(first.size()), first,
                                {static_cast<int64_t>(first.size())}, 0));
  if (expected.has("last")) {
    const float last[] = {static_cast<float>(expected.number("last", 0))};
    comparisons.push_back(compare(name + "/last", values.values().last(1), last, {1}, 0));
  }
  if (expected.has("sum_float64")) {
    comparisons.push_back(compare_sum(name + "/sum", sum, expected.number("sum_float64", 0), sum_of_sizes));
  }
  if (expected.has("sum_abs_float64")) {
    comparisons.push_back(compare_sum(name + "/sum of sizes", sum_of_sizes,
                                      expected.number("sum_abs_float64", 0), sum_of_sizes));
  }
}

}  // namespace

Comparisons run_guidance(const Case& the_case) {
  const SafetensorsFile file = SafetensorsFile::open(the_case.path());
  check_against_manifest(file, *the_case.entry);
  Comparisons comparisons;
  for (const TensorEntry& expected : the_case.entry->tensors) {
    if (expected.role != Role::output) continue;
    const NameParts parts = parts_of(expected.name);
    const std::string before = parts.tag.empty() ? "" : parts.tag + "/";
    const std::optional<Tensor> result = guided_as_named(
        parts.rest, file.at(before + "in/uncond").to_tensor(), file.at(before + "in/text").to_tensor());
    comparisons.push_back(
        result ? compare_with(file, expected, *result, false)
               : not_compared(expected.name, "no such value: guidance gives none of that name"));
  }
  return comparisons;
}

Comparisons run_formula(const Case& the_case) {
  const Params file(read_json_file(the_case.path()), the_case.path());
  Comparisons comparisons;
  const Params names = file.object("fnv1a64"), states = file.object("splitmix64");
  for (const std::string& name : names.keys()) {
    comparisons.push_back(compare_hash("fnv1a64(" + in_quotes(name) + ")", fnv1a64(name),
                                       whole_number(names.text(name), names.where())));
  }
  for (const std::string& state : states.keys()) {
    comparisons.push_back(compare_hash("splitmix64(" + state + ")",
                                       splitmix64(whole_number(state, states.where())),
                                       whole_number(states.text(state), states.where())));
  }
  if (!file.has("tensors")) return comparisons;
  if (!file.values().at("tensors").is_array()) file.refuse("tensors", "must be a list");
  for (const nlohmann::json& tensor : file.values().at("tensors")) {
    compare_tensor(Params(tensor, the_case.path() + ": 'tensors'"), comparisons);
  }
  return comparisons;
}

}  // namespace cutaway::verify
