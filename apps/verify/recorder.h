// An observer that keeps the values that a case compares, and no others.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "apps/verify/value_names.h"
#include "tensor/trace.h"

namespace cutaway::verify {

class Recorder : public Observer {
 public:
  explicit Recorder(const std::vector<ValueName>& wanted);

  void enter(const std::string& path, std::span<Tensor* const> inputs) override;
  void value(const std::string& path, Tensor& value) override;
  void operation(const std::string& path, const char* name, std::span<const Tensor* const> inputs,
                 const Tensor& result) override;
  bool wants(const std::string& path) const override { return values_.contains(path); }

  /// Null when the run had no such value. Not for outputs.
  const Tensor* find(const ValueName& place) const;

 private:
  struct Operation {
    std::string path, name;
    Tensor result;
  };
  std::map<std::string, std::vector<Tensor>> values_, inputs_;  // by path: one for each time
  std::set<std::string> operation_names_;
  std::vector<Operation> operations_;
};

}  // namespace cutaway::verify
