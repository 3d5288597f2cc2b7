// What all drawings share: headings, nodes, and which colour stands for what.
#pragma once

#include "apps/describe/architecture.h"
#include "apps/describe/flow.h"
#include "apps/describe/sources.h"
#include "apps/describe/svg.h"

namespace cutaway::describe {

constexpr double figure_width = 420;  // at 380 pixels, a phone, a letter of 12.5 units is 11 pixels high
constexpr double margin = 16;

/// The colour of a struct: "resblock", "transformer", "attention", "conv", "norm", "linear", ...
std::string css_of(const std::string& type);
/// The colour of a line.
std::string css_of(Role role);

/// Title (the struct where none is given), path, parameters and work of the box that is drawn, and a note.
/// Returns where the drawing may begin.
double draw_heading(Svg& svg, const Architecture& architecture, const Box& box, const SourceLines& sources,
                    bool timed, const std::string& title = "", const std::string& note = "");

double node_width(const Node& node, double room);
double node_height(const Node& node, double width, bool timed);
void draw_flow_node(Svg& svg, const Node& node, const Rect& rect, const SourceLines& sources, bool timed);

/// "1.8 M · 3.8 GFLOP", or the time in place of the work.
std::string cost_of(const Box& box, bool timed);
/// All that is known of a box, a line each, for whoever points at it.
std::string tip_of(const Box& box, bool timed);

}  // namespace cutaway::describe
