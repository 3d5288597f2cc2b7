// The flow inside one box: a column of what happens to the image, side columns for what joins it.
#include <algorithm>
#include <map>

#include "apps/describe/figure_parts.h"
#include "apps/describe/figures.h"
#include "apps/describe/flow.h"
#include "apps/describe/format.h"

namespace cutaway::describe {
namespace {

// Where a node stands. Columns: -1 left of the main one, 0 main, 1 and on right of it.
struct Place {
  int row = -1, column = 0;
  Rect rect;
  bool placed() const { return row >= 0; }
};

class InsideFigure {
 public:
  InsideFigure(const Architecture& architecture, const Box& box, const SourceLines& sources, bool timed)
      : architecture_(architecture),
        box_(box),
        sources_(sources),
        timed_(timed),
        nodes_(flow_of(architecture, box)),
        places_(nodes_.size()),
        svg_(figure_width, box.path + ": " + box.type,
             "The flow inside " + box.path + ", drawn from the module tree and a recorded run.") {}

  std::string draw() {
    double y = draw_heading(svg_, architecture_, box_, sources_, timed_, title(), note());
    if (nodes_.empty()) {
      svg_.text({figure_width / 2, y + 10}, "one operation, no boxes inside", {}, "soft");
      return svg_.finish(y + 40);
    }
    if (std::any_of(nodes_.begin(), nodes_.end(), [](const Node& n) { return !n.to.empty(); })) gap_ = 36;
    choose_main();
    choose_sides();
    choose_rows();
    y = set_sizes(y);
    for (size_t i = 0; i < nodes_.size(); ++i) draw_arrows(i);
    for (const int input : shared_) draw_rail(input);  // the outermost last, over those it crosses
    for (size_t i = 0; i < nodes_.size(); ++i) draw_node(i);
    return svg_.finish(y + 16);
  }

 private:
  // One struct, two boxes of the picture: they differ in who is attended to.
  std::string title() const {
    if (box_.type != "CrossAttention") return "";
    const auto inputs = std::count_if(nodes_.begin(), nodes_.end(),
                                      [](const Node& n) { return n.kind == Node::Kind::input; });
    return inputs == 1 ? self_attention : cross_attention;
  }

  std::string note() const {
    if (title().empty()) return "";
    return title() == self_attention ? "a CrossAttention: the image attends to itself"
                                     : "a CrossAttention: the image attends to the prompt";
  }

  const Node& node(int i) const { return nodes_[static_cast<size_t>(i)]; }
  Place& place(int i) { return places_[static_cast<size_t>(i)]; }

  std::vector<int> takers(int i) const {
    std::vector<int> list;
    for (size_t k = 0; k < nodes_.size(); ++k) {
      const std::vector<int>& from = nodes_[k].from;
      if (std::find(from.begin(), from.end(), i) != from.end()) list.push_back(static_cast<int>(k));
    }
    return list;
  }

  // ---- Columns

  // The longest way from an input to the output, by the image where there is a choice, is the main column.
  void choose_main() {
    const size_t count = nodes_.size();
    std::vector<double> length(count, 0);
    std::vector<int> before(count, -1);
    for (size_t i = 0; i < count; ++i) {
      for (const int from : nodes_[i].from) {
        const double bonus = node(from).role == Role::image ? 100 : 0;
        const double through = length[static_cast<size_t>(from)] + 1 + bonus;
        if (through > length[i]) {
          length[i] = through;
          before[i] = from;
        }
      }
    }
    int row = 0;
    for (int i = static_cast<int>(count) - 1; i >= 0; i = before[static_cast<size_t>(i)]) main_.push_back(i);
    std::reverse(main_.begin(), main_.end());
    for (const int i : main_) place(i).row = row++;
  }

  bool is_fan(int i) const { return node(i).kind == Node::Kind::operation && node(i).from.size() >= 3; }

