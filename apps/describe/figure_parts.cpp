#include "apps/describe/figure_parts.h"

#include <algorithm>
#include <cctype>
#include <map>

#include "apps/describe/format.h"

namespace cutaway::describe {
namespace {

constexpr Font title_font{13.5, true, false};
constexpr Font name_font{12.2, false, true};
constexpr Font small_font{12.2, false, false};
constexpr double padding = 8, line_height = 17, wide_box = 170;

// The lines of text in a box: a left and a right word, or one word in the middle.
struct Line {
  std::string left, right;
  Font left_font, right_font;
  bool soft_left = false;
};

std::vector<Line> header_lines(const Node& node, double room) {
  const Box& box = *node.box;
  const std::string& title = node.note.empty() ? box.type : node.note;
  const bool one_line = text_width(title, title_font) + text_width(box.name, name_font) + 8 <= room;
  if (one_line) return {{title, box.name, title_font, name_font}};
  return {{title, "", title_font, {}}, {box.name, "", name_font, {}, true}};
}

std::vector<Line> lines_of(const Node& node, double width, bool timed) {
  const double room = width - 2 * padding;
  std::vector<Line> lines = header_lines(node, room);
  const std::string shape = node.shape ? short_shape(*node.shape) : "";
  const std::string cost = cost_of(*node.box, timed);
  constexpr double squeeze = 1.04;  // a little smaller is still readable
  if (text_width(shape + cost, small_font) + 8 <= room * squeeze) {
    lines.push_back({shape, cost, small_font, small_font});
    return lines;
  }
  std::string line = shape;  // as many of shape, parameters and work in a line as there is room for
  for (const std::string& word :
       {cost.substr(0, cost.find(" · ")), cost.substr(std::min(cost.find(" · "), cost.size()))}) {
    const std::string text = word.starts_with(" · ") ? word.substr(std::string(" · ").size()) : word;
    if (text.empty()) continue;
    const std::string longer = line.empty() ? text : line + " · " + text;
    if (text_width(longer, small_font) <= room * squeeze) {
      line = longer;
      continue;
    }
    lines.push_back({line, "", small_font, {}});
    line = text;
  }
  lines.push_back({line, "", small_font, {}, true});
  return lines;
}

void draw_box_node(Svg& svg, const Node& node, const Rect& rect, const SourceLines& sources, bool timed) {
  const Box& box = *node.box;
  const double left = rect.x + padding, right = rect.right() - padding, room = rect.width - 2 * padding;
  svg.begin_link(sources.link(box.type), box.type, box.path, tip_of(box, timed));
  svg.box(rect, css_of(box.type));
  const std::vector<Line> lines = lines_of(node, rect.width, timed);
  double y = rect.center_y() - line_height * static_cast<double>(lines.size() - 1) / 2;
  for (const Line& line : lines) {
    const char* css = line.soft_left ? "soft" : "";
    if (!line.right.empty()) {
      const double right_width = text_width(line.right, line.right_font);
      svg.text({left, y}, line.left, line.left_font, css, Svg::Anchor::start,
               std::max(10.0, room - right_width - 6));
      svg.text({right, y}, line.right, line.right_font, "soft", Svg::Anchor::end, room);
    } else if (rect.width >= wide_box) {
      svg.text({left, y}, line.left, line.left_font, css, Svg::Anchor::start, room);
    } else {
      svg.text({rect.center_x(), y}, line.left, line.left_font, css, Svg::Anchor::middle, room);
    }
    y += line_height;
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
                                                          {"AttnBlock", "attention"},
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
  std::string text = short_count(static_cast<double>(box.parameters), 2);
  if (timed) return text + " · " + short_time(box.seconds, 2);
  if (box.flops > 0) text += " · " + short_flops(box.flops, 2);
  return text;
}

// A path in as few lines as it needs, broken behind a dot.
std::vector<std::string> path_lines(const std::string& path) {
  std::vector<std::string> lines{""};
  for (size_t at = 0; at < path.size();) {
    size_t dot = std::min(path.find('.', at), path.size() - 1);
    if (dot + 1 < path.size() && std::isdigit(static_cast<unsigned char>(path[dot + 1])))
      dot = std::min(path.find('.', dot + 1), path.size() - 1);  // a number stays with its name
    const std::string piece = path.substr(at, dot + 1 - at);
    if (text_width(lines.back() + piece, {12.5, false, true}) > figure_width - 2 * margin)
      lines.emplace_back();
    lines.back() += piece;
    at = dot + 1;
  }
  return lines;
}

std::string tip_of(const Box& box, bool timed) {
  std::string tip = (box.path.empty() ? box.name : box.path) + "\n" + box.type;
  if (box.output) tip += "\noutput " + to_string(*box.output);
  tip += "\n" + with_commas(box.parameters) + " parameters";
  if (box.flops > 0) tip += "\n" + short_flops(box.flops);
  if (timed) tip += "\n" + short_time(box.seconds);
  return tip;
}

double draw_heading(Svg& svg, const Architecture& architecture, const Box& box, const SourceLines& sources,
                    bool timed, const std::string& title, const std::string& note) {
  const double middle = figure_width / 2;
  const std::string level = level_name(box.path);
  const bool whole_level = !level.empty() && std::count(box.path.begin(), box.path.end(), '.') < 3 &&
                           (box.type == "DownBlock" || box.type == "UpBlock" || box.type == "MidBlock");
  svg.begin_link(sources.link(box.type), box.type, box.path, tip_of(box, timed));
  svg.text({middle, 24}, !title.empty() ? title : (whole_level ? level + ": " : "") + box.type,
           {18, true, false}, "");
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
  if (!note.empty())
    svg.text({middle, y += 17}, note, {12.5, false, false}, "", Svg::Anchor::middle,
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

double node_height(const Node& node, double width, bool timed) {
  if (node.kind == Node::Kind::operation) return node.reshapes ? 40 : 26;
  if (node.kind == Node::Kind::skip) return 26;
  if (node.kind != Node::Kind::box) return 40;
  return 14 + line_height * static_cast<double>(lines_of(node, width, timed).size());
}

void draw_flow_node(Svg& svg, const Node& node, const Rect& rect, const SourceLines& sources, bool timed) {
  if (node.kind == Node::Kind::box) {
    draw_box_node(svg, node, rect, sources, timed);
    return;
  }
  if (node.kind == Node::Kind::operation) {
    svg.begin_link(sources.link(node.label), node.label, "", "tensor/ops.h: " + node.label);
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
