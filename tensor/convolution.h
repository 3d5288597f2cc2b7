// How the fast backend computes 3 x 3 convolutions.   Doc: docs/performance.md
#pragma once

#include <string_view>

namespace cutaway {

/// fastest: with Winograd's transforms where they pay, three times faster and right to about 2e-6 of the
/// largest result. direct: one product after another, right to about 4e-7.
enum class Convolution { fastest, direct };
const char* to_string(Convolution convolution);

/// "fastest" or "direct". Throws Error on another name.
void choose_convolution(std::string_view name);
Convolution current_convolution();

}  // namespace cutaway
