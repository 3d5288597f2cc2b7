#include "apps/mpi/shared_guidance.h"

#include <string>

#include "apps/mpi/ranks.h"
#include "tensor/error.h"

namespace cutaway::mpi {

void share_guidance(GenerateOptions& options) {
  if (alone()) return;
  if (options.guidance_scale == 1) {
    throw Error(
        "with --cfg 1 there is one prediction a step, which two ranks cannot share: start one, or deal the "
        "pictures out by --shard");
  }
  options.seed = std::stoull(of_first(std::to_string(options.seed)));
  options.partner = GuidancePartner{.has_prompt = speaks(), .exchange = exchange};
}

}  // namespace cutaway::mpi
