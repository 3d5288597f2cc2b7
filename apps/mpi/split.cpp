#include "apps/mpi/split.h"

#include "tensor/error.h"

namespace cutaway::mpi {

void add_split_option(CLI::App& command, std::string& split) {
  command.option_defaults()->group("More pictures");
  command
      .add_option(
          "--split", split,
          "What the programs that mpirun started share of each picture: guidance, the two predictions of a "
          "step (the default), or rows, a band of them for each")
      ->check(CLI::IsMember({"guidance", "rows"}))
      ->type_name("WHAT");
}

void share(GenerateOptions& options, Execution& how, Split split) {
  if (alone()) return;
  options.seed = std::stoull(of_first(std::to_string(options.seed)));
  if (split == Split::rows) {
    how.neighbours = &neighbours();
    return;
  }
  if (options.guidance_scale == 1) {
    throw Error(
        "with --cfg 1 there is one prediction a step, which two ranks cannot share: share its rows by "
        "--split rows, start one, or deal the pictures out by --shard");
  }
  how.partner = GuidancePartner{.has_prompt = speaks(), .exchange = exchange};
}

void must_agree_on(const LowMemory& low_memory, Split split) {
  if (split == Split::rows)
    must_agree(std::string("--max-memory for ") + (low_memory.unet_in_turn ? "one latent" : "all latents") +
               " at a time in the UNet\n");
}

std::string bands_text(const Execution& how) {
  return how.neighbours == nullptr ? "" : std::to_string(how.neighbours->count());
}

}  // namespace cutaway::mpi
