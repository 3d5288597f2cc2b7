// Runs a case of a layer: builds it, watches it run, compares every value.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "apps/verify/cases.h"
#include "apps/verify/fixture.h"
#include "nn/formula_weights.h"
#include "tensor/error.h"
#include "tensor/files/text.h"
#include "tensor/observers/recorder.h"
#include "tensor/ops.h"

namespace cutaway::verify {

using observers::Event;

// ---- Inputs

Inputs::Inputs(const SafetensorsFile& file, const FileEntry& entry, std::string tag)
    : file_(file), entry_(entry), tag_(std::move(tag)) {}

std::string Inputs::full(const std::string& section, const std::string& name) const {
  return (tag_.empty() ? "" : tag_ + "/") + section + (name.empty() ? "" : "/" + name);
}

const TensorEntry* Inputs::made_by_formula(const std::string& name) const {
  if (entry_.weights != "formula" || file_.find(full("in", name)) != nullptr) return nullptr;
  const TensorEntry* listed = entry_.find(full("in", name));
  return listed != nullptr && listed->role == Role::input && listed->dtype == "F32" ? listed : nullptr;
}

std::vector<std::string> Inputs::names() const {
  std::set<std::string> all;
  const auto add = [&](const std::string& name) {
    const NameParts parts = parts_of(name);
    if (parts.section == "in" && parts.tag == tag_) all.insert(parts.rest);
  };
  for (const StoredTensor& stored : file_.tensors()) add(stored.name);
  for (const TensorEntry& listed : entry_.tensors) add(listed.name);
  return {all.begin(), all.end()};
}

bool Inputs::has(const std::string& name) const {
  return file_.find(full("in", name)) != nullptr || made_by_formula(name) != nullptr;
}

Tensor Inputs::tensor(const std::string& name) const {
  if (const TensorEntry* listed = made_by_formula(name))
    return formula_input("in/" + name, Shape(std::span<const int64_t>(listed->shape)));
  return file_.at(full("in", name)).to_tensor();
}

std::vector<int64_t> Inputs::integers(const std::string& name) const {
  return file_.at(full("in", name)).to_integers();
}

TokenIds Inputs::tokens(const std::string& name) const {
  const StoredTensor& stored = file_.at(full("in", name));
  if (stored.shape.size() != 2) {
    throw Error(file_.path() + ": " + in_quotes(stored.name) + " has the shape " + to_string(stored.shape) +
                ", but token ids must be [N, T]");
  }
  return {.batch = stored.shape[0], .length = stored.shape[1], .ids = stored.to_integers()};
}

std::vector<float> Inputs::numbers(const std::string& name) const {
  const StoredTensor& stored = file_.at(full("in", name));
  if (stored.dtype.starts_with("F") || stored.dtype.starts_with("BF")) return stored.to_floats();
  std::vector<float> numbers;
  for (const int64_t number : stored.to_integers()) numbers.push_back(static_cast<float>(number));
  return numbers;
}

std::vector<float> Inputs::timesteps(const std::string& name, int64_t images) const {
  std::vector<float> t = numbers(name);
  if (t.size() == 1) t.resize(static_cast<size_t>(images), t.front());  // one for all
  return t;
}

std::vector<std::string> Inputs::outputs() const {
  std::vector<std::string> names;
  for (const TensorEntry& tensor : entry_.tensors) {
    const NameParts parts = parts_of(tensor.name);
    if (parts.section == "out" && parts.tag == tag_) names.push_back(parts.rest);
  }
  return names;
}

Shape Inputs::output_shape(const std::string& name) const {
  return Shape(std::span<const int64_t>(file_.at(full("out", name)).shape));
}

// ---- A run

namespace {

struct Run {
  std::string tag;
  std::vector<const TensorEntry*> expected;  // its outputs and traces
};

std::vector<Run> runs_of(const FileEntry& entry) {
  std::vector<Run> runs;
  for (const TensorEntry& tensor : entry.tensors) {
    if (tensor.role != Role::output && tensor.role != Role::trace) continue;
    const std::string tag = parts_of(tensor.name).tag;
    const auto run = std::find_if(runs.begin(), runs.end(), [&](const Run& r) { return r.tag == tag; });
    if (run != runs.end()) {
      run->expected.push_back(&tensor);
    } else {
      runs.push_back({tag, {&tensor}});
    }
  }
  return runs;
}

WeightTable weights_of(const Case& the_case, const SafetensorsFile& file) {
  const FileEntry& entry = *the_case.entry;
  WeightTable weights(the_case.path());
  if (entry.weights == "base") {
    weights.add_file(SafetensorsFile::open(the_case.manifest->path_of(entry.params.text("base"))));
  } else if (entry.weights != "file" && entry.weights != "formula") {
    throw Error(the_case.path() + ": a case of the kind " + in_quotes(entry.kind) +
                " needs weights, but in the manifest they are " + in_quotes(entry.weights));
  }
  weights.add_file(file);
  return weights;
}

Params config_of(const Case& the_case) {
  const FileEntry& entry = *the_case.entry;
  if (entry.params.has("config") || !entry.params.has("base")) return entry.params.object("config");
  const std::string base = entry.params.text("base");
  const FileEntry* base_entry = the_case.manifest->find(base);
  if (!base_entry) {
    throw Error(the_case.path() + ": its base " + in_quotes(base) +
                " is not in the manifest, so its configuration is not known");
  }
  return base_entry->params.object("config");
}

// A case may say which eps it was made with. It does not set ours: what our constructors chose is tested.
// "eps" is that of the GroupNorms, but not of the Transformers' within a block; in a layer without any, it is
// that of the LayerNorms.
void check_eps(const Fixture& fixture, const Params& params) {
  const bool only_layer_norms = std::all_of(fixture.norms.begin(), fixture.norms.end(),
                                            [](const NormEps& norm) { return norm.layer_norm; });
  for (const NormEps& norm : fixture.norms) {
    if (norm.path.starts_with("attentions.") && norm.path.ends_with(".norm")) continue;
    const bool eps_is_of_it = only_layer_norms ? params.has("eps") : !norm.layer_norm;
    const char* key = eps_is_of_it ? "eps" : "layer_norm_eps";
    const float stated = static_cast<float>(params.number(key, norm.eps));
    if (stated == norm.eps) continue;
    char text[96];
    std::snprintf(text, sizeof(text), " %g, but here %s has %g", static_cast<double>(stated),
                  norm.path.c_str(), static_cast<double>(norm.eps));
    throw Error("the case was made with " + std::string(key) + text);
  }
}

// The case's fixture; runs tagged lowvar want some of its weights smaller.
Fixture build(const Case& the_case, const SafetensorsFile& file, bool lowvar) {
  const FileEntry& entry = *the_case.entry;
  WeightTable weights = weights_of(the_case, file);
  if (lowvar) {
    Params how = entry.params.object("lowvar");
    if (!how.has("factor") && entry.params.has("base")) {
      if (const FileEntry* base = the_case.manifest->find(entry.params.text("base"))) {
        how = base->params.object("lowvar");
      }
    }
    if (!how.has("factor")) how.refuse("factor", "is needed for the runs tagged lowvar");
    weights = weights.scaled(how.texts("names"), static_cast<float>(how.number("factor", 1)));
  }
  const FormulaSource formula;
  const WeightSource& source =
      entry.weights == "formula" ? static_cast<const WeightSource&>(formula) : weights;
  const LayerSpec spec{entry, entry.params, config_of(the_case), source, weights};
  for (const Builders* builders : {&block_builders(), &compvis_builders(), &network_builders()}) {
    if (const auto found = builders->find(entry.kind); found != builders->end()) {
      Fixture fixture = found->second(spec);
      check_eps(fixture, entry.params);
      return fixture;
    }
  }
  throw NotBuilt("there is no layer of the kind " + in_quotes(entry.kind));
}

Tensor mean_and_std(const Tensor& x) {
  const auto n = static_cast<double>(x.count());
  double sum = 0, squares = 0;
  for (const float value : x.values()) sum += value;
  const double mean = sum / n;
  for (const float value : x.values()) squares += (value - mean) * (value - mean);
  const float numbers[] = {static_cast<float>(mean), static_cast<float>(std::sqrt(squares / n))};
  return Tensor({2}, numbers);
}

// A value of ours as the reference shows it.
Tensor viewed(const Tensor& value, ValueName::View view, const std::vector<int64_t>& shape) {
  switch (view) {
    case ValueName::View::as_is:
      return value;
    case ValueName::View::tokens_as_image:
      if (shape.size() != 4 || value.shape().rank() != 3) return value;  // the comparison tells
      return to_image(value, shape[2], shape[3]);
    case ValueName::View::image_as_tokens:
      return value.shape().rank() == 4 ? to_tokens(value) : value;
    case ValueName::View::mean_and_std:
      return mean_and_std(value);
    case ValueName::View::first_values: {
      const int64_t wanted = shape.empty() ? 0 : shape[0];
      if (wanted < 1 || wanted > value.count()) return value;
      return Tensor({wanted}, value.values().first(static_cast<size_t>(wanted)));
    }
  }
  return value;
}

// A recorder that keeps the values that a case compares, and no others.
observers::Recorder recorder_of(const std::vector<std::optional<ValueName>>& places) {
  observers::Recorder::Options options{.selection = {.layers = {}}};
  for (const std::optional<ValueName>& place : places) {
    if (!place || place->what == ValueName::What::output) continue;
    options.selection.layers.push_back(place->path);
  }
  return observers::Recorder(std::move(options));
}

// Null when the run had no such value.
const Tensor* find_value(const std::vector<Event>& events, const ValueName& place) {
  const auto fits = [&](const Event& event) {
    if (event.path != place.path) return false;
    return event.kind == (place.what == ValueName::What::input ? Event::Kind::enter : Event::Kind::value);
  };
  int seen = 0;
  for (const Event& event : events) {
    if (!fits(event) || seen++ != place.occurrence) continue;
    return place.what == ValueName::What::input ? &event.inputs.front().tensor : &event.result.tensor;
  }
  return nullptr;
}

Comparison compare_value(const SafetensorsFile& file, const TensorEntry& entry,
                         const std::optional<ValueName>& place, const std::vector<Event>& events,
                         const Outputs& outputs) {
  const Tensor* value = nullptr;
  if (place && place->what == ValueName::What::output) {
    const auto output = outputs.find(place->path);
    if (output != outputs.end()) value = &output->second;
  } else if (place) {
    value = find_value(events, *place);
  }
  if (!value) return not_compared(entry.name, "no such value: this network has none of that name");
  Comparison comparison =
      compare_with(file, entry, viewed(*value, place->view, entry.shape), entry.role == Role::trace);
  // Its name there may be that of a module used in many places.
  if (place->what == ValueName::What::input && !place->path.empty())
    comparison.name += " (what goes into " + place->path + ")";
  return comparison;
}

void run_once(const SafetensorsFile& file, const FileEntry& entry, const Run& run, const Fixture& fixture,
              Comparisons& comparisons) {
  const ValueNameFinder finder(fixture.layers, fixture.aliases);
  std::vector<std::optional<ValueName>> places;
  for (const TensorEntry* expected : run.expected) {
    const NameParts parts = parts_of(expected->name);
    places.push_back(finder.find(parts.section, parts.rest));
  }
  observers::Recorder recorder = recorder_of(places);
  Outputs outputs;
  {
    const Observe observing(recorder);
    outputs = fixture.run(Inputs(file, entry, run.tag));
  }
  for (size_t i = 0; i < places.size(); ++i) {
    comparisons.push_back(compare_value(file, *run.expected[i], places[i], recorder.events(), outputs));
  }
}

}  // namespace

bool is_layer(const std::string& kind) {
  return block_builders().contains(kind) || compvis_builders().contains(kind) ||
         network_builders().contains(kind);
}

Comparisons run_layer(const Case& the_case) {
  const FileEntry& entry = *the_case.entry;
  const SafetensorsFile file = SafetensorsFile::open(the_case.path());
  check_against_manifest(file, entry);
  Comparisons comparisons;
  std::optional<Fixture> fixture, lowvar_fixture;
  for (const Run& run : runs_of(entry)) {
    const bool lowvar = run.tag.starts_with("lowvar");
    std::optional<Fixture>& built = lowvar ? lowvar_fixture : fixture;
    if (!built) built = build(the_case, file, lowvar);
    run_once(file, entry, run, *built, comparisons);
  }
  return comparisons;
}

}  // namespace cutaway::verify
