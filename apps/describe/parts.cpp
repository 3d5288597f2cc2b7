#include "apps/describe/parts.h"

#include <algorithm>
#include <map>

#include "apps/describe/format.h"

namespace cutaway::describe {
namespace {

constexpr Font title_font{13.5, true, false};
constexpr Font name_font{12.2, false, true};
constexpr Font small_font{12.2, false, false};
constexpr double padding = 8;

// Type and name beside each other, when they fit.
bool fits_in_one_line(const Box& box, double width) {
  return text_width(box.type, title_font) + text_width(box.name, name_font) + 10 <= width - 2 * padding;
}

bool values_fit(const std::string& shape, const std::string& cost, double room) {
  return text_width(shape + cost, small_font) + 10 <= room;
}

// Parameters and work beside the shape, or the parameters alone where there is no room for both.
std::string fitting_cost(const Box& box, bool timed, const std::string& shape, double room) {
  const std::string both = cost_of(box, timed);
  return values_fit(shape, both, room) ? both : both.substr(0, both.find(" · "));
}

void draw_box_node(Svg& svg, const Node& node, const Rect& rect, const SourceLines& sources, bool timed) {
  const Box& box = *node.box;
  const double room = rect.width - 2 * padding, left = rect.x + padding, right = rect.right() - padding;
  svg.begin_link(sources.link(box.type), box.type, box.path);
  svg.box(rect, css_of(box.type));
  const std::string shape = node.shape ? short_shape(*node.shape) : "";
  const bool one_line = fits_in_one_line(box, rect.width);
  const std::string cost = fitting_cost(box, timed, shape, room);
  double y = rect.y + 15;
  if (one_line) {
    svg.text({left, y}, box.type, title_font, "", Svg::Anchor::start);
    svg.text({right, y}, box.name, name_font, "soft", Svg::Anchor::end);
  } else {
    svg.text({rect.center_x(), y}, box.type, title_font, "", Svg::Anchor::middle, room);
    svg.text({rect.center_x(), y += 17}, box.name, name_font, "soft", Svg::Anchor::middle, room);
  }
  if (one_line && values_fit(shape, cost, room)) {
    svg.text({left, y + 18}, shape, small_font, "", Svg::Anchor::start);
    svg.text({right, y + 18}, cost, small_font, "soft", Svg::Anchor::end);
  } else {
    svg.text({rect.center_x(), y + 17}, shape, small_font, "", Svg::Anchor::middle, room);
    svg.text({rect.center_x(), y + 34}, cost, small_font, "soft", Svg::Anchor::middle, room);
  }
  svg.end_link();
}

void draw_attention(Svg& svg, const Node& node, const Rect& rect) {
  svg.box(rect, "attention", 10);
  svg.text({rect.center_x(), rect.y + 16}, node.label, {13.5, true, true}, "");
  svg.text({rect.center_x(), rect.y + 34}, "softmax(q kᵀ / √d) v   →   " + short_shape(*node.shape),
           small_font, "");
  if (node.table) {
    svg.text({rect.center_x(), rect.y + 51},
             "table of weights " + short_shape(*node.table) + " · " + short_flops(node.flops), small_font,
             "soft", Svg::Anchor::middle, rect.width - 2 * padding);
  }
}

}  // namespace

std::string css_of(const std::string& type) {
  static const std::map<std::string, std::string> classes{{"ResBlock", "resblock"},
                                                          {"SpatialTransformer", "transformer"},
                                                          {"BasicTransformerBlock", "transformer"},
                                                          {"CLIPEncoderLayer", "transformer"},
                                                          {"CrossAttention", "attention"},
                                                          {"CLIPAttention", "attention"},
                                                          {"VaeAttention", "attention"},
                                                          {"Conv2d", "conv"},
                                                          {"Downsample", "conv"},
                                                          {"Upsample", "conv"},
                                                          {"GroupNorm", "norm"},
                                                          {"LayerNorm", "norm"},
                                                          {"Linear", "linear"},
                                                          {"FeedForward", "linear"},
                                                          {"GEGLU", "linear"},
                                                          {"CLIPMLP", "linear"},
                                                          {"Embedding", "prompt"},
                                                          {"TimeEmbedding", "time"},
                                                          {"CLIPTextModel", "prompt"},
                                                          {"AutoencoderKL", "vae"},
                                                          {"Encoder", "vae"},
                                                          {"Decoder", "vae"}};
  const auto found = classes.find(type);
  return found == classes.end() ? "level" : found->second;
}

std::string css_of(Role role) {
  const char* names[] = {"image", "time", "prompt", "skip"};
  return names[static_cast<int>(role)];
}

std::string cost_of(const Box& box, bool timed) {
  std::string text = short_count(static_cast<double>(box.parameters));
  if (timed) return text + " · " + short_time(box.seconds);
  if (box.flops > 0) text += " · " + short_flops(box.flops);
  return text;
}

// A path in as few lines as it needs, broken behind a dot.
std::vector<std::string> path_lines(const std::string& path) {
  std::vector<std::string> lines{""};
  for (size_t at = 0; at < path.size();) {
    const size_t dot = std::min(path.find('.', at), path.size() - 1);
    const std::string piece = path.substr(at, dot + 1 - at);
    if (text_width(lines.back() + piece, {12.5, false, true}) > figure_width - 2 * margin)
      lines.emplace_back();
    lines.back() += piece;
    at = dot + 1;
  }
  return lines;
}

double draw_heading(Svg& svg, const Architecture& architecture, const Box& box, const SourceLines& sources,
                    bool timed) {
  const double middle = figure_width / 2;
  const std::string level = level_name(box.path);
  const bool whole_level = !level.empty() && std::count(box.path.begin(), box.path.end(), '.') < 3 &&
                           (box.type == "DownBlock" || box.type == "UpBlock" || box.type == "MidBlock");
  svg.begin_link(sources.link(box.type), box.type, box.path);
  svg.text({middle, 24}, whole_level ? level + ": " + box.type : box.type, {18, true, false}, "");
  svg.end_link();
  double y = 28;
  for (const std::string& line : path_lines(box.path))
    svg.text({middle, y += 17}, line, {12.5, false, true}, "soft", Svg::Anchor::middle,
             figure_width - 2 * margin);
  std::string numbers = with_commas(box.parameters) + " parameters";
  if (box.flops > 0) numbers += " · " + short_flops(box.flops);
  if (timed) numbers += " · " + short_time(box.seconds);
  svg.text({middle, y += 19}, numbers, {12.5, false, false}, "soft", Svg::Anchor::middle,
           figure_width - 2 * margin);
  const std::string size = std::to_string(architecture.pixels);
  svg.text({middle, y += 17}, "for one picture of " + size + "×" + size, {12.2, false, false}, "soft");
  return y + 23;
}

double node_width(const Node& node, double room) {
  if (node.kind == Node::Kind::box) return room;
  double width = text_width(node.label, name_font) + 26;
  if (node.shape && (node.kind != Node::Kind::operation || node.reshapes))
    width = std::max(width, text_width(short_shape(*node.shape), small_font) + 24);
  if (node.kind == Node::Kind::skip) width = text_width(node.label, small_font) + 14;
  return std::min(room, width);
}

double node_height(const Node& node, double width) {
  if (node.kind == Node::Kind::operation) return node.reshapes ? 40 : 26;
  if (node.kind == Node::Kind::skip) return 26;
  if (node.kind != Node::Kind::box) return 40;
  const double room = width - 2 * padding;
  const bool short_name = fits_in_one_line(*node.box, width);
  const std::string shape = node.shape ? short_shape(*node.shape) : "";
  const bool short_values =
      short_name && values_fit(shape, fitting_cost(*node.box, false, shape, room), room);
  return 14 + 17 * ((short_name ? 1 : 2) + (short_values ? 1 : 2));
}

void draw_flow_node(Svg& svg, const Node& node, const Rect& rect, const SourceLines& sources, bool timed) {
  if (node.kind == Node::Kind::box) {
    draw_box_node(svg, node, rect, sources, timed);
    return;
  }
  if (node.kind == Node::Kind::operation) {
    svg.begin_link(sources.link(node.label), node.label, "");
    if (node.label == "attention") {
      draw_attention(svg, node, rect);
    } else {
      svg.box(rect, "operation", node.reshapes ? 14 : rect.height / 2);
      const double y = node.reshapes ? rect.y + 13 : rect.center_y();
      svg.text({rect.center_x(), y}, node.label, name_font, "", Svg::Anchor::middle, rect.width - 12);
      if (node.reshapes) {
        svg.text({rect.center_x(), y + 15}, short_shape(*node.shape), small_font, "soft", Svg::Anchor::middle,
                 rect.width - 16);
      }
    }
    svg.end_link();
    return;
  }
  svg.box(rect, css_of(node.role), node.kind == Node::Kind::skip ? 6 : 14);
  if (node.kind == Node::Kind::skip) {
    svg.text({rect.center_x(), rect.center_y()}, node.label, small_font, "");
    return;
  }
  svg.text({rect.center_x(), rect.y + 13}, node.label, {12.5, true, false}, "", Svg::Anchor::middle,
           rect.width - 8);
  if (node.shape)
    svg.text({rect.center_x(), rect.y + 28}, short_shape(*node.shape), small_font, "soft",
             Svg::Anchor::middle, rect.width - 8);
}

}  // namespace cutaway::describe
