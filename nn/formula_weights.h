// Weights by a formula, which needs no file.   Doc: docs/formula_weights.md
#pragma once

#include "nn/load.h"

namespace cutaway {

/// Weights of any size without a file, the same in every language: each number is a hash of the weight's name
/// and the number's place. Used to check and to time full-size networks. The formula: docs/formula_weights.md
class FormulaSource : public WeightSource {
 public:
  std::string description() const override { return "the weight formula"; }
  std::vector<std::string> names() const override { return {}; }
  std::optional<Weight> find(const std::string& name, const Shape& needed) const override;
};

/// FNV-1a of the name's bytes, 64 bits.
uint64_t fnv1a64(std::string_view name);
/// The splitmix64 generator's output for state `x`.
uint64_t splitmix64(uint64_t x);
/// The formula's numbers in [-1, 1) for a name.
Tensor formula_uniform(const std::string& name, const Shape& shape);
/// An input of mean 0 and variance 1: formula_uniform times sqrt(3).
Tensor formula_input(const std::string& name, const Shape& shape);

}  // namespace cutaway
