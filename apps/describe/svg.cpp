#include "apps/describe/svg.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace cutaway::describe {
namespace {

// One decimal is enough, and the same everywhere.
std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f", std::round(value * 10) / 10 + 0.0);
  std::string result = text;
  if (result.ends_with(".0")) result.resize(result.size() - 2);
  return result == "-0" ? "0" : result;
}

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '&') {
      result += "&amp;";
    } else if (c == '<') {
      result += "&lt;";
    } else if (c == '>') {
      result += "&gt;";
    } else if (c == '"') {
      result += "&quot;";
    } else {
      result += c;
    }
  }
  return result;
}

std::string attribute(const char* name, double value) {
  return std::string(" ") + name + "=\"" + number(value) + "\"";
}

// A fill, a border and a strong colour for each meaning.
struct Colour {
  const char *css, *fill, *border, *dark_fill, *dark_border;
};
constexpr Colour colours[] = {
    {"resblock", "#dbe8fb", "#3f74c0", "#1d3557", "#7fb0f5"},
    {"transformer", "#e9dffa", "#7a52c7", "#35285a", "#b79cf2"},
    {"attention", "#fbdfec", "#c03f7d", "#54203c", "#f08bbb"},
    {"conv", "#d5efec", "#22877e", "#12403d", "#5fcabf"},
    {"linear", "#e2e6fb", "#5563c4", "#262e5c", "#98a5f5"},
    {"norm", "#e9edf2", "#6b7a90", "#2c3544", "#a3b1c6"},
    {"time", "#fdebc6", "#b57408", "#4b3410", "#f0b84d"},
    {"prompt", "#dcf2df", "#2f8a4c", "#173d24", "#6fce8b"},
    {"skip", "#fde3d8", "#cf5c2e", "#4f2616", "#f39a72"},
    {"image", "#eef1f5", "#475569", "#252e3b", "#b4c0d0"},
    {"operation", "#ffffff", "#8492a6", "#1a212b", "#7f8ea3"},
    {"level", "#f6f7f9", "#d3d9e2", "#161c25", "#38434f"},
    {"vae", "#fbe6d2", "#b8672a", "#4a2c13", "#eda76b"},
};

std::string style_sheet() {
  std::string light, dark;
  for (const Colour& colour : colours) {
    const std::string css = colour.css;
    const auto rules = [&css](const std::string& fill, const std::string& border) {
      return "." + css + "{fill:" + fill + ";stroke:" + border + "}.line-" + css + "{stroke:" + border +
             "}.head-" + css + "{fill:" + border + "}.text-" + css + "{fill:" + border + "}\n";
    };
    light += rules(colour.fill, colour.border);
    dark += rules(colour.dark_fill, colour.dark_border);
  }
  return "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;fill:#1b2430;"
         "dominant-baseline:central}\n"
         ".mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}.bold{font-weight:600}\n"
         ".paper{fill:#fcfcfa;stroke:none}.soft{fill:#526072}.halo{stroke:#fcfcfa;stroke-width:6;fill:none}\n"
         ".label{paint-order:stroke;stroke:#fcfcfa;stroke-width:6px;stroke-linejoin:round}\n"
         "rect{stroke-width:1.2}.line{fill:none;stroke-width:1.7}a:hover rect{stroke-width:2.4}\n" +
         light +
         "@media (prefers-color-scheme:dark){text{fill:#e8edf4}.paper{fill:#10151c}.soft{fill:#a5b2c4}" +
         ".halo,.label{stroke:#10151c}\n" + dark + "}\n";
}

double letter_width(unsigned char letter) {
  const std::string_view narrow = "iljI.,;:'|![]() ft", wide = "mwMW";
  if (narrow.find(static_cast<char>(letter)) != std::string_view::npos) return 0.37;
  if (wide.find(static_cast<char>(letter)) != std::string_view::npos) return 0.92;
  if (letter >= 'A' && letter <= 'Z') return 0.69;
  return letter >= '0' && letter <= '9' ? 0.63 : 0.6;
}

}  // namespace

double text_width(std::string_view text, const Font& font) {
  double width = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte & 0xC0) == 0x80) continue;  // the rest of a character of several bytes
    width += font.mono ? 0.605 : byte >= 0x80 ? 0.8 : letter_width(byte) * (font.bold ? 1.08 : 1);
  }
  return width * font.size;
}

Svg::Svg(double width, std::string title, std::string description)
    : width_(width), title_(std::move(title)), description_(std::move(description)) {}

void Svg::begin_link(const std::string& href, const std::string& name, const std::string& path,
                     const std::string& tip) {
  const std::string what = " data-name=\"" + escaped(name) + "\" data-path=\"" + escaped(path) + "\"";
  linked_ = !href.empty();
  body_ += linked_ ? "<a href=\"" + escaped(href) + "\"" + what + ">" : "<g" + what + ">";
  body_ += "<title>" + escaped(tip) + "</title>\n";
}

