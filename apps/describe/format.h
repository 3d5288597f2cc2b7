// Numbers as people read them.
#pragma once

#include <string>

#include "tensor/shape.h"

namespace cutaway::describe {

std::string with_commas(int64_t number);                 // 859,520,964
std::string short_count(double number, int digits = 3);  // "860 M", "1.84 M", "320"
std::string short_flops(double flops, int digits = 3);   // "803 GFLOP"
std::string short_time(double seconds, int digits = 3);  // "12.3 ms"
std::string short_shape(const Shape& shape);             // without the batch: "640×32×32"

}  // namespace cutaway::describe
