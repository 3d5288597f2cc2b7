#include "nn/load.h"

#include <algorithm>
#include <map>
#include <set>

#include "tensor/error.h"

namespace cutaway {
namespace {

struct Mismatch {
  std::string name;
  Shape needed, found;
};

struct Report {
  std::vector<std::string> missing, unexpected;
  std::vector<Mismatch> mis_shaped;
  bool clean() const { return missing.empty() && unexpected.empty() && mis_shaped.empty(); }
};

std::vector<int64_t> without_ones(const Shape& shape) {
  std::vector<int64_t> extents;
  for (int i = 0; i < shape.rank(); ++i) {
    if (shape[i] != 1) extents.push_back(shape[i]);
  }
  return extents;
}

bool any_starts_with(const std::vector<std::string>& names, std::string_view start) {
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return name.starts_with(start); });
}

bool any_contains(const std::vector<std::string>& names, std::string_view part) {
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return name.find(part) != std::string::npos; });
}

// What usually lies behind such a report; "" when nothing known fits.
std::string likely_cause(const Report& report) {
  if (any_starts_with(report.unexpected, "model.diffusion_model.")) {
    return "the names start with model.diffusion_model.: this is a whole checkpoint in one file, in CompVis' "
           "naming";
  }
  if (any_contains(report.unexpected, "lora"))
    return "the names speak of LoRA: this is an add-on, not a network";
  if (any_starts_with(report.unexpected, "add_embedding."))
    return "there is an add_embedding: this is SDXL, not SD 1.x";
  if (any_starts_with(report.unexpected, "controlnet_cond_embedding."))
    return "this is a ControlNet, not a UNet";
  for (const Mismatch& m : report.mis_shaped) {
    if (m.needed.rank() == 2 && m.found.rank() == 2 && m.needed[1] == 768 && m.found[1] == 1024) {
      return "1024 where 768 is expected: this is SD 2";
    }
    if (m.name == "conv_in.weight" && m.found.rank() == 4 && m.found[1] == 9) {
      return "9 input channels: this is an inpainting network, and config.json should say in_channels 9";
    }
  }
  if (!report.missing.empty() && !report.unexpected.empty()) return "the file belongs to another network";
  if (!report.missing.empty()) return "the file is incomplete, or config.json belongs to a larger network";
  if (!report.unexpected.empty()) return "config.json belongs to a smaller network";
  return "config.json and the file belong to different networks";
}

std::string sentence(const Report& report, const WeightSource& source) {
  const auto count = [](size_t n, const char* what) { return std::to_string(n) + " " + what; };
  std::string text = source.description() +
                     " does not fit the network: " + count(report.missing.size(), "missing, ") +
                     count(report.unexpected.size(), "unexpected, ") +
                     count(report.mis_shaped.size(), "mis-shaped") + " (" + likely_cause(report) + ")";
  for (const std::string& name : report.missing) text += "\n  missing     " + name;
  for (const std::string& name : report.unexpected) text += "\n  unexpected  " + name;
  for (const Mismatch& m : report.mis_shaped) {
    text += "\n  mis-shaped  " + m.name + ": the network has " + to_string(m.needed) + ", the file " +
            to_string(m.found);
  }
  return text;
}

}  // namespace

bool same_but_for_ones(const Shape& a, const Shape& b) { return without_ones(a) == without_ones(b); }

void load_weights(const std::vector<WeightSlot>& slots, const WeightSource& source,
                  const std::vector<std::string>& ignored) {
  Report report;
  std::set<std::string> wanted(ignored.begin(), ignored.end());
  std::vector<Weight> found;
  for (const WeightSlot& slot : slots) {
    wanted.insert(slot.name);
    std::optional<Weight> weight = source.find(slot.name, slot.weight->shape);
    if (!weight) {
      report.missing.push_back(slot.name);
    } else if (!same_but_for_ones(weight->shape, slot.weight->shape)) {
      report.mis_shaped.push_back({slot.name, slot.weight->shape, weight->shape});
    } else {
      weight->shape = slot.weight->shape;
      found.push_back(std::move(*weight));
    }
  }
  for (const std::string& name : source.names()) {
    if (!wanted.contains(name)) report.unexpected.push_back(name);
  }
  if (!report.clean()) throw Error(sentence(report, source));
  for (size_t i = 0; i < slots.size(); ++i) *slots[i].weight = std::move(found[i]);
}

}  // namespace cutaway
