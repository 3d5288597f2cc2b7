#include "apps/verify/value_names.h"

#include <algorithm>
#include <charconv>

#include "nn/module.h"

namespace cutaway::verify {
namespace {

std::optional<int> number_in(const std::string& text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || number < 0)
    return std::nullopt;
  return number;
}

// "a.b" and "c" of "a.b.c"; "" and "c" of "c"
std::pair<std::string, std::string> split_last(const std::string& name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string::npos) return {"", name};
  return {name.substr(0, dot), name.substr(dot + 1)};
}

}  // namespace

ValueNameFinder::ValueNameFinder(const std::vector<std::string>& layers,
                                 const std::map<std::string, ValueName>& aliases)
    : paths_(layers.begin(), layers.end()), aliases_(aliases) {
  const std::set<std::string> names = {"linear_2", "conv1", "time_emb_proj", "conv2", "conv_out"};
  for (const std::string& layer : layers) {
    if (names.contains(split_last(layer).second)) after_silu_.push_back(layer);
  }
}

std::optional<ValueName> ValueNameFinder::find(const std::string& section, const std::string& rest) const {
  if (section == "trace") return find_trace(rest);
  if (section == "act") {  // act/<module>/<what of it>
    const size_t slash = rest.rfind('/');
    if (slash == std::string::npos) return std::nullopt;
    std::optional<ValueName> place = find_trace(rest.substr(0, slash));
    const std::string what = rest.substr(slash + 1);
    if (!place) return std::nullopt;
    if (what == "mean_std") {
      place->view = ValueName::View::mean_and_std;
    } else if (what.starts_with("first") && number_in(what.substr(5))) {
      place->view = ValueName::View::first_values;
    } else {
      return std::nullopt;
    }
    return place;
  }
  if (const auto alias = aliases_.find("out/" + rest); alias != aliases_.end()) return alias->second;
  return ValueName{.what = ValueName::What::output, .path = rest};
}

// name#k is the k-th later call of a module; of an activation, the k-th later layer that it goes into.
std::optional<ValueName> ValueNameFinder::find_trace(std::string name) const {
  int occurrence = 0;
  if (const size_t hash = name.rfind('#'); hash != std::string::npos) {
    const std::optional<int> number = number_in(name.substr(hash + 1));
    if (!number) return std::nullopt;
    occurrence = *number;
    name.resize(hash);
  }
  if (std::optional<ValueName> activation = find_activation(name, occurrence)) return activation;
  std::optional<ValueName> place = find_base(name);
  if (place) place->occurrence += occurrence;
  return place;
}

std::optional<ValueName> ValueNameFinder::find_base(const std::string& name) const {
  if (const auto alias = aliases_.find(name); alias != aliases_.end()) return alias->second;
  if (const size_t at = name.find('@'); at != std::string::npos) {
    return find_element(name.substr(0, at), name.substr(at + 1));
  }
  if (name.ends_with(":in")) {
    const std::optional<std::string> path = path_of(name.substr(0, name.size() - 3));
    if (!path) return std::nullopt;
    return ValueName::input_of(*path);
  }
  const auto [owner, last] = split_last(name);
  const bool inner_value = (last == "probs" || last == "time_proj") && paths_.contains(owner);
  if (inner_value) return ValueName::value_at(join_path(owner, last));
  const std::optional<std::string> path = path_of(name);
  if (!path) return std::nullopt;
  return ValueName::value_at(*path);
}

// In PyTorch an activation is a module; here it is an operation, found by the layer its result goes into.
// Were its calls counted instead, one that is missing would move all later ones. diffusers shares one module
// among all layers of a network, by the name of the first: its calls go into the layers from there on.
std::optional<ValueName> ValueNameFinder::find_activation(const std::string& name, int call) const {
  const auto [owner, last] = split_last(name);
  if (!paths_.contains(owner) || aliases_.contains(name)) return std::nullopt;
  if (last == "activation_fn") return ValueName::input_of(join_path(owner, "fc2"));
  if (last == "conv_act") return ValueName::input_of(join_path(owner, "conv_out"));
  if (last != "nonlinearity" && last != "act") return std::nullopt;
  const std::string below = join_path(owner, "");
  auto layer = std::find_if(after_silu_.begin(), after_silu_.end(),
                            [&](const std::string& path) { return path.starts_with(below); });
  if (after_silu_.end() - layer <= call) return std::nullopt;
  return ValueName::input_of(*(layer + call));
}

// module@element: a part of what a module returned.
std::optional<ValueName> ValueNameFinder::find_element(const std::string& base,
                                                       const std::string& element) const {
  const std::optional<std::string> path = path_of(base);
  if (!path) return std::nullopt;
  if (element == "0" || element == "last_hidden_state") return ValueName::value_at(*path);
  if (element == "pooler_output") return ValueName{.what = ValueName::What::output, .path = element};
  if (element.starts_with("1@")) return find_state(*path, element.substr(2));
  if (element.starts_with("hidden_states@")) return find_hidden_state(*path, element.substr(14));
  return std::nullopt;
}

// The k-th skip connection that a block of the way down leaves: after each ResBlock and its Transformer, if
// it has one, and after the downsampler.
std::optional<ValueName> ValueNameFinder::find_state(const std::string& block,
                                                     const std::string& number) const {
  const std::optional<int> k = number_in(number);
  if (!k) return std::nullopt;
  for (const char* part : {"attentions.", "resnets."}) {
    const std::string path = join_path(block, part + std::to_string(*k));
    if (paths_.contains(path)) return ValueName::value_at(path);
  }
  const bool after_last = *k > 0 && paths_.contains(join_path(block, "resnets." + std::to_string(*k - 1)));
  const std::string downsampler = join_path(block, "downsamplers.0");
  if (after_last && paths_.contains(downsampler)) return ValueName::value_at(downsampler);
  return std::nullopt;
}

// 0 is what goes into the first layer of the text encoder, k what comes out of the k-th.
std::optional<ValueName> ValueNameFinder::find_hidden_state(const std::string& model,
                                                            const std::string& number) const {
  const std::optional<int> k = number_in(number);
  if (!k) return std::nullopt;
  const std::string ending = ".encoder";
  const std::string text_model =
      model.ends_with(ending) ? model.substr(0, model.size() - ending.size()) : model;
  const std::string path =
      *k == 0 ? text_model + ".embeddings" : text_model + ".encoder.layers." + std::to_string(*k - 1);
  if (!paths_.contains(path)) return std::nullopt;
  return ValueName::value_at(path);
}

// A module here, or the last one of what is a list of modules there: ff.net is ff.net.2.
std::optional<std::string> ValueNameFinder::path_of(const std::string& module) const {
  if (paths_.contains(module)) return module;
  std::optional<std::string> last;
  int largest = -1;
  for (auto at = paths_.lower_bound(module + "."); at != paths_.end() && at->starts_with(module + ".");
       ++at) {
    const std::optional<int> number = number_in(at->substr(module.size() + 1));
    if (!number || *number < largest) continue;
    largest = *number;
    last = *at;
  }
  return last;
}

}  // namespace cutaway::verify