void Svg::end_link() { body_ += linked_ ? "</a>\n" : "</g>\n"; }

void Svg::box(const Rect& rect, const std::string& css, double radius) {
  body_ += "<rect class=\"" + css + "\"" + attribute("x", rect.x) + attribute("y", rect.y) +
           attribute("width", rect.width) + attribute("height", rect.height) + attribute("rx", radius) +
           "/>\n";
}

void Svg::text(Point at, const std::string& words, const Font& font, const std::string& css, Anchor anchor,
               double room) {
  constexpr double smallest = 11.8;
  Font fitted = font;
  std::string shown = words;
  if (const double width = text_width(words, font); width > room)
    fitted.size = std::max(smallest, font.size * room / width);
  if (text_width(shown, fitted) > room + 0.5) {
    do {
      while ((shown.back() & 0xC0) == 0x80) shown.pop_back();
      shown.pop_back();
    } while (shown.size() > 1 && text_width(shown + "…", fitted) > room);
    shown += "…";
  }
  const char* anchors[] = {"start", "middle", "end"};
  std::string classes = css;
  if (font.mono) classes += " mono";
  if (font.bold) classes += " bold";
  body_ += "<text class=\"" + classes + "\"" + attribute("x", at.x) + attribute("y", at.y) +
           attribute("font-size", fitted.size) + " text-anchor=\"" + anchors[static_cast<int>(anchor)] +
           "\">" + escaped(shown) + "</text>\n";
}

void Svg::line(const std::vector<Point>& points, const std::string& css, bool head) {
  constexpr double bend = 6;
  std::string d = "M" + number(points[0].x) + " " + number(points[0].y);
  for (size_t i = 1; i < points.size(); ++i) {
    const Point &before = points[i - 1], &at = points[i];
    if (i + 1 == points.size()) {
      d += "L" + number(at.x) + " " + number(at.y);
      continue;
    }
    const Point& after = points[i + 1];
    const auto toward = [&](const Point& other) {
      const double length = std::hypot(other.x - at.x, other.y - at.y);
      const double part = length == 0 ? 0 : std::min(bend, length / 2) / length;
      return Point{at.x + (other.x - at.x) * part, at.y + (other.y - at.y) * part};
    };
    const Point in = toward(before), out = toward(after);
    d += "L" + number(in.x) + " " + number(in.y) + "Q" + number(at.x) + " " + number(at.y) + " " +
         number(out.x) + " " + number(out.y);
  }
  body_ += "<path class=\"line line-" + css + "\" d=\"" + d + "\"/>\n";
  if (head) arrow_head(points[points.size() - 2], points.back(), css);
}

void Svg::curve(Point from, Point to, const std::string& css, bool head) {
  const double reach = (to.x - from.x) / 2;
  body_ += "<path class=\"line line-" + css + "\" d=\"M" + number(from.x) + " " + number(from.y) + "C" +
           number(from.x + reach) + " " + number(from.y) + " " + number(to.x - reach) + " " + number(to.y) +
           " " + number(to.x) + " " + number(to.y) + "\"/>\n";
  if (head) arrow_head({to.x - reach, to.y}, to, css);
}

void Svg::halo(Point from, Point to) {
  body_ += "<path class=\"halo\" d=\"M" + number(from.x) + " " + number(from.y) + "L" + number(to.x) + " " +
           number(to.y) + "\"/>\n";
}

void Svg::dot(Point at, const std::string& css) {
  body_ +=
      "<circle class=\"head-" + css + "\"" + attribute("cx", at.x) + attribute("cy", at.y) + " r=\"2.8\"/>\n";
}

void Svg::arrow_head(Point from, Point to, const std::string& css) {
  constexpr double length = 7, half = 3.6;
  const double distance = std::hypot(to.x - from.x, to.y - from.y);
  if (distance == 0) return;
  const double dx = (to.x - from.x) / distance, dy = (to.y - from.y) / distance;
  const Point back{to.x - length * dx, to.y - length * dy};
  body_ += "<path class=\"head-" + css + "\" d=\"M" + number(to.x) + " " + number(to.y) + "L" +
           number(back.x - half * dy) + " " + number(back.y + half * dx) + "L" + number(back.x + half * dy) +
           " " + number(back.y - half * dx) + "Z\"/>\n";
}

std::string Svg::finish(double height) const {
  // Opened by itself on a wide screen it stays of a size to read, on a phone it is as wide as the screen.
  constexpr double widest = 1.3;
  return "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + number(width_) + " " + number(height) +
         "\" role=\"img\" style=\"display:block;margin:auto;max-width:" + number(widest * width_) +
         "px\">\n<title>" + escaped(title_) + "</title>\n<desc>" + escaped(description_) +
         "</desc>\n<style>\n" + style_sheet() + "</style>\n<rect class=\"paper\"" +
         attribute("width", width_) + attribute("height", height) + " rx=\"10\"/>\n" + body_ + "</svg>\n";
}

}  // namespace cutaway::describe
