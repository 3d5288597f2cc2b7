// The boxes as text: tree, table, JSON and a graph for Graphviz.
#pragma once

#include <string>

#include "apps/describe/architecture.h"

namespace cutaway::describe {

/// `depth`: how many levels below `box` are shown. Seconds are shown when `timed`.
std::string as_tree(const Box& box, int depth, bool timed);
std::string as_table(const Box& box, int depth, bool timed);
std::string as_json(const Architecture& architecture, const Box& box, int depth, bool timed);
std::string as_dot(const Architecture& architecture, const Box& box, int depth, bool timed);

}  // namespace cutaway::describe
