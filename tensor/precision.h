// In which numbers the fast backend multiplies.   Doc: docs/performance.md
#pragma once

#include <string_view>

namespace cutaway {

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

}  // namespace cutaway
