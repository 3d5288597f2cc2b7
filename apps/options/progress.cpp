#include "apps/options/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace cutaway {
namespace {

std::string time_text(double seconds) {
  const auto whole = static_cast<long long>(std::ceil(seconds));
  if (whole < 60) return std::to_string(whole) + " s";
  if (whole < 3600) return std::to_string(whole / 60) + " min " + std::to_string(whole % 60) + " s";
  return std::to_string(whole / 3600) + " h " + std::to_string(whole / 60 % 60) + " min";
}

}  // namespace

ProgressBar::ProgressBar(std::string what, bool quiet)
    : what_(std::move(what)), silent_(quiet || isatty(STDERR_FILENO) == 0) {}

void ProgressBar::show(double done, double count) {
  if (silent_) return;
  if (done >= count) return clear();
  const auto now = Clock::now();
  const std::chrono::duration<double> passed = now - begin_, since_drawn = now - drawn_;
  if (done <= 0 || passed.count() < 1 || (visible_ && since_drawn.count() < 0.1)) return;
  constexpr size_t width = 20;
  const auto filled = static_cast<size_t>(static_cast<double>(width) * done / count);
  const std::string left = time_text(passed.count() / done * (count - done));
  std::fflush(stdout);  // else a line printed before might come behind the bar
  std::fprintf(stderr, "\r[%s%s] %.0f of %.0f %s, %s left\033[K", std::string(filled, '#').c_str(),
               std::string(width - filled, ' ').c_str(), std::floor(done), std::ceil(count), what_.c_str(),
               left.c_str());
  visible_ = true;
  drawn_ = now;
}

void ProgressBar::clear() {
  if (!visible_) return;
  std::fputs("\r\033[K", stderr);
  visible_ = false;
}

}  // namespace cutaway
