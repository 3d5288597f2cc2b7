// The UNet as a U: the way down on the left, the way up on the right, skip connections between them, and the
// prompt and the time step around the outside.
#include <algorithm>
#include <map>

#include "apps/describe/figure_parts.h"
#include "apps/describe/figures.h"
#include "apps/describe/flow.h"
#include "apps/describe/format.h"
#include "apps/describe/skips.h"

namespace cutaway::describe {
namespace {

constexpr double column_width = 118, left_x = 48, right_x = figure_width - left_x - column_width;
constexpr double prompt_rail = 16, time_rail = 31;  // from either edge
constexpr double head_height = 46, frame_gap = 26, frame_pad = 5;

class UnetFigure {
 public:
  UnetFigure(const Architecture& architecture, const Box& unet, const SourceLines& sources, bool open,
             bool timed)
      : architecture_(architecture),
        unet_(unet),
        sources_(sources),
        open_(open),
        timed_(timed),
        svg_(figure_width, "The UNet", "The UNet as a U, drawn from the module tree and a recorded run.") {
    for (const Box& child : unet.children) {
      if (child.type == "DownBlock") down_.push_back(&child);
      if (child.type == "UpBlock") up_.insert(up_.begin(), &child);  // u4 first: beside d1
    }
  }

  std::string draw() {
    const double top = draw_heading(svg_, architecture_, unet_, sources_, timed_);
    place(top);
    draw_ends(top);
    draw_image_arrows();
    draw_skips();
    for (const Box* level : down_) draw_level(*level);
    for (const Box* level : up_) draw_level(*level);
    draw_middle();
    draw_inputs();
    return svg_.finish(draw_legend());
  }

 private:
  const Box* part(const std::string& name) const { return find_box(unet_, unet_.path + "." + name); }

  // ---- Places

  void place(double top) {
    double y = top + 50;
    ends_y_ = y;
    for (const char* name : {"conv_norm_out", "conv_out"}) out_.push_back(part(name));
    // On the right there are three from below to above: conv_norm_out, silu, conv_out.
    put(out_[1], {right_x, ends_y_, column_width, 36});
    silu_ = {right_x + 24, ends_y_ + 44, column_width - 48, part_height_};
    put(out_[0], {right_x, ends_y_ + 44 + part_height_ + 8, column_width, part_height_});
    put(part("conv_in"), {left_x, rects_[out_[0]].bottom() - 36, column_width, 36});
    y = rects_[out_[0]].bottom() + frame_gap;
    for (size_t i = 0; i < std::max(down_.size(), up_.size()); ++i) {
      const Box* down = i < down_.size() ? down_[i] : nullptr;
      const Box* up = i < up_.size() ? up_[i] : nullptr;
      const double height = std::max(down ? level_height(*down) : 0, up ? level_height(*up) : 0);
      if (down != nullptr) put_level(*down, left_x, y, height, true);
      if (up != nullptr) put_level(*up, right_x, y, height, false);
      y += height + frame_gap;
    }
    put_middle(y);
  }

  double level_height(const Box& level) const {
    // A closed level is as high as its arrows need.
    if (!open_) return std::max(head_height, 16 * static_cast<double>(level.children.size()));
    return head_height + static_cast<double>(level.children.size()) * (part_height_ + part_gap_) + frame_pad;
  }

  void put(const Box* box, const Rect& rect) {
    if (box != nullptr) rects_[box] = rect;
  }

  // The parts of a level spread over its height: from above to below on the way down, else from below.
  void put_level(const Box& level, double x, double y, double height, bool downward) {
    put(&level, {x - frame_pad, y, column_width + 2 * frame_pad, height});
    const auto count = static_cast<double>(level.children.size());
    if (!open_) {  // only where arrows begin and end
      for (size_t i = 0; i < level.children.size(); ++i) {
        const double place = downward ? static_cast<double>(i) : count - 1 - static_cast<double>(i);
        put(&level.children[i],
            {x - frame_pad, y + height * place / count, column_width + 2 * frame_pad, height / count});
      }
      return;
    }
    const double step = (height - head_height - frame_pad) / std::max(count, 1.0);
    for (size_t i = 0; i < level.children.size(); ++i) {
      const double place = downward ? static_cast<double>(i) : count - 1 - static_cast<double>(i);
      put(&level.children[i], {x, y + head_height + place * step + (step - part_gap_ - part_height_) / 2,
                               column_width, part_height_});
    }
  }