  // A chain of nodes that ends in a placed one goes beside it.
  void choose_sides() {
    for (size_t k = nodes_.size(); k-- > 0;) {
      const int taker = static_cast<int>(k);
      if (!place(taker).placed()) continue;
      for (const int from : node(taker).from) {
        if (place(from).placed()) continue;
        const std::vector<int> chain = chain_to(from);
        if (chain.empty()) continue;
        fan_ = fan_ || is_fan(taker);
        const int column = is_fan(taker) ? 1 + chains_into(taker) : side_of(chain.front());
        int row = first_row(chain, taker, column);
        for (const int i : chain) {
          place(i).row = row++;
          place(i).column = column;
        }
        k = nodes_.size();  // the chain may have side chains of its own
        break;
      }
    }
    std::vector<int> apart;  // what leads nowhere here, as the VAE's encoder, stands above
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (places_[i].placed()) continue;
      const bool input = nodes_[i].kind == Node::Kind::input && takers(static_cast<int>(i)).size() > 1;
      (input ? shared_ : apart).push_back(static_cast<int>(i));
    }
    for (Place& p : places_) p.row += p.placed() ? static_cast<int>(apart.size()) : 0;
    for (size_t i = 0; i < apart.size(); ++i) place(apart[i]).row = static_cast<int>(i);
  }

  // How many chains already stand right of the main column and end in this node.
  int chains_into(int taker) {
    const std::vector<int>& from = node(taker).from;
    return static_cast<int>(
        std::count_if(from.begin(), from.end(), [&](int i) { return place(i).column > 0; }));
  }

  // Chains end just above their taker; a short cut stands half way down.
  int first_row(const std::vector<int>& chain, int taker, int column) {
    const int length = static_cast<int>(chain.size());
    if (enters_sideways(chain)) return place(taker).row;
    if (column < 0 || is_fan(taker)) return place(taker).row - length;
    const std::vector<int>& from = node(chain.front()).from;
    const int above = from.empty() ? place(taker).row - length - 1 : place(from.front()).row;
    const int middle = above + std::max(1, (place(taker).row - above - length + 1) / 2);
    for (int away = 0; away < 3; ++away) {  // best beside another box, so that no row grows
      for (const int row : {middle + away, middle - away}) {
        for (const int i : main_) {
          if (place(i).row == row && row > above && row + length <= place(taker).row &&
              node(i).kind == Node::Kind::box)
            return row;
        }
      }
    }
    return middle;
  }

  // A single input or skip beside the box that takes it needs no row of its own.
  bool enters_sideways(const std::vector<int>& chain) const {
    return chain.size() == 1 && node(chain[0]).from.empty();
  }

  // Time and prompt come from the left, skips and short cuts from the right.
  int side_of(int first) const {
    return node(first).role == Role::time || node(first).role == Role::prompt ? -1 : 1;
  }

  // From `last` back to where it meets something placed or shared; empty when `last` itself is shared.
  std::vector<int> chain_to(int last) {
    std::vector<int> chain;
    for (int i = last; i >= 0 && !place(i).placed() && takers(i).size() == 1;) {
      chain.insert(chain.begin(), i);
      i = node(i).from.empty() ? -1 : node(i).from.front();
    }
    return chain;
  }

  // ---- Rows

  // Moves everything down until nothing stands above the first row and no arrow goes up.
  void choose_rows() {
    int lowest = 0;
    for (const Place& p : places_) {
      if (p.row > -1000) lowest = std::min(lowest, p.placed() || p.column != 0 ? p.row : 0);
    }
    for (const int i : shared_) place(i).row = 0;
    if (lowest < 0) {
      for (size_t i = 0; i < nodes_.size(); ++i) {
        if (std::find(shared_.begin(), shared_.end(), static_cast<int>(i)) == shared_.end())
          places_[i].row -= lowest;
      }
    }
  }

  // ---- Sizes

  double set_sizes(double top) {
    choose_columns();
    int rows = 0;
    for (const Place& p : places_) rows = std::max(rows, p.row + 1);
    double y = top;
    for (int row = 0; row < rows; ++row) {
      double height = 0;
      for (size_t i = 0; i < nodes_.size(); ++i) {
        if (places_[i].row == row) height = std::max(height, size_node(i));
      }
      for (size_t i = 0; i < nodes_.size(); ++i) {  // q, k and v are alike
        if (fan_ && places_[i].row == row && nodes_[i].kind == Node::Kind::box)
          places_[i].rect.height = height;
      }
      for (Place& p : places_) {
        if (p.row == row) p.rect.y = y + (height - p.rect.height) / 2;
      }
      y += height + gap_;
    }
    return y - gap_;
  }

  // As wide as what stands there, so that the main column gets the rest.
  double left_side_width() const {
    double width = 0;
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (places_[i].column < 0) width = std::max(width, node_width(nodes_[i], side_width_));
    }
    return width;
  }

