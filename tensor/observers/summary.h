// The few numbers that tell what is in a tensor.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "tensor/tensor.h"

namespace cutaway::observers {

/// Over the finite values; NaN in all four when there are none.
struct Summary {
  double mean = 0, std = 0;  // std divided by n
  double min = 0, max = 0;
  int64_t nan = 0, infinite = 0;  // how many of each
};
Summary summarise(const Tensor& tensor);

/// "min -1.2, max 3.4, mean 0.01, std 0.9", and the NaN and infinite values when there are any.
std::string to_string(const Summary& summary);

/// A number for JSON, which has no NaN and no infinity: null stands for them.
nlohmann::json json_number(double value);

}  // namespace cutaway::observers
