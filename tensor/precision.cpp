#include "tensor/precision.h"

#include <string>

#include "tensor/backend.h"
#include "tensor/error.h"

namespace cutaway {
namespace {

Precision& in_use() {
  static Precision precision = Precision::f32;
  return precision;
}

}  // namespace

const char* to_string(Precision precision) { return precision == Precision::bf16 ? "bf16" : "f32"; }

void choose_precision(std::string_view name) {
  for (const Precision precision : {Precision::f32, Precision::bf16}) {
    if (name != to_string(precision)) continue;
    in_use() = precision;
    return;
  }
  throw Error("products cannot be computed in '" + std::string(name) + "'; known are f32 and bf16");
}

Precision current_precision() { return in_use(); }

bool has_bf16_product() {
#ifdef __x86_64__
  static const bool processor_has_it = __builtin_cpu_supports("avx512bf16") != 0;
  return processor_has_it && current_isa() == Isa::avx512;
#else
  return false;
#endif
}

}  // namespace cutaway