  void put_middle(double y) {
    const Box* middle = part("mid_block");
    if (middle == nullptr) return;
    put(middle, {left_x - frame_pad, y, figure_width - 2 * (left_x - frame_pad),
                 head_height - 20 + part_height_ + 10});
    const auto count = static_cast<double>(middle->children.size());
    const double room = figure_width - 2 * left_x, width = (room - (count - 1) * 14) / count;
    for (size_t i = 0; i < middle->children.size(); ++i)
      put(&middle->children[i],
          {left_x + static_cast<double>(i) * (width + 14), y + head_height - 20, width, part_height_});
    bottom_ = rects_[middle].bottom();
  }

  // ---- Boxes

  static std::string short_name(const Box& box) {
    return box.type == "SpatialTransformer" ? "Transformer" : box.type;
  }

  void draw_part(const Box& box) {
    const Rect& rect = rects_[&box];
    svg_.begin_link(sources_.link(box.type), box.type, box.path, tip_of(box, timed_));
    svg_.box(rect, css_of(box.type), 6);
    svg_.text({rect.center_x(), rect.center_y()}, short_name(box), {12.5, true, false}, "",
              Svg::Anchor::middle, rect.width - 8);
    svg_.end_link();
  }

  // "640×32×32" of the level's first part: what most of it works at.
  static std::string level_size(const Box& level) {
    return level.children.empty() || !level.children.front().output
               ? ""
               : short_shape(*level.children.front().output);
  }

  void draw_level(const Box& level) {
    const Rect& rect = rects_[&level];
    svg_.begin_link(sources_.link(level.type), level.type, level.path, tip_of(level, timed_));
    svg_.box(rect, "level", 9);
    svg_.text({rect.x + 7, rect.y + 13}, level_name(level.path), {15, true, false}, "", Svg::Anchor::start);
    svg_.text({rect.right() - 7, rect.y + 13}, level_size(level), {12.2, false, false}, "", Svg::Anchor::end);
    svg_.text({rect.x + 7, rect.y + 31}, short_count(static_cast<double>(level.parameters), 2),
              {12.2, false, false}, "soft", Svg::Anchor::start);
    svg_.text({rect.right() - 7, rect.y + 31},
              timed_ ? short_time(level.seconds, 2) : short_flops(level.flops, 2), {12.2, false, false},
              "soft", Svg::Anchor::end, 75);
    svg_.end_link();
    if (!open_) return;
    const bool downward = level.type == "DownBlock";
    for (size_t i = 0; i < level.children.size(); ++i) {
      draw_part(level.children[i]);
      if (i == 0) continue;  // the arrow into the level ends at its frame
      const Rect &before = rects_[&level.children[i - 1]], &now = rects_[&level.children[i]];
      if (downward)
        svg_.line({{before.center_x(), before.bottom()}, {now.center_x(), now.y}}, "image", false);
      if (!downward)
        svg_.line({{before.center_x(), before.y}, {now.center_x(), now.bottom()}}, "image", false);
    }
  }

  void draw_middle() {
    const Box* middle = part("mid_block");
    if (middle == nullptr) return;
    const Rect& rect = rects_[middle];
    svg_.begin_link(sources_.link(middle->type), middle->type, middle->path, tip_of(*middle, timed_));
    svg_.box(rect, "level", 9);
    svg_.text({rect.x + 8, rect.y + 13}, "m", {15, true, false}, "", Svg::Anchor::start);
    svg_.text({rect.center_x() - 70, rect.y + 13}, level_size(*middle), {12.2, false, false}, "");
    svg_.text({rect.right() - 7, rect.y + 13},
              short_count(static_cast<double>(middle->parameters)) + " · " +
                  (timed_ ? short_time(middle->seconds) : short_flops(middle->flops)),
              {12.2, false, false}, "soft", Svg::Anchor::end);
    svg_.end_link();
    for (size_t i = 0; i < middle->children.size(); ++i) {
      draw_part(middle->children[i]);
      if (i == 0) continue;
      const Rect &before = rects_[&middle->children[i - 1]], &now = rects_[&middle->children[i]];
      svg_.line({{before.right(), before.center_y()}, {now.x, now.center_y()}}, "image");
    }
  }

  // ---- The image: in, down, over, up, out