  void choose_columns() {
    bool left = false, right = false, bypass = false;
    for (size_t i = 0; i < nodes_.size(); ++i) {
      left = left || places_[i].column < 0;
      right = right || places_[i].column > 0;
      for (const int from : nodes_[i].from) {
        bypass = bypass ||
                 (places_[i].column == 0 && place(from).column == 0 && places_[i].row - place(from).row > 1);
      }
    }
    constexpr double inner = figure_width - 2 * margin;
    if (fan_) {
      side_width_ = (inner - 2 * 11) / 3;
      main_width_ = side_width_;
      main_x_ = figure_width / 2;
      return;
    }
    if (!shared_.empty()) {  // rails for inputs that several boxes take
      main_width_ = right ? 186 : 214;
      main_x_ = figure_width - margin - main_width_ / 2 - (right ? 50 : 0);
      side_width_ = left_width_ = 104;
      return;
    }
    side_width_ = 113;
    left_width_ = left_side_width();
    left_gap_ = left_width_ < 100 ? 20 : 10;  // an input's arrow may be longer
    const double left_room = left ? left_width_ + left_gap_ : 0;
    const double right_room = right ? side_width_ + 10 : bypass ? 34 : 0;
    main_width_ = std::min(246.0, inner - left_room - right_room);
    const double begin = (figure_width - left_room - main_width_ - right_room) / 2;
    main_x_ = begin + left_room + main_width_ / 2;
    bypass_x_ = main_x_ + main_width_ / 2 + (right ? 10 + side_width_ / 2 : 18);
  }

  // Between the fork and the fan the main column's part is the first of three.
  bool in_fan_rows(int i) const {
    if (!fan_) return false;
    const auto fan = std::find_if(main_.begin(), main_.end(), [&](int k) { return is_fan(k); });
    if (fan == main_.end()) return false;
    const int fan_row = places_[static_cast<size_t>(*fan)].row;
    int first = fan_row;
    for (const Place& p : places_) {
      if (p.column > 0) first = std::min(first, p.row);
    }
    const Place& p = places_[static_cast<size_t>(i)];
    return p.row >= first && p.row < fan_row;
  }

  double column_x(int i) {
    const Place& p = place(i);
    if (fan_) {
      const double step = side_width_ + 11;
      if (p.column > 0) return figure_width / 2 + (p.column - 1) * step;
      const bool above_one = node(i).kind == Node::Kind::input && takers(i).size() == 1 && !shared_.empty();
      return in_fan_rows(i) || above_one ? figure_width / 2 - step : figure_width / 2;
    }
    if (p.column == 0) return main_x_;
    if (!shared_.empty() && p.column > 0) return figure_width - margin - p.rect.width / 2;
    if (p.column < 0) return main_x_ - main_width_ / 2 - left_gap_ - left_width_ / 2;
    return main_x_ + main_width_ / 2 + 10 + side_width_ / 2;
  }

  double size_node(size_t i) {
    Place& p = places_[i];
    const Node& n = nodes_[i];
    const bool main = p.column == 0 && !in_fan_rows(static_cast<int>(i));
    const double wide = fan_ && main ? 236 : main ? main_width_ : side_width_;
    Rect& rect = p.rect;
    rect.width = node_width(n, wide);
    rect.height = node_height(n, rect.width, timed_);
    if (is_fan(static_cast<int>(i))) {
      rect.width = figure_width - 2 * margin;
      rect.height = 66;
    }
    double x = column_x(static_cast<int>(i));
    const auto at = std::find(shared_.begin(), shared_.end(), static_cast<int>(i));
    if (at != shared_.end()) x = shared_x(static_cast<size_t>(at - shared_.begin()));
    rect.x = x - rect.width / 2;
    return rect.height;
  }

  // Shared inputs stand left of the main one, or above the columns that take them.
  double shared_x(size_t index) {
    if (fan_) {
      double sum = 0;
      const std::vector<int> list = takers(shared_[index]);
      for (const int taker : list) sum += column_x(taker);
      return sum / static_cast<double>(list.size());
    }
    double x = margin;  // the last is the outermost
    for (size_t i = shared_.size(); i-- > index + 1;) x += node_width(node(shared_[i]), side_width_) + 8;
    return x + node_width(node(shared_[index]), side_width_) / 2;
  }

  // ---- Drawing

