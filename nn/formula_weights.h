// Sources of weights: a safetensors file, and a formula that needs no file.
#pragma once

#include "nn/load.h"
#include "tensor/files/safetensors.h"

namespace cutaway {

/// The weights of a safetensors file, left where they are in the mapped file.
class SafetensorsSource : public WeightSource {
 public:
  /// `prefix` is what stands before every name: with "unet." the weight conv_in.weight is unet.conv_in.weight
  /// in the file, and names that do not start so are none of this network's.
  explicit SafetensorsSource(SafetensorsFile file, std::string prefix = "");

  std::string description() const override;
  std::vector<std::string> names() const override;
  std::optional<Weight> find(const std::string& name, const Shape& needed) const override;

 private:
  SafetensorsFile file_;
  std::string prefix_;
};

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
