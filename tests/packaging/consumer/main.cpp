// The smallest use of every library: an operation, a layer, a whole network.
#include <cstdio>

#include "models/stable_diffusion.h"
#include "tensor/ops.h"

int main() {
  const cutaway::Tensor y = cutaway::softmax(cutaway::Tensor::filled({1, 4}, 3));
  cutaway::UNet unet;  // Stable Diffusion 1.5
  const long long count = cutaway::parameter_count(unet);
  std::printf("softmax %g, UNet %lld parameters\n", static_cast<double>(y.data()[0]), count);
  return y.data()[0] == 0.25F && count == 859520964 ? 0 : 1;
}
