// How fast this machine multiplies and adds at most: what the kernels are measured against.
#pragma once

namespace cutaway::fast {

/// Floating-point operations per second of all threads together, with the instruction set in use, when
/// nothing but registers is touched. Measured for about a quarter of a second.
double measured_peak_flops();

}  // namespace cutaway::fast
