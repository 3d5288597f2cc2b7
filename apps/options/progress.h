// How far a long work is, and how long it will still take.
#pragma once

#include <chrono>
#include <string>

#include "tensor/trace.h"

namespace cutaway {

/// "[#######             ] 7 of 20 steps, 13 s left", in one line on stderr that is written over and over. Only
/// on a terminal, and only once a second has passed: what is done by then needs none.
class ProgressBar {
 public:
  explicit ProgressBar(std::string what, bool quiet = false);
  ~ProgressBar() { clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  /// So much is done; at most ten times a second this is drawn. Nothing is left of the bar when all is done.
  void show(double done, double count);
  /// Takes it away, before something else is printed.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;

  std::string what_;
  bool silent_, visible_ = false;
  Clock::time_point begin_ = Clock::now(), drawn_ = begin_;
};

/// A bar by the floating-point operations that this thread's networks have done, of `flop` in all; as an
/// observer it moves with every layer.
class WorkProgress : public Observer {
 public:
  explicit WorkProgress(double flop) : flop_(flop) {}
  void value(const std::string&, Tensor&) override { show(); }
  void show() { bar_.show((trace::flops() - before_) / 1e9, flop_ / 1e9); }

 private:
  ProgressBar bar_{"GFLOP"};
  double flop_, before_ = trace::flops();
};

}  // namespace cutaway
