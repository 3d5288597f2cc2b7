// Which version of the operations runs: the plain loops, the fast kernels, or Eigen as the referee.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cutaway {

/// ref: plain loops, the definition itself. fast: tiled and vectorised. eigen: matrix products by Eigen,
/// everything else as in ref; an independent third opinion when ref and fast disagree. shadow: fast, with ref
/// run beside it and compared (tensor/dispatch/shadow.h).
enum class Backend { ref, fast, eigen, shadow };
const char* to_string(Backend backend);

/// Chooses the backend for everything, and other ones below layer paths: "fast", "ref",
/// "fast,unet.mid_block.resnets.0=ref". The longest path that fits a layer wins.
/// Throws Error on an unknown name, and names the known ones.
void choose_backend(std::string_view choice);
/// The text given to the last choose_backend.
std::string chosen_backend();

/// The backend of operations that run now, that is, inside the innermost open Scope.
Backend current_backend();
/// The backend for a layer, by its path.
Backend backend_at(std::string_view path);

/// Instruction sets that the fast kernels are written for.
enum class Isa { generic, avx2, avx512 };
const char* to_string(Isa isa);
/// The best one this processor has.
Isa best_isa();
/// The one in use; best_isa() unless another was chosen.
Isa current_isa();
/// "generic", "avx2", "avx512". Throws Error when unknown or when this processor lacks it.
void choose_isa(std::string_view name);

/// Threads that the fast kernels use; results do not depend on it. Throws Error unless 1 to 1024.
void choose_threads(int threads);
int current_threads();

}  // namespace cutaway