  void draw_node(size_t i) { draw_flow_node(svg_, nodes_[i], places_[i].rect, sources_, timed_); }

  void draw_arrows(size_t i) {
    for (const int from : nodes_[i].from) {
      if (fan_ || !is_shared(from)) draw_arrow(from, static_cast<int>(i));
    }
    const Node& n = nodes_[i];
    if (n.to.empty()) return;
    const Rect& rect = places_[i].rect;
    const double y = rect.bottom() + gap_ * 0.42, x = rect.center_x();
    svg_.line({{x, y}, {figure_width - margin + 2, y}}, "skip");
    svg_.dot({x, y}, "skip");
    svg_.text({x + 14, y + 9.5}, n.skip.substr(n.skip.find('.') + 1) + " → " + level_name(n.to),
              {12, false, false}, "text-skip", Svg::Anchor::start, figure_width - margin - x - 12);
  }

  bool is_shared(int i) const { return std::find(shared_.begin(), shared_.end(), i) != shared_.end(); }

  void draw_arrow(int from, int to) {
    const Rect &a = place(from).rect, &b = place(to).rect;
    const std::string css = css_of(node(from).role);
    const bool same_row = place(from).row == place(to).row;
    if (same_row) {
      const bool from_left = a.center_x() < b.center_x();
      svg_.line({{from_left ? a.right() : a.x, a.center_y()}, {from_left ? b.x : b.right(), a.center_y()}},
                css);
      return;
    }
    if (place(from).column == 0 && place(to).column == 0 && place(to).row - place(from).row > 1 &&
        !(fan_ && in_fan_rows(to))) {
      draw_bypass(a, b, css);
      return;
    }
    const double leave = a.bottom() + gap_ * 0.42;
    if (is_fan(to)) {  // straight down
      svg_.line({{a.center_x(), a.bottom()}, {a.center_x(), b.y}}, css);
    } else if (std::abs(a.center_x() - b.center_x()) < 1) {
      svg_.line({{a.center_x(), a.bottom()}, {a.center_x(), b.y}}, css);
    } else if (node(to).kind == Node::Kind::operation && place(to).column == 0 && !fan_) {
      const bool from_left = a.center_x() < b.center_x();
      svg_.line({{a.center_x(), a.bottom()},
                 {a.center_x(), b.center_y()},
                 {from_left ? b.x : b.right(), b.center_y()}},
                css);
    } else {
      svg_.line({{a.center_x(), a.bottom()}, {a.center_x(), leave}}, css, false);
      svg_.line({{a.center_x(), leave}, {b.center_x(), leave}, {b.center_x(), b.y}}, css);
      if (takers(from).size() > 1) svg_.dot({a.center_x(), leave}, css);
    }
  }

  // Down beside everything, and into the side of each box that takes it.
  void draw_rail(int input) {
    if (fan_) return;
    const std::string css = css_of(node(input).role);
    const Rect& a = place(input).rect;
    for (const int taker : takers(input)) {
      const Rect& b = place(taker).rect;
      svg_.halo({a.center_x() + 12, b.center_y()}, {b.x - 12, b.center_y()});
      svg_.line({{a.center_x(), a.bottom()}, {a.center_x(), b.center_y()}, {b.x, b.center_y()}}, css);
    }
  }

  void draw_bypass(const Rect& a, const Rect& b, const std::string& css) {
    const double y = a.bottom() + gap_ * 0.42;
    const double x = fan_ ? figure_width - margin / 2 : bypass_x_;
    svg_.dot({a.center_x(), y}, css);
    svg_.line({{a.center_x(), y}, {x, y}, {x, b.center_y()}, {b.right(), b.center_y()}}, css);
  }

  const Architecture& architecture_;
  const Box& box_;
  const SourceLines& sources_;
  bool timed_;
  std::vector<Node> nodes_;
  std::vector<Place> places_;
  Svg svg_;
  std::vector<int> main_, shared_;
  bool fan_ = false;
  double gap_ = 28;  // between rows, room for an arrow and a word beside it
  double main_x_ = 0, main_width_ = 0, side_width_ = 0, left_width_ = 0, left_gap_ = 10, bypass_x_ = 0;
};

}  // namespace

std::string draw_inside(const Architecture& architecture, const Box& box, const SourceLines& sources,
                        bool timed) {
  return InsideFigure(architecture, box, sources, timed).draw();
}

}  // namespace cutaway::describe
