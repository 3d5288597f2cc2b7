#include "tensor/convolution.h"

#include <string>

#include "tensor/error.h"

namespace cutaway {
namespace {

Convolution& in_use() {
  static Convolution convolution = Convolution::fastest;
  return convolution;
}

}  // namespace

const char* to_string(Convolution convolution) {
  return convolution == Convolution::direct ? "direct" : "fastest";
}

void choose_convolution(std::string_view name) {
  for (const Convolution convolution : {Convolution::fastest, Convolution::direct}) {
    if (name != to_string(convolution)) continue;
    in_use() = convolution;
    return;
  }
  throw Error("there is no convolution '" + std::string(name) + "'; known are fastest and direct");
}

Convolution current_convolution() { return in_use(); }

}  // namespace cutaway
