// `cutaway compare`: which layer of a run is the first that differs from a recorded one.
// Doc: docs/compare.md
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "apps/commands/commands.h"
#include "apps/options/layer_paths.h"
#include "apps/options/picture_options.h"
#include "apps/options/run_options.h"
#include "apps/options/watch_options.h"
#include "apps/pictures/trace_record.h"
#include "models/stable_diffusion.h"
#include "tensor/error.h"
#include "tensor/observers/comparison.h"
#include "tensor/observers/summary.h"

namespace cutaway {
namespace {

using observers::ComparedValue;
using observers::Reference;
using observers::Tolerance;

struct CompareArguments {
  std::string reference, other, model, tokenizer;
  bool free = false, all = false, exact = false;
  double tolerance = 0;  // 0: exact or 2e-5, as the reference allows
  std::string as = "table";
  WatchOptions watched;
  RunOptions run;
};

struct Verdict {
  std::string mode;
  Tolerance tolerance;
  std::vector<ComparedValue> values;
  std::vector<std::string> unmatched;  // values of the reference that have no counterpart
  std::vector<std::string> not_run;    // the highest boxes of the model of which no layer ran
  size_t not_recorded = 0;             // layers that ran and of which the reference holds nothing
  std::string first_diverging;
  std::vector<std::string> wrong_layers;
};

// `paths`: in the order of the picture, which is that of the network.
void sort_by(const std::vector<std::string>& paths, std::vector<std::string>& layers) {
  std::stable_sort(layers.begin(), layers.end(), [&](const std::string& a, const std::string& b) {
    return std::find(paths.begin(), paths.end(), a) < std::find(paths.begin(), paths.end(), b);
  });
}

// Of boxes in a box that did not run only the outermost is told.
std::vector<std::string> boxes_not_run(const std::vector<std::string>& paths,
                                       const std::set<std::string>& paths_run) {
  std::vector<std::string> boxes;
  for (const std::string& path : paths) {
    const std::string inside = path + ".";
    const auto below = paths_run.lower_bound(inside);
    const bool ran = paths_run.contains(path) || (below != paths_run.end() && below->starts_with(inside));
    const bool told = !boxes.empty() && path.starts_with(boxes.back() + ".");
    if (!ran && !told) boxes.push_back(path);
  }
  return boxes;
}

size_t count_not_recorded(const std::vector<std::string>& paths, const observers::Comparison& comparison) {
  std::set<std::string> compared;
  for (const ComparedValue& value : comparison.values()) compared.insert(value.path);
  return static_cast<size_t>(std::count_if(paths.begin(), paths.end(), [&](const std::string& path) {
    return comparison.paths_run().contains(path) && !compared.contains(path);
  }));
}

Tolerance tolerance_for(const CompareArguments& arguments, const pictures::Metadata& metadata) {
  if (arguments.exact) return {.exact = true};
  if (arguments.tolerance > 0) return {.relative = arguments.tolerance};
  return {.exact = pictures::made_by_this_program(metadata)};
}

Verdict compare_with_model(const CompareArguments& arguments, const Reference& reference) {
  const pictures::Metadata& metadata = reference.file().metadata();
  const std::string* recorded = pictures::find_text(metadata, "model");
  if (arguments.model.empty() && recorded == nullptr)
    throw Error(arguments.reference + " does not say its model; name one with --model");
  StableDiffusion model = StableDiffusion::load(arguments.model.empty() ? *recorded : arguments.model,
                                                {.tokenizer = arguments.tokenizer, .variant = ""});
  const std::vector<std::string> paths = layer_paths(model);
  check_backend(paths);
  const Tolerance tolerance = tolerance_for(arguments, metadata);
  observers::Comparison comparison(reference, tolerance, !arguments.free);
  // The edits that the run was recorded with belong to it; those given now are differences to look at.
  WatchOptions options = arguments.watched;
  const std::vector<std::string> before = pictures::recorded_edits(metadata);
  options.edits.insert(options.edits.begin(), before.begin(), before.end());
  const Watch watch(options, model);
  {
    const Observe observe(comparison);
    pictures::repeat_run(model, reference.file());
  }
  watch.check_edits();
  Verdict verdict{.mode = arguments.free ? "free" : "teacher-forced",
                  .tolerance = tolerance,
                  .values = comparison.values(),
                  .unmatched = {},
                  .not_run = boxes_not_run(paths, comparison.paths_run()),
                  .not_recorded = count_not_recorded(paths, comparison),
                  .first_diverging = comparison.first_diverging(),
                  .wrong_layers = comparison.wrong_layers()};
  sort_by(paths, verdict.wrong_layers);
  return verdict;
}

Verdict compare_with_trace(const CompareArguments& arguments, const Reference& reference) {
  const Reference other(SafetensorsFile::open(arguments.other));
  const auto same = [&](const char* key) {
    const std::string* a = pictures::find_text(reference.file().metadata(), key);
    const std::string* b = pictures::find_text(other.file().metadata(), key);
    return a != nullptr && b != nullptr && *a == *b;
  };
  Tolerance tolerance{.exact = arguments.exact || (same("program") && same("backend") && same("isa"))};
  if (arguments.tolerance > 0) tolerance = {.relative = arguments.tolerance};
  Verdict verdict{.mode = "two traces",
                  .tolerance = tolerance,
                  .values = observers::compare_traces(reference, other, tolerance),
                  .unmatched = {},
                  .not_run = {},
                  .not_recorded = 0,
                  .first_diverging = "",
                  .wrong_layers = {}};
  for (const std::string& layer : observers::blamed(verdict.values)) {
    if (!layer.empty()) verdict.wrong_layers.push_back(layer);
  }
  // What differs first; when it is a layer's input, and nothing before it was recorded, there is no layer to
  // name but the one that was given it.
  const auto wrong = std::find_if(verdict.values.begin(), verdict.values.end(),
                                  [](const ComparedValue& value) { return !value.equal; });
  if (wrong != verdict.values.end())
    verdict.first_diverging = wrong->blame.empty() ? wrong->path : wrong->blame;
  return verdict;
}

std::string tolerance_text(const Tolerance& tolerance) {
  if (tolerance.exact) return "bit for bit";
  char text[64];
  std::snprintf(text, sizeof text, "%g of each tensor's largest value", tolerance.relative);
  return text;
}

void print_json(const CompareArguments& arguments, const Verdict& verdict) {
  nlohmann::ordered_json rows = nlohmann::json::array();
  for (const ComparedValue& value : verdict.values) {
    if (value.equal && !arguments.all) continue;
    nlohmann::ordered_json row{{"name", value.name},
                               {"layer", value.blame},
                               {"equal", value.equal},
                               {"shape", to_string(value.shape)},
                               {"max_abs", observers::json_number(value.distance.max_abs)},
                               {"relative", observers::json_number(value.distance.relative)},
                               {"cosine", observers::json_number(value.distance.cosine)}};
    if (value.distance.comparable) row["worst"] = index_text(value.shape, value.distance.worst);
    if (!value.hint.empty()) row["hint"] = value.hint;
    rows.push_back(std::move(row));
  }
  nlohmann::ordered_json all{
      {"reference", arguments.reference},
      {"mode", verdict.mode},
      {"tolerance",
       verdict.tolerance.exact ? nlohmann::json("exact") : nlohmann::json(verdict.tolerance.relative)},
      {"compared", verdict.values.size()},
      {"unmatched", verdict.unmatched.size()},
      {"unmatched_values", verdict.unmatched},
      {"not_run", verdict.not_run},
      {"not_recorded", verdict.not_recorded},
      {"first_diverging", nullptr},
      {"wrong_layers", verdict.wrong_layers},
      {"values", std::move(rows)}};
  if (!verdict.first_diverging.empty()) all["first_diverging"] = verdict.first_diverging;
  std::printf("%s\n", all.dump(1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::string first_few(const std::vector<std::string>& names) {
  constexpr size_t few = 3;
  if (names.size() <= few) return listed(names);
  return listed({names.begin(), names.begin() + few}) + ", ...";
}

void print_table(const CompareArguments& arguments, const Verdict& verdict) {
  size_t longest = 5, differing = 0;
  for (const ComparedValue& value : verdict.values) {
    differing += value.equal ? 0 : 1;
    if (arguments.all || !value.equal) longest = std::max(longest, value.name.size());
  }
  if (arguments.all || differing > 0) {
    std::printf("  %-*s %-20s %10s %10s %12s  %s\n", static_cast<int>(longest), "value", "shape", "max abs",
                "relative", "cosine", "worst at");
  }
  for (const ComparedValue& value : verdict.values) {
    if (value.equal && !arguments.all) continue;
    std::printf("%s %-*s %-20s %10.3g %10.3g %12.9f  %s%s%s\n", value.equal ? " " : "!",
                static_cast<int>(longest), value.name.c_str(), to_string(value.shape).c_str(),
                value.distance.max_abs, value.distance.relative, value.distance.cosine,
                value.distance.comparable ? index_text(value.shape, value.distance.worst).c_str() : "-",
                value.hint.empty() ? "" : "  ", value.hint.c_str());
  }
  std::printf("%zu values compared (%s; equal means %s), %zu differ\n", verdict.values.size(),
              verdict.mode.c_str(), tolerance_text(verdict.tolerance).c_str(), differing);
  if (!verdict.unmatched.empty()) {
    std::printf("%zu values of the reference have no counterpart here: %s\n", verdict.unmatched.size(),
                first_few(verdict.unmatched).c_str());
  }
  if (!verdict.not_run.empty()) {
    const auto is_there = [&](const char* box) {
      return std::find(verdict.not_run.begin(), verdict.not_run.end(), box) != verdict.not_run.end();
    };
    const bool whole_run = !is_there("unet");
    std::printf("not run, so not compared: %s%s\n", listed(verdict.not_run).c_str(),
                whole_run && is_there("vae.encoder")
                    ? " (a picture to start from runs the encoder: --init-image)"
                    : "");
  }
  if (verdict.not_recorded > 0)
    std::printf("%zu layers ran of which the reference holds nothing\n", verdict.not_recorded);
  if (verdict.first_diverging.empty()) {
    std::printf("equal: no layer differs from the reference\n");
    return;
  }
  const auto first = std::find_if(verdict.values.begin(), verdict.values.end(),
                                  [](const ComparedValue& value) { return !value.equal; });
  std::printf("the first layer that differs is %s: %s is off by %.3g (%.3g of its largest value)%s%s\n",
              verdict.first_diverging.c_str(), first->name.c_str(), first->distance.max_abs,
              first->distance.relative, first->hint.empty() ? "" : "; ", first->hint.c_str());
  if (verdict.mode == "free" || verdict.wrong_layers.size() < 2) return;
  std::printf("wrong on their own:\n");
  for (const std::string& layer : verdict.wrong_layers) std::printf("  %s\n", layer.c_str());
}

std::vector<std::string> unmatched_values(const Reference& reference,
                                          const std::vector<ComparedValue>& values) {
  std::set<std::string> met;
  for (const ComparedValue& value : values) met.insert(value.name);
  std::vector<std::string> unmatched;
  for (const StoredTensor& tensor : reference.file().tensors()) {
    if (tensor.name.find("/trace/") != std::string::npos && !met.contains(tensor.name))
      unmatched.push_back(tensor.name);
  }
  return unmatched;
}

int compare(const CompareArguments& arguments) {
  apply(arguments.run);
  const Reference reference(SafetensorsFile::open(arguments.reference));
  Verdict verdict = arguments.other.empty() ? compare_with_model(arguments, reference)
                                            : compare_with_trace(arguments, reference);
  verdict.unmatched = unmatched_values(reference, verdict.values);
  if (verdict.values.empty()) {
    throw Error(arguments.reference +
                " and the run have no value in common; its names must be like "
                "step_00/trace/unet.conv_in, see docs/compare.md");
  }
  arguments.as == "json" ? print_json(arguments, verdict) : print_table(arguments, verdict);
  return verdict.first_diverging.empty() ? exit_ok : exit_failed;
}

}  // namespace

void add_compare_command(CLI::App& program, int& exit_code) {
  auto arguments = std::make_shared<CompareArguments>();
  CLI::App& command = *program.add_subcommand(
      "compare", "Name the first layer that differs from a recorded run, and all that are wrong");
  command.add_option("reference", arguments->reference, "A trace, or a dump of tools/dump_torch.py")
      ->required()
      ->type_name("REFERENCE");
  command.add_option("trace", arguments->other, "A second trace; without it the recorded run is repeated")
      ->type_name("TRACE");
  command
      .add_option("--model", arguments->model,
                  "The model to repeat the run with; the recorded one when left out")
      ->type_name("DIR");
  command
      .add_option("--tokenizer", arguments->tokenizer,
                  "Folder with CLIP's vocab.json and merges.txt, for a model in one file")
      ->type_name("DIR");
  command.add_flag(
      "--free", arguments->free,
      "Let errors travel. Without it every layer is fed the reference's own input, so that only layers "
      "that are wrong themselves differ");
  command.add_flag("--all", arguments->all, "List every value, not only those that differ");
  command.add_flag("--exact", arguments->exact, "Every bit must be equal");
  command
      .add_option("--tolerance", arguments->tolerance,
                  "How much of a tensor's largest value a value may be off")
      ->check(CLI::Range(1e-12, 1.0));
  command.add_option("--as", arguments->as, "How to print: table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  add_watch_options(command, arguments->watched);
  add_run_options(command, arguments->run);
  command.callback([arguments, &exit_code] { exit_code = compare(*arguments); });
}

}  // namespace cutaway