  void draw_ends(double top) {
    const Box& in = *part("conv_in");
    const Event* entered = nullptr;
    for (const Event& event : architecture_.events) {
      if (event.kind == Event::Kind::enter && event.path == unet_.path) entered = &event;
    }
    const auto chip = [&](double x, double y, const std::string& words, const Shape& shape) {
      const Rect rect{x, y, column_width, 34};
      svg_.box(rect, "image", 14);
      svg_.text({rect.center_x(), rect.y + 11}, words, {12.5, true, false}, "");
      svg_.text({rect.center_x(), rect.y + 24.5}, short_shape(shape), {12.2, false, false}, "soft");
    };
    const double in_y = rects_[&in].y;
    chip(left_x, in_y - 50, "noisy latent", *entered->inputs[0].shape);
    chip(right_x, top, "noise in it", *unet_.output);
    svg_.line({{left_x + column_width / 2, in_y - 16}, {left_x + column_width / 2, in_y}}, "image");
    svg_.line({{right_x + column_width / 2, ends_y_}, {right_x + column_width / 2, top + 34}}, "image");
    for (const Box* box : {&in, out_[1]}) {
      const Rect& rect = rects_[box];
      svg_.begin_link(sources_.link(box->type), box->type, box->path, tip_of(*box, timed_));
      svg_.box(rect, css_of(box->type), 6);
      svg_.text({rect.center_x(), rect.y + 11.5}, box->name, {12.2, false, true}, "");
      svg_.text({rect.center_x(), rect.y + 26}, short_shape(*box->output), {12.2, false, false}, "soft");
      svg_.end_link();
    }
    const Rect norm = rects_[out_[0]], last = rects_[out_[1]];
    svg_.begin_link(sources_.link(out_[0]->type), out_[0]->type, out_[0]->path, tip_of(*out_[0], timed_));
    svg_.box(norm, css_of(out_[0]->type), 6);
    svg_.text({norm.center_x(), norm.center_y()}, out_[0]->name, {12.2, false, true}, "", Svg::Anchor::middle,
              norm.width - 8);
    svg_.end_link();
    svg_.begin_link(sources_.link("silu"), "silu", "", "tensor/ops.h: silu");
    svg_.box(silu_, "operation", part_height_ / 2);
    svg_.text({silu_.center_x(), silu_.center_y()}, "silu", {12.2, false, true}, "");
    svg_.end_link();
    svg_.line({{norm.center_x(), norm.y}, {norm.center_x(), silu_.bottom()}}, "image", false);
    svg_.line({{norm.center_x(), silu_.y}, {norm.center_x(), last.bottom()}}, "image", false);
  }

  void draw_image_arrows() {
    const double left = left_x + column_width / 2, right = right_x + column_width / 2;
    double y = rects_[part("conv_in")].bottom();
    for (const Box* level : down_) {
      const Rect& rect = rects_[level];
      svg_.line({{left, y}, {left, rect.y}}, "image");
      y = rect.bottom();
    }
    svg_.line({{left, y}, {left, rects_[part("mid_block")].y}}, "image");
    double below = rects_[part("mid_block")].y;
    for (size_t i = up_.size(); i-- > 0;) {
      const Rect& rect = rects_[up_[i]];
      svg_.line({{right, below}, {right, rect.bottom()}}, "image");
      below = rect.y;
    }
    svg_.line({{right, below}, {right, rects_[out_[0]].bottom()}}, "image");
  }

  void draw_skips() {
    for (const Skip& skip : skips_of(architecture_)) {
      const Box *from = find_box(unet_, skip.from), *to = find_box(unet_, skip.to);
      if (from == nullptr || to == nullptr) continue;
      skip_lines_.push_back({rects_[from], rects_[to], skip.path.substr(skip.path.rfind('.') + 1)});
    }
  }

  void draw_skip_lines() {
    for (const SkipLine& line : skip_lines_) {
      const Point a{line.from.right(), line.from.center_y()}, b{line.to.x, line.to.center_y()};
      svg_.curve(a, b, "skip");
      svg_.text({(a.x + b.x) / 2, (a.y + b.y) / 2}, "skip " + line.name, {12.2, false, false},
                "text-skip label");
    }
  }

  // ---- Time and prompt

  // All boxes of a type that the rail on one side passes.
  void draw_stubs(const std::vector<const Box*>& levels, const std::string& type, double rail,
                  const std::string& css) {
    for (const Box* level : levels) {
      for (const Box& box : level->children) {
        if (box.type != type) continue;
        const Rect& rect = rects_[&box];
        const bool left = rail < figure_width / 2;
        svg_.line({{rail, rect.center_y()}, {left ? rect.x : rect.right(), rect.center_y()}}, css);
      }
    }
  }

