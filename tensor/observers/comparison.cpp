#include "tensor/observers/comparison.h"

#include <algorithm>
#include <set>

#include "tensor/observers/error_hints.h"
#include "tensor/observers/recorder.h"

namespace cutaway::observers {

namespace {

// PyTorch code shows some values with two neighbouring axes as one, [N, C, H W] for [N, C, H, W]: the same
// numbers in the same order. Such a reference takes the shape of the value it is compared with.
bool is_merged(const Shape& a, const Shape& b) {
  if (a.count() != b.count()) return false;
  const auto partial_counts = [](const Shape& shape) {
    std::set<int64_t> counts;
    int64_t count = 1;
    for (int axis = 0; axis < shape.rank(); ++axis) counts.insert(count *= shape[axis]);
    return counts;
  };
  const std::set<int64_t> of_a = partial_counts(a), of_b = partial_counts(b);
  return a.rank() != b.rank() && (std::includes(of_a.begin(), of_a.end(), of_b.begin(), of_b.end()) ||
                                  std::includes(of_b.begin(), of_b.end(), of_a.begin(), of_a.end()));
}

Tensor in_shape_of(const Tensor& value, const Tensor& expected) {
  return is_merged(value.shape(), expected.shape()) ? expected.reshaped(value.shape()) : expected;
}

}  // namespace

bool Tolerance::holds(const Distance& distance) const {
  if (exact) return distance.same_bits;
  return distance.comparable && distance.relative <= relative;
}

Comparison::Comparison(const Reference& reference, Tolerance tolerance, bool teacher_forced)
    : reference_(reference), tolerance_(tolerance), teacher_forced_(teacher_forced) {}

// Whatever the reference has is worth making, such as the table of an attention.
bool Comparison::wants(const std::string& path) const {
  return reference_.has(value_name(tags_.tag(path), path, 0));
}

std::string Comparison::next_name(const std::string& path) {
  const std::string tag = tags_.tag(path);
  return value_name(tag, path, times_[value_name(tag, path, 0)]++);
}

std::string Comparison::layer_around() const { return open_.empty() ? "sampler" : open_.back().path; }

void Comparison::compare(const std::string& name, const std::string& path, const std::string& blame,
                         bool is_input, Tensor& value) {
  if (!reference_.has(name)) return;
  const Tensor expected = in_shape_of(value, reference_.tensor(name));
  ComparedValue compared{.name = name,
                         .path = path,
                         .blame = blame,
                         .is_input = is_input,
                         .shape = value.shape(),
                         .expected_shape = expected.shape(),
                         .distance = distance(value, expected)};
  compared.equal = tolerance_.holds(compared.distance);
  if (!compared.equal) compared.hint = error_hint(value, expected);
  values_.push_back(std::move(compared));
  if (teacher_forced_) value = expected;
}

void Comparison::enter(const std::string& path, std::span<Tensor* const> inputs) {
  tags_.enter(path);
  const std::string name = next_name(path);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i]->empty()) compare(input_name(name, i), path, layer_around(), true, *inputs[i]);
  }
  open_.push_back({path, name});
}

void Comparison::value(const std::string& path, Tensor& value) {
  paths_run_.insert(path);
  if (!open_.empty() && open_.back().path == path) {
    const std::string name = open_.back().name;
    open_.pop_back();
    compare(name, path, path, false, value);
  } else {  // an inner value: the layer around has made it
    compare(next_name(path), path, layer_around(), false, value);
  }
}

std::string Comparison::first_diverging() const {
  const auto wrong =
      std::find_if(values_.begin(), values_.end(), [](const ComparedValue& value) { return !value.equal; });
  return wrong == values_.end() ? "" : wrong->blame;
}

std::vector<std::string> Comparison::wrong_layers() const { return blamed(values_); }

std::vector<std::string> blamed(const std::vector<ComparedValue>& values) {
  std::vector<std::string> layers;
  for (const ComparedValue& value : values) {
    if (!value.equal && std::find(layers.begin(), layers.end(), value.blame) == layers.end())
      layers.push_back(value.blame);
  }
  return layers;
}

namespace {

// "step_00/trace/unet.conv_in#1:in2" taken apart.
struct ParsedName {
  std::string of;  // the value's name, without ":in2"
  std::string path;
  bool is_input = false;
};

ParsedName parse(const std::string& name) {
  ParsedName parsed;
  const size_t colon = name.rfind(":in");
  parsed.is_input =
      colon != std::string::npos && name.find_first_not_of("0123456789", colon + 3) == std::string::npos;
  parsed.of = parsed.is_input ? name.substr(0, colon) : name;
  const size_t section = parsed.of.find("/trace/");
  const size_t begin = section == std::string::npos ? 0 : section + 7;
  parsed.path = parsed.of.substr(begin, parsed.of.find('#', begin) - begin);
  return parsed;
}

}  // namespace

std::vector<ComparedValue> compare_traces(const Reference& reference, const Reference& other,
                                          Tolerance tolerance) {
  std::vector<ComparedValue> values;
  std::map<std::string, bool> inputs_equal;  // by the value's name
  for (const StoredTensor& stored : reference.file().tensors()) {
    if (!other.has(stored.name) || stored.name.find("/trace/") == std::string::npos) continue;
    const ParsedName parsed = parse(stored.name);
    const Tensor actual = other.tensor(stored.name), expected = in_shape_of(actual, stored.to_tensor());
    ComparedValue compared{.name = stored.name,
                           .path = parsed.path,
                           .blame = parsed.path,
                           .is_input = parsed.is_input,
                           .shape = actual.shape(),
                           .expected_shape = expected.shape(),
                           .distance = distance(actual, expected)};
    compared.equal = tolerance.holds(compared.distance);
    if (!compared.equal) compared.hint = error_hint(actual, expected);
    if (parsed.is_input) {
      const auto [found, is_new] = inputs_equal.try_emplace(parsed.of, true);
      found->second = found->second && compared.equal;
    }
    values.push_back(std::move(compared));
  }
  // The layer that a wrong value is to be blamed on: itself when it was fed right, else one before it.
  for (ComparedValue& value : values) {
    const auto fed = inputs_equal.find(value.name);
    const bool fed_wrong = value.is_input || (fed != inputs_equal.end() && !fed->second);
    if (fed_wrong) value.blame.clear();
  }
  return values;
}

}  // namespace cutaway::observers
