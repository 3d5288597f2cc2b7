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
    output,     // a result of the run, by name
    value,      // what a layer returned, or an inner value with a name: at the path
    input,      // the first argument of the layer at the path
    operation,  // the result of an operation of one of these names
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
  int occurrence = 0;                        // 0 the first time, 1 the second ...
  std::vector<std::string> operations = {};  // operation: any of these
  bool anywhere = false;                     // operation: counted over the whole run, whatever the layer
  View view = View::as_is;

  static ValueName value_at(const std::string& path) { return {.path = path}; }
  static ValueName operation_at(const std::string& path, const std::string& name, int occurrence = 0) {
    return {.what = What::operation, .path = path, .occurrence = occurrence, .operations = {name}};
  }
  static ValueName operation_anywhere(const std::string& name, int occurrence = 0) {
    return {.what = What::operation, .occurrence = occurrence, .operations = {name}, .anywhere = true};
  }
};

/// Finds the places of the names of one run. The reference's names are those of PyTorch's modules with a few
/// additions, see docs/verify.md#names.
class ValueNameFinder {
 public:
  /// `paths`: the layers of our network. `aliases`: names that mean something else here. `activation_owners`:
  /// the modules whose `nonlinearity` the run's names speak of.
  ValueNameFinder(const std::set<std::string>& paths, const std::map<std::string, ValueName>& aliases,
                  std::set<std::string> activation_owners)
      : paths_(paths), aliases_(aliases), activation_owners_(std::move(activation_owners)) {}

  /// Nothing when no layer here goes by that name.
  std::optional<ValueName> find(const std::string& section, const std::string& rest) const;

 private:
  std::optional<ValueName> find_trace(std::string name) const;
  std::optional<ValueName> find_base(const std::string& name) const;
  std::optional<ValueName> find_activation(const std::string& name) const;
  std::optional<ValueName> find_element(const std::string& base, const std::string& element) const;
  std::optional<ValueName> find_state(const std::string& block, const std::string& number) const;
  std::optional<ValueName> find_hidden_state(const std::string& model, const std::string& number) const;
  std::optional<std::string> path_of(const std::string& module) const;

  const std::set<std::string>& paths_;
  const std::map<std::string, ValueName>& aliases_;
  std::set<std::string> activation_owners_;
};

/// "resnets.0" of "resnets.0.nonlinearity#3"; nothing when the name is of another kind.
std::optional<std::string> activation_owner(const std::string& name);

}  // namespace cutaway::verify