  double highest(const std::string& type, const std::vector<const Box*>& levels) {
    double y = bottom_;
    for (const Box* level : levels) {
      for (const Box& box : level->children) {
        if (box.type == type) y = std::min(y, rects_[&box].center_y());
      }
    }
    return y;
  }

  void draw_rail(const std::string& type, double rail, double y, const std::string& css) {
    const double right = figure_width - rail;
    svg_.line({{rail, highest(type, down_)}, {rail, y}, {right, y}, {right, highest(type, up_)}}, css, false);
    draw_stubs(down_, type, rail, css);
    draw_stubs(up_, type, right, css);
    for (const Box& box : part("mid_block")->children) {
      if (box.type != type) continue;
      const Rect& rect = rects_[&box];
      svg_.line({{rect.center_x(), y}, {rect.center_x(), rect.bottom()}}, css);
    }
  }

  void draw_inputs() {
    const double time_y = bottom_ + 18, prompt_y = bottom_ + 34, y = bottom_ + 56;
    draw_rail("SpatialTransformer", prompt_rail, prompt_y, "prompt");
    draw_rail("ResBlock", time_rail, time_y, "time");
    draw_skip_lines();
    const Box& time = *part("time_embedding");
    const Rect chip{left_x + 6, y, 146, 52}, prompt{figure_width - left_x - 6 - 128, y, 128, 52};
    svg_.line({{chip.center_x(), y}, {chip.center_x(), time_y}}, "time");
    svg_.line({{prompt.center_x(), y}, {prompt.center_x(), prompt_y}}, "prompt");
    svg_.begin_link(sources_.link(time.type), time.type, time.path, tip_of(time, timed_));
    svg_.box(chip, "time", 8);
    svg_.text({chip.center_x(), y + 12}, "time step", {12.5, true, false}, "");
    svg_.text({chip.center_x(), y + 27}, time.name, {12.2, false, true}, "soft");
    svg_.text({chip.center_x(), y + 42}, short_shape(*time.output) + " · into ResBlocks",
              {12.2, false, false}, "soft", Svg::Anchor::middle, chip.width - 8);
    svg_.end_link();
    svg_.box(prompt, "prompt", 8);
    svg_.text({prompt.center_x(), y + 12}, "prompt", {12.5, true, false}, "");
    for (const Event& event : architecture_.events) {
      if (event.kind == Event::Kind::enter && event.path == unet_.path)
        svg_.text({prompt.center_x(), y + 27}, short_shape(*event.inputs[1].shape), {12.2, false, false},
                  "soft");
    }
    svg_.text({prompt.center_x(), y + 42}, "into Transformers", {12.2, false, false}, "soft",
              Svg::Anchor::middle, prompt.width - 8);
    inputs_bottom_ = y + 52;
  }

  double draw_legend() {
    const double y = inputs_bottom_ + 22;
    double x = margin + 6;
    for (const auto& [css, words] : {std::pair{"image", "image"}, std::pair{"skip", "skip connection"},
                                     std::pair{"time", "time step"}, std::pair{"prompt", "prompt"}}) {
      svg_.line({{x, y}, {x + 20, y}}, css);
      svg_.text({x + 26, y}, words, {12.2, false, false}, "soft", Svg::Anchor::start);
      x += 40 + text_width(words, {12.2, false, false});
    }
    return y + 20;
  }

  struct SkipLine {
    Rect from, to;
    std::string name;
  };

  const Architecture& architecture_;
  const Box& unet_;
  const SourceLines& sources_;
  bool open_;  // are the boxes inside the levels shown?
  bool timed_;
  double part_height_ = 23, part_gap_ = 6;
  Svg svg_;
  std::vector<const Box*> down_, up_, out_;
  std::map<const Box*, Rect> rects_;
  std::vector<SkipLine> skip_lines_;
  Rect silu_;
  double ends_y_ = 0, bottom_ = 0, inputs_bottom_ = 0;
};

}  // namespace

std::string draw_unet(const Architecture& architecture, const Box& unet, const SourceLines& sources,
                      bool open, bool timed) {
  return UnetFigure(architecture, unet, sources, open, timed).draw();
}

}  // namespace cutaway::describe
