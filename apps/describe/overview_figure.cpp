// The whole of Stable Diffusion: text encoder, UNet and VAE, what goes between them, and their shares.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "apps/describe/figure_parts.h"
#include "apps/describe/figures.h"
#include "apps/describe/format.h"

namespace cutaway::describe {
namespace {

constexpr Font bold{14.5, true, false}, plain{12.5, false, false}, mono{12.2, false, true};
constexpr double left_middle = 88, main_x = 184, main_width = figure_width - 16 - main_x;

class OverviewFigure {
 public:
  OverviewFigure(const Architecture& architecture, const SourceLines& sources, bool timed)
      : architecture_(architecture),
        sources_(sources),
        timed_(timed),
        clip_(box_at(architecture.root, "text_encoder")),
        unet_(box_at(architecture.root, "unet")),
        vae_(box_at(architecture.root, "vae")),
        svg_(figure_width, "Stable Diffusion",
             "Text encoder, UNet and VAE with their shares of the parameters.") {}

  std::string draw() {
    const double middle = figure_width / 2;
    svg_.begin_link(sources_.link("StableDiffusion"), "StableDiffusion", "",
                    tip_of(architecture_.root, timed_));
    svg_.text({middle, 24}, "Stable Diffusion", {18, true, false}, "");
    svg_.end_link();
    svg_.text({middle, 46}, architecture_.model + ", one picture of " + size(), plain, "soft",
              Svg::Anchor::middle, figure_width - 2 * margin);
    svg_.text({middle, 63}, with_commas(architecture_.root.parameters) + " parameters", plain, "soft");
    draw_text_encoder(88);
    draw_unet_box(88);
    draw_sampler();
    draw_vae();
    return svg_.finish(draw_shares(decoder_.bottom() + 92));
  }

 private:
  std::string size() const {
    return std::to_string(architecture_.pixels) + "×" + std::to_string(architecture_.pixels);
  }

  void chip(const Rect& rect, const std::string& words, const std::string& below, const std::string& css) {
    svg_.box(rect, css, 14);
    svg_.text({rect.center_x(), rect.y + 13}, words, {12.5, true, false}, "", Svg::Anchor::middle,
              rect.width - 8);
    svg_.text({rect.center_x(), rect.y + 28}, below, {12.2, false, false}, "soft", Svg::Anchor::middle,
              rect.width - 8);
  }

  // A part: what it is called, its struct, parameters and work.
  void part(const Rect& rect, const Box& box, const std::string& title, const std::string& css) {
    svg_.begin_link(sources_.link(box.type), box.type, box.path, tip_of(box, timed_));
    svg_.box(rect, css, 10);
    const double x = rect.center_x(), room = rect.width - 12;
    svg_.text({x, rect.y + 17}, title, bold, "", Svg::Anchor::middle, room);
    svg_.text({x, rect.y + 36}, box.type, mono, "soft", Svg::Anchor::middle, room);
    svg_.text({x, rect.y + 54}, short_count(static_cast<double>(box.parameters)) + " parameters",
              {12.2, false, false}, "", Svg::Anchor::middle, room);
    svg_.text({x, rect.y + 71},
              (timed_ ? short_time(box.seconds) : short_flops(box.flops)) + (&box == &unet_ ? " a step" : ""),
              {12.2, false, false}, "soft", Svg::Anchor::middle, room);
    svg_.end_link();
  }

  std::string tokens() const { return std::to_string((*clip_.output)[1]); }
  std::string latent_shape() const { return short_shape(*unet_.output); }

  // ---- Prompt, text encoder, time step: all on the left, into the UNet's side

