// Where in our run a value of the reference's is to be found: its names, told in ours.   Doc: docs/verify.md
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace cutaway::verify {

/// A value of a run.
struct ValueName {
  enum class What {
    output,  // a result of the run, by name
    value,   // what a layer returned, or an inner value with a name: at the path
    input,   // the first argument of the layer at the path
  };
  /// How the reference shows it.
  enum class View {
    as_is,
    tokens_as_image,  // [N, H W, C] here, [N, C, H, W] there
    image_as_tokens,  // [N, C, H, W] here, [N, H W, C] there
    mean_and_std,     // two numbers: the mean, and the standard deviation (divided by n)
    first_values,     // the first few in row-major order
  };

  What what = What::value;
  std::string path = {};
  int occurrence = 0;  // 0 the first time, 1 the second ...
  View view = View::as_is;

  static ValueName value_at(const std::string& path) { return {.path = path}; }
  static ValueName input_of(const std::string& path) { return {.what = What::input, .path = path}; }
};

/// Finds the places of the names of one run. The reference's names are those of PyTorch's modules with a few
/// additions, see docs/verify.md#names.
class ValueNameFinder {
 public:
  /// `layers`: the paths of our network's layers, in picture order.
  /// `aliases`: names that mean something else here.
  ValueNameFinder(const std::vector<std::string>& layers, const std::map<std::string, ValueName>& aliases);

  /// Nothing when no layer here goes by that name.
  std::optional<ValueName> find(const std::string& section, const std::string& rest) const;

 private:
  std::optional<ValueName> find_trace(std::string name) const;
  std::optional<ValueName> find_base(const std::string& name) const;
  std::optional<ValueName> find_activation(const std::string& name, int call) const;
  std::optional<ValueName> find_element(const std::string& base, const std::string& element) const;
  std::optional<ValueName> find_state(const std::string& block, const std::string& number) const;
  std::optional<ValueName> find_hidden_state(const std::string& model, const std::string& number) const;
  std::optional<std::string> path_of(const std::string& module) const;

  std::set<std::string> paths_;
  std::vector<std::string> after_silu_;  // the layers that a SiLU goes into, in picture order
  const std::map<std::string, ValueName>& aliases_;
};

}  // namespace cutaway::verify
