#include "apps/describe/box.h"

#include <algorithm>
#include <numeric>

#include "tensor/error.h"
#include "tensor/files/text.h"

namespace cutaway::describe {
namespace {

// boxes[at] with all that is inside it; `at` moves behind them.
Box with_parts(std::vector<Box>& boxes, size_t& at) {
  Box box = std::move(boxes[at++]);
  while (at < boxes.size() && is_inside(boxes[at].path, box.path)) {
    boxes[at].name = boxes[at].path.substr(box.path.size() + 1);
    box.children.push_back(with_parts(boxes, at));
  }
  return box;
}

// How many letters must be put in, taken out or changed to make one text the other. (Levenshtein 1965)
size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, changed});
    }
  }
  return row.back();
}

void collect_paths(const Box& box, std::vector<std::string>& paths) {
  if (!box.path.empty()) paths.push_back(box.path);
  for (const Box& child : box.children) collect_paths(child, paths);
}

}  // namespace

Box nested(std::vector<Box> preorder) {
  size_t at = 0;
  Box root = with_parts(preorder, at);
  root.name = root.path;
  return root;
}

bool is_inside(const std::string& path, const std::string& outer) {
  if (outer.empty()) return !path.empty();
  return path.size() > outer.size() && path.starts_with(outer) && path[outer.size()] == '.';
}

const Box* find_box(const Box& root, const std::string& path) {
  if (root.path == path) return &root;
  for (const Box& child : root.children) {
    if (child.path == path || is_inside(path, child.path)) return find_box(child, path);
  }
  return nullptr;
}

const Box& box_at(const Box& root, const std::string& path) {
  if (const Box* box = find_box(root, path)) return *box;
  std::vector<std::string> paths;
  collect_paths(root, paths);
  const std::string wanted = path.substr(0, 200);  // longer than any path; keeps the search short
  const auto nearest =
      std::min_element(paths.begin(), paths.end(), [&](const std::string& a, const std::string& b) {
        return edit_distance(wanted, a) < edit_distance(wanted, b);
      });
  throw Error("there is no box " + in_quotes(path) + " in this model; the nearest path is '" + *nearest +
              "', and --as tree lists them all");
}

}  // namespace cutaway::describe
