// Svg: writes one drawing as text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cutaway::describe {

struct Point {
  double x = 0, y = 0;
};

struct Rect {
  double x = 0, y = 0, width = 0, height = 0;
  double right() const { return x + width; }
  double bottom() const { return y + height; }
  double center_x() const { return x + width / 2; }
  double center_y() const { return y + height / 2; }
};

/// How a text is set. Sizes are in the drawing's own units: 420 of them are the width of a phone.
struct Font {
  double size = 12.5;
  bool bold = false;
  bool mono = false;
};

/// About how wide a text becomes. A little too wide for most fonts, so that what fits by this, fits.
double text_width(std::string_view text, const Font& font);

/// Classes of boxes and lines name what they stand for ("resblock", "attention", "line-time"); colours are
/// theirs, and there is a set for light and one for dark surroundings.
class Svg {
 public:
  Svg(double width, std::string title, std::string description);

  /// Until end_link() all that is drawn leads to `href` (nothing is drawn around it when that is empty).
  /// `name` is what the place declares, `path` the layer, `tip` what is shown when one
  /// points at it.
  void begin_link(const std::string& href, const std::string& name, const std::string& path,
                  const std::string& tip);
  void end_link();

  void box(const Rect& rect, const std::string& css, double radius = 7);
  enum class Anchor { start, middle, end };
  /// `y` is the text's middle. When it is wider than `room`, it is set smaller, then cut.
  void text(Point at, const std::string& words, const Font& font, const std::string& css,
            Anchor anchor = Anchor::middle, double room = 1e9);
  /// A line with round corners through `points` and, when `head`, an arrow head at its end.
  void line(const std::vector<Point>& points, const std::string& css, bool head = true);
  /// A smooth curve that leaves and arrives horizontally.
  void curve(Point from, Point to, const std::string& css, bool head = true);
  /// Wipes what is drawn along a straight line, for a line that crosses over.
  void halo(Point from, Point to);
  void dot(Point at, const std::string& css);

  std::string finish(double height) const;

 private:
  void arrow_head(Point from, Point to, const std::string& css);

  double width_;
  std::string title_, description_, body_;
  bool linked_ = false;
};

}  // namespace cutaway::describe
