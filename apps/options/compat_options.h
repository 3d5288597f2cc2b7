// What says whose picture a run shall be equal to, and how its prompt is read.   Doc: docs/compat.md
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <map>
#include <string>

#include "models/stable_diffusion.h"

namespace cutaway {

struct CompatOptions {
  std::string compat = "diffusers";
  std::string prompt_weights, noise, schedule;  // "": as the program has it
  int64_t clip_skip = 1;
};

void add_compat_options(CLI::App& command, CompatOptions& options);

/// Throws Error for names that are not known and for what the program cannot do.
void apply(const CompatOptions& given, GenerateOptions& options);

/// The seed that picture i of a batch is told by: its own, or that of the whole batch where one stream of
/// noise serves all of it.
uint64_t seed_of_picture(const GenerateOptions& options, int64_t i);

/// What differs from the defaults, by name, to be written beside a picture or a trace, and read back.
std::map<std::string, std::string> to_texts(const GenerateOptions& options);
/// Of texts that hold other things as well. Throws Error when a value makes no sense.
CompatOptions compat_in(const std::map<std::string, std::string>& texts);

}  // namespace cutaway
