#include "apps/describe/text.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "apps/describe/flow.h"
#include "apps/describe/format.h"
#include "apps/describe/skips.h"

namespace cutaway::describe {
namespace {

using Row = std::vector<std::string>;

// How many columns of a terminal a UTF-8 text takes; all that we print is one column a code point.
size_t columns(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

// Columns as wide as their widest entry. The first `left` of them lean left, numbers lean right.
std::string aligned(const std::vector<Row>& rows, size_t left) {
  std::vector<size_t> widths(rows.front().size());
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns(row[i]));
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string space(widths[i] - columns(row[i]), ' ');
      line += (i == 0 ? "" : "  ") + (i < left ? row[i] + space : space + row[i]);
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

std::string shape_of(const Box& box) { return box.output ? to_string(*box.output) : "-"; }

Row numbers(const Box& box, bool timed) {
  Row row{shape_of(box), with_commas(box.parameters), box.flops > 0 ? short_flops(box.flops) : "-"};
  if (timed) row.push_back(short_time(box.seconds));
  return row;
}

Row headings(Row first, bool timed) {
  first.insert(first.end(), {"output", "parameters", "FLOPs"});
  if (timed) first.push_back("time");
  return first;
}

void add_tree_rows(const Box& box, const std::string& stem, const std::string& below, int depth, bool timed,
                   std::vector<Row>& rows) {
  Row row{stem + box.name, box.type};
  const Row values = numbers(box, timed);
  row.insert(row.end(), values.begin(), values.end());
  rows.push_back(row);
  if (depth == 0) return;
  for (size_t i = 0; i < box.children.size(); ++i) {
    const bool last = i + 1 == box.children.size();
    add_tree_rows(box.children[i], below + (last ? "└─ " : "├─ "), below + (last ? "   " : "│  "), depth - 1,
                  timed, rows);
  }
}

void add_table_rows(const Box& box, int depth, bool timed, std::vector<Row>& rows) {
  Row row{box.path.empty() ? box.name : box.path, box.type};
  const Row values = numbers(box, timed);
  row.insert(row.end(), values.begin(), values.end());
  rows.push_back(row);
  if (depth == 0) return;
  for (const Box& child : box.children) add_table_rows(child, depth - 1, timed, rows);
}

nlohmann::ordered_json extents(const Shape& shape) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (int axis = 0; axis < shape.rank(); ++axis) list.push_back(shape[axis]);
  return list;
}

nlohmann::ordered_json json_of(const Box& box, int depth, bool timed) {
  nlohmann::ordered_json json;
  json["name"] = box.name;
  json["path"] = box.path;
  json["type"] = box.type;
  json["parameters"] = box.parameters;
  json["flops"] = static_cast<int64_t>(box.flops);
  json["output"] = box.output ? extents(*box.output) : nlohmann::ordered_json();
  if (timed) json["seconds"] = box.seconds;
  json["children"] = nlohmann::ordered_json::array();
  if (depth == 0) return json;
  for (const Box& child : box.children) json["children"].push_back(json_of(child, depth - 1, timed));
  return json;
}

}  // namespace

std::string as_tree(const Box& box, int depth, bool timed) {
  std::vector<Row> rows{headings({"box", "struct"}, timed)};
  add_tree_rows(box, "", "", depth, timed, rows);
  return aligned(rows, 3);
}

std::string as_table(const Box& box, int depth, bool timed) {
  std::vector<Row> rows{headings({"path", "struct"}, timed)};
  add_table_rows(box, depth, timed, rows);
  return aligned(rows, 3);
}

std::string as_json(const Architecture& architecture, const Box& box, int depth, bool timed) {
  nlohmann::ordered_json json = json_of(box, depth, timed);
  json["pixels"] = architecture.pixels;
  json["skips"] = nlohmann::ordered_json::array();
  for (const Skip& skip : skips_of(architecture)) {
    const auto belongs = [&](const std::string& path) {
      return path == box.path || is_inside(path, box.path);
    };
    if (!belongs(skip.from) && !belongs(skip.to)) continue;
    json["skips"].push_back(
        {{"path", skip.path}, {"from", skip.from}, {"to", skip.to}, {"output", extents(skip.shape)}});
  }
  return json.dump(2) + "\n";
}

// ---- Graphviz

namespace {

std::string in_dot(const std::string& text) { return "\"" + text + "\""; }

std::string dot_label(const Box& box, bool timed) {
  std::string label = box.name + "\\n" + box.type;
  if (box.output) label += "\\n" + short_shape(*box.output);
  if (timed) label += "\\n" + short_time(box.seconds);
  return label;
}

// A box is a node, or a frame around the boxes inside it.
void add_dot_box(const Box& box, int depth, bool timed, const std::string& indent, std::string& text) {
  if (depth == 0 || box.children.empty()) {
    text += indent + in_dot(box.path) + " [label=" + in_dot(dot_label(box, timed)) + "];\n";
    return;
  }
  text += indent + "subgraph " + in_dot("cluster " + box.path) + " {\n";
  text += indent + "  label=" + in_dot(box.name + "  " + box.type) + ";\n";
  for (const Box& child : box.children) add_dot_box(child, depth - 1, timed, indent + "  ", text);
  text += indent + "}\n";
}

// The nodes of the graph that a value comes from.
using Origins = std::vector<std::string>;

void add_to(Origins& origins, const Origins& more) {
  for (const std::string& path : more) {
    if (std::find(origins.begin(), origins.end(), path) == origins.end()) origins.push_back(path);
  }
}

class DotArrows {
 public:
  DotArrows(const Architecture& architecture, std::string& text) : architecture_(architecture), text_(text) {}

