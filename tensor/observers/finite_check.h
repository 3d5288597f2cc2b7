// FiniteCheck: an observer that stops a run at the first NaN or infinity.
#pragma once

#include <string>
#include <vector>

#include "tensor/trace.h"

namespace cutaway::observers {

/// Throws Error as soon as a layer takes or gives a value that is not finite: with the layer's path, the
/// step, the value's index and the ranges of the layer's inputs.
class FiniteCheck : public Observer {
 public:
  void enter(const std::string& path, std::span<Tensor* const> inputs) override;
  void value(const std::string& path, Tensor& value) override;

 private:
  struct Open {
    std::string path;
    std::vector<Tensor> inputs;
  };
  [[noreturn]] void stop(const std::string& path, const char* what, const Tensor& tensor, int64_t at) const;

  std::vector<Open> open_;
};

}  // namespace cutaway::observers
