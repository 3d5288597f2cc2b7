// The drawings: the whole of Stable Diffusion, the UNet as a U, and the flow inside any one box.
#pragma once

#include <string>

#include "apps/describe/architecture.h"
#include "apps/describe/sources.h"

namespace cutaway::describe {

/// An SVG file. Which drawing it is follows from the box. At depth 1 the levels of the UNet are closed; all
/// other drawings show one level of boxes.
std::string as_svg(const Architecture& architecture, const Box& box, const SourceLines& sources, int depth,
                   bool timed);

std::string draw_overview(const Architecture& architecture, const SourceLines& sources, bool timed);
std::string draw_unet(const Architecture& architecture, const Box& unet, const SourceLines& sources,
                      bool open, bool timed);
std::string draw_inside(const Architecture& architecture, const Box& box, const SourceLines& sources,
                        bool timed);

}  // namespace cutaway::describe
