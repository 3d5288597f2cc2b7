// Cases of recorded runs: a trace of `cutaway trace --manifest`, repeated,
// every layer fed with the recorded inputs.
#include <algorithm>
#include <filesystem>
#include <set>

#include "apps/options/watch_options.h"
#include "apps/pictures/trace_record.h"
#include "apps/verify/cases.h"
#include "models/stable_diffusion.h"
#include "tensor/error.h"
#include "tensor/files/text.h"
#include "tensor/observers/comparison.h"

namespace cutaway::verify {
namespace {

Comparison told(const observers::ComparedValue& value, const TensorEntry& entry) {
  Comparison comparison;
  comparison.name = value.name;
  comparison.shape = entry.shape;
  if (!value.distance.comparable) {
    comparison.problem =
        "it is " + to_string(value.shape) + " here, and " + to_string(value.expected_shape) + " there";
    return comparison;
  }
  comparison.difference = value.distance.max_abs;
  comparison.tolerance = *entry.atol;
  comparison.ratio = comparison.difference == 0 ? 0 : comparison.difference / comparison.tolerance;
  comparison.index = index_of(value.distance.worst, extents_of(value.shape));
  return comparison;
}

}  // namespace

Comparisons run_recorded_run(const Case& the_case) {
  const std::string model_path = the_case.entry->params.text("model");
  const std::string beside = the_case.manifest->path_of(model_path);
  std::error_code ignored;
  StableDiffusion model =
      StableDiffusion::load(std::filesystem::exists(beside, ignored) ? beside : model_path);

  const observers::Reference reference(SafetensorsFile::open(the_case.path()));
  check_against_manifest(reference.file(), *the_case.entry);
  observers::Comparison comparison(reference, {}, true);
  const Watch watch({.edits = pictures::recorded_edits(reference.file().metadata())}, model);
  {
    const Observe observe(comparison);
    pictures::repeat_run(model, reference.file());
  }
  Comparisons comparisons;
  std::set<std::string> met;
  for (const observers::ComparedValue& value : comparison.values()) {
    met.insert(value.name);
    const TensorEntry* entry = the_case.entry->find(value.name);
    if (entry != nullptr && entry->atol) comparisons.push_back(told(value, *entry));
  }
  for (const TensorEntry& entry : the_case.entry->tensors) {
    if (entry.role == Role::trace && !met.contains(entry.name))
      comparisons.push_back(not_compared(entry.name, "the run had no such value"));
  }
  return comparisons;
}

}  // namespace cutaway::verify
