// Which version of the operations runs: the plain loops, the fast kernels, or Eigen as the referee. And how
// the fast ones run: instruction set, precision, way of convolution, threads.
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
/// The layer paths in it.
std::vector<std::string> backend_paths();

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

/// In which numbers the fast kernels multiply.   Doc: docs/performance.md
///
/// f32: as stored, widened. bf16: both factors of a product of matrices are rounded to bfloat16 (8 bits, a
/// relative error of up to 1/256), sums stay in f32. Convolutions that Winograd's transforms do keep f32:
/// there bf16 would cost ten times the error, and win nothing. So do layers of a few rows, whose time is that
/// of reading weights.
enum class Precision { f32, bf16 };
const char* to_string(Precision precision);
/// "f32" or "bf16". Throws Error on another name. A processor without a bf16 product (vdpbf16ps) rounds as
/// well, but is no faster; there attention stays in f32.
void choose_precision(std::string_view name);
Precision current_precision();
/// Whether the instruction set in use has a product of bf16.
bool has_bf16_product();

/// How the fast kernels compute 3 x 3 convolutions.   Doc: docs/performance.md
///
/// fastest: with Winograd's transforms where they pay, three times faster and right to about 2e-6 of the
/// largest result. direct: one product after another, right to about 4e-7.
enum class Convolution { fastest, direct };
const char* to_string(Convolution convolution);
/// "fastest" or "direct". Throws Error on another name.
void choose_convolution(std::string_view name);
Convolution current_convolution();

/// Threads that the fast kernels use; results do not depend on it. Throws Error unless 1 to 1024.
void choose_threads(int threads);
int current_threads();

}  // namespace cutaway