  // Draws the arrows into and inside a box; the origins of its result. Operations pass on what comes to them.
  Origins into(const Box& box, int depth, const std::vector<Origins>& inputs) {
    const std::vector<Node> nodes = depth == 0 ? std::vector<Node>() : flow_of(architecture_, box);
    if (box.children.empty() || nodes.empty()) {
      Origins all;
      for (const Origins& input : inputs) add_to(all, input);
      for (const std::string& from : all) arrow(from, box.path);
      return {box.path};
    }
    std::vector<Origins> origins;
    size_t inputs_seen = 0;
    for (const Node& node : nodes) {
      std::vector<Origins> taken;
      for (const int from : node.from) taken.push_back(origins[static_cast<size_t>(from)]);
      Origins own;
      if (node.kind == Node::Kind::box) own = into(*node.box, depth - 1, taken);
      if (node.kind == Node::Kind::input && inputs_seen < inputs.size()) own = inputs[inputs_seen++];
      if (node.kind == Node::Kind::operation || node.kind == Node::Kind::output)
        for (const Origins& input : taken) add_to(own, input);
      origins.push_back(own);
    }
    return origins.back();
  }

  void arrow(const std::string& from, const std::string& to, const std::string& how = "") {
    text_ += "  " + in_dot(from) + " -> " + in_dot(to) + how + ";\n";
  }

 private:
  const Architecture& architecture_;
  std::string& text_;
};

// The node that stands for the box at `path`: itself, or the deepest one around it that is shown.
std::string shown(const Box& box, const std::string& path, int depth) {
  if (depth == 0) return box.path;
  for (const Box& child : box.children) {
    if (child.path == path || is_inside(path, child.path)) return shown(child, path, depth - 1);
  }
  return box.path;
}

}  // namespace

std::string as_dot(const Architecture& architecture, const Box& box, int depth, bool timed) {
  std::string text = "digraph " + in_dot(box.name) + " {\n  node [shape=box, style=rounded];\n";
  add_dot_box(box, depth, timed, "  ", text);
  DotArrows arrows(architecture, text);
  if (box.path.empty()) {  // the parts run one after another, and nothing of ours runs around them
    for (const Box& part : box.children) arrows.into(part, depth - 1, {});
  } else {
    arrows.into(box, depth, {});
  }
  for (const Skip& skip : skips_of(architecture)) {
    if (!is_inside(skip.from, box.path) || !is_inside(skip.to, box.path)) continue;
    const std::string from = shown(box, skip.from, depth), to = shown(box, skip.to, depth);
    if (from != to)
      arrows.arrow(from, to,
                   " [style=dashed, constraint=false, label=" +
                       in_dot(skip.path.substr(skip.path.find('.') + 1)) + "]");
  }
  return text + "}\n";
}

}  // namespace cutaway::describe