  void draw_text_encoder(double top) {
    chip({left_middle - 62, top, 124, 40}, "prompt", "\"a cat by a tree\"", "prompt");
    chip({left_middle - 62, top + 66, 124, 40}, "tokenizer", tokens() + " numbers", "prompt");
    text_encoder_ = {left_middle - 66, top + 132, 132, 86};
    part(text_encoder_, clip_, "text encoder", "prompt");
    svg_.line({{left_middle, top + 40}, {left_middle, top + 66}}, "prompt");
    svg_.line({{left_middle, top + 106}, {left_middle, text_encoder_.y}}, "prompt");
    const double y = text_encoder_.bottom() + 42;
    svg_.line({{left_middle, text_encoder_.bottom()}, {left_middle, y}, {main_x, y}}, "prompt");
    svg_.text({left_middle - 8, y - 20}, short_shape(*clip_.output), {12.2, false, false}, "text-prompt",
              Svg::Anchor::end);
    time_ = {left_middle - 62, y + 28, 124, 40};
    chip(time_, "time step", "how noisy it is", "time");
    svg_.line({{time_.right(), time_.center_y()}, {main_x, time_.center_y()}}, "time");
  }

  void draw_unet_box(double top) {
    const double x = main_x + main_width / 2;
    chip({x - 62, top, 124, 40}, "noise", latent_shape(), "image");
    unet_rect_ = {main_x, top + 66, main_width, time_.bottom() + 14 - top - 66};
    svg_.line({{x, top + 40}, {x, unet_rect_.y}}, "image");
    part(unet_rect_, unet_, "UNet", "transformer");
    draw_little_u({unet_rect_.x + 18, unet_rect_.y + 88, unet_rect_.width - 36, unet_rect_.height - 104});
  }

  // The levels as bars as high as the image is there, the halves facing each other.
  void draw_little_u(const Rect& room) {
    std::vector<const Box*> levels;
    for (const Box& child : unet_.children) {
      if (child.type == "DownBlock" || child.type == "UpBlock" || child.type == "MidBlock")
        levels.push_back(&child);
    }
    const double step = room.width / static_cast<double>(levels.size());
    double largest = 1;
    for (const Box* level : levels) largest = std::max(largest, extent(*level));
    for (size_t i = 0; i < levels.size(); ++i) {
      const double height = std::max(12.0, room.height * std::sqrt(extent(*levels[i]) / largest) * 0.98);
      const Rect bar{room.x + static_cast<double>(i) * step + 2, room.y + (room.height - height) / 2,
                     step - 4, height};
      svg_.begin_link(sources_.link(levels[i]->type), levels[i]->type, levels[i]->path,
                      tip_of(*levels[i], timed_));
      svg_.box(bar, levels[i]->type == "MidBlock" ? "transformer" : "resblock", 3);
      svg_.end_link();
    }
  }

  // Pixels each way at which most of a level works.
  static double extent(const Box& level) {
    return level.children.empty() ? 1 : static_cast<double>((*level.children.front().output)[2]);
  }

  // ---- The loop, and the way out

  void draw_sampler() {
    const double x = main_x + main_width / 2;
    guidance_ = {x - 107, unet_rect_.bottom() + 44, 214, 44};
    svg_.box(guidance_, "operation", 16);
    svg_.text({x, guidance_.y + 14}, "guidance", {12.5, true, false}, "");
    svg_.text({x, guidance_.y + 30}, "without + cfg (with - without)", {12.2, false, false}, "soft",
              Svg::Anchor::middle, 206);
    svg_.line({{x, unet_rect_.bottom()}, {x, guidance_.y}}, "image");
    svg_.text({x - 8, guidance_.y - 26}, "with and without prompt", {12.2, false, false}, "soft",
              Svg::Anchor::end);
    const double y = guidance_.bottom() + 44;
    sampler_ = {x - 76, y, 152, 60};
    svg_.begin_link(sources_.link("sample"), "sample", "", "samplers/sampler.h: sample");
    svg_.box(sampler_, "operation", 16);
    svg_.text({x, y + 14}, "sampler", {12.5, true, false}, "");
    svg_.text({x, y + 30}, "takes some noise away", {12.2, false, false}, "soft", Svg::Anchor::middle, 144);
    svg_.text({x, y + 46}, "20 to 50 steps", {12.2, false, false}, "soft", Svg::Anchor::middle, 144);
    svg_.end_link();
    svg_.line({{x, guidance_.bottom()}, {x, y}}, "image");
    svg_.text({x - 8, y - 26}, "the noise in it", {12.2, false, false}, "soft", Svg::Anchor::end);
    // Round and round: from the sampler's side up to the UNet's input.
    const double far = figure_width - 7, back = unet_rect_.y - 13;
    svg_.line({{sampler_.right(), sampler_.center_y()}, {far, sampler_.center_y()}, {far, back}, {x, back}},
              "image");
  }

