// How much memory a run will take, told before it begins, and which savings make it fit.
// Doc: docs/memory.md
#pragma once

#include <cstdint>
#include <string>

#include "models/stable_diffusion.h"
#include "tensor/trace.h"

namespace cutaway {

/// What a run takes at its peak.
struct Forecast {
  int64_t bytes = 0;          // of the whole process: VmHWM as Linux counts it
  int64_t program_bytes = 0;  // what is in memory before the run
  int64_t weight_bytes = 0;   // pages of the weights' files at the peak; other programs may share them
  int64_t tensor_bytes = 0;   // tensors, scratch memory of the kernels, memory kept to be used again
};

/// A dry run (tensor/dispatch/dry_run.h) with the backend, instruction set and threads in use. Of the
/// observers only the given one sees it.
Forecast forecast(const StableDiffusion& model, const GenerateOptions& options, const Execution& how = {},
                  const GenerateEvents& events = {}, Observer* observer = nullptr);

/// "memory: 4.31 GB at the peak: 3.71 GB of weights mapped from files,
/// 0.58 GB of tensors, 0.02 GB of program"
std::string to_string(const Forecast& forecast);

/// Bytes of this process in memory now, and the most there have been. 0 where /proc does not tell.
int64_t resident_bytes();
int64_t peak_resident_bytes();

/// Is a debugger attached? Then there is no dry run that need not be: the user's breakpoints would stop in
/// it, where tensors mean nothing.
bool being_debugged();

/// 4.31 GB, 62 MB: decimal, as files are measured.
std::string bytes_text(int64_t bytes);
/// "3GB", "800MB", "2.5 GiB", "1000000". Throws Error for anything else.
int64_t bytes_from_text(const std::string& text);

}  // namespace cutaway
