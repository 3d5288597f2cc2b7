#include "apps/describe/figures.h"

namespace cutaway::describe {

std::string as_svg(const Architecture& architecture, const Box& box, const SourceLines& sources, int depth,
                   bool timed) {
  if (box.path.empty()) return draw_overview(architecture, sources, timed);
  if (box.type == "UNet") return draw_unet(architecture, box, sources, depth > 1, timed);
  return draw_inside(architecture, box, sources, timed);
}

}  // namespace cutaway::describe