  void draw_vae() {
    const double x = main_x + main_width / 2;
    const Box* decoder = find_box(vae_, "vae.decoder");
    const Box* encoder = find_box(vae_, "vae.encoder");
    decoder_ = {main_x, sampler_.bottom() + 44, main_width, 86};
    svg_.line({{x, sampler_.bottom()}, {x, decoder_.y}}, "image");
    svg_.text({x + 8, sampler_.bottom() + 18}, "latent " + latent_shape(), {12.2, false, false}, "soft",
              Svg::Anchor::start);
    part(decoder_, *decoder, "VAE decoder", "vae");
    const Rect encoder_rect{left_middle - 66, decoder_.y, 132, 86};
    part(encoder_rect, *encoder, "VAE encoder", "vae");
    chip({x - 66, decoder_.bottom() + 26, 132, 40}, "picture", short_shape(*decoder->output), "image");
    svg_.line({{x, decoder_.bottom()}, {x, decoder_.bottom() + 26}}, "image");
    svg_.text({left_middle, encoder_rect.bottom() + 16}, "pictures to latents:", {12.2, false, false},
              "soft");
    svg_.text({left_middle, encoder_rect.bottom() + 32}, "not used to draw", {12.2, false, false}, "soft");
  }

  // ---- Who has how much of the parameters

  double draw_shares(double top) {
    struct Share {
      const Box* box;
      const char *title, *css;
    };
    const Share shares[] = {
        {&clip_, "text encoder", "prompt"}, {&unet_, "UNet", "transformer"}, {&vae_, "VAE", "vae"}};
    const auto all = static_cast<double>(architecture_.root.parameters);
    constexpr double room = figure_width - 2 * margin;
    svg_.text({margin, top + 8}, "Where the parameters are", {13.5, true, false}, "", Svg::Anchor::start);
    double x = margin, y = top + 24;
    for (const Share& share : shares) {
      const double width = room * static_cast<double>(share.box->parameters) / all;
      svg_.box({x, y, width, 24}, share.css, 3);
      x += width;
    }
    y += 44;
    for (const Share& share : shares) {
      svg_.begin_link(sources_.link(share.box->type), share.box->type, share.box->path,
                      tip_of(*share.box, timed_));
      svg_.box({margin, y - 7, 14, 14}, share.css, 3);
      svg_.text({margin + 24, y}, share.title, plain, "", Svg::Anchor::start);
      svg_.text({300, y}, with_commas(share.box->parameters), plain, "", Svg::Anchor::end);
      char percent[16];
      std::snprintf(percent, sizeof(percent), "%.1f %%",
                    100 * static_cast<double>(share.box->parameters) / all);
      svg_.text({figure_width - margin, y}, percent, plain, "soft", Svg::Anchor::end);
      svg_.end_link();
      y += 22;
    }
    return y + 4;
  }

  const Architecture& architecture_;
  const SourceLines& sources_;
  bool timed_;
  const Box &clip_, &unet_, &vae_;
  Svg svg_;
  Rect text_encoder_, time_, unet_rect_, guidance_, sampler_, decoder_;
};

}  // namespace

std::string draw_overview(const Architecture& architecture, const SourceLines& sources, bool timed) {
  return OverviewFigure(architecture, sources, timed).draw();
}

}  // namespace cutaway::describe
