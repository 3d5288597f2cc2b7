// Bands of rows without MPI: each has a thread of this program, and they meet in its memory.
#pragma once

#include <any>
#include <atomic>
#include <barrier>
#include <cstdint>
#include <exception>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "tensor/dispatch/dry_run.h"
#include "tensor/dispatch/row_bands.h"

namespace cutaway::test {

/// Where the threads meet: each lays something down, then all look at everything.
class Table {
 public:
  explicit Table(int threads) : given_(static_cast<size_t>(threads)), everyone_(threads) {}

  template <class Thing>
  std::vector<Thing> meet(int who, Thing mine) {
    given_[static_cast<size_t>(who)] = std::move(mine);
    everyone_.arrive_and_wait();
    std::vector<Thing> all;
    for (const std::any& thing : given_) all.push_back(std::any_cast<Thing>(thing));
    everyone_.arrive_and_wait();
    return all;
  }
  /// Whoever failed is not waited for.
  void leave() { everyone_.arrive_and_drop(); }

 private:
  std::vector<std::any> given_;
  std::barrier<> everyone_;
};

class ThreadNeighbours : public Neighbours {
 public:
  ThreadNeighbours(Table& table, int place, int count) : table_(table), place_(place), count_(count) {}

  int place() const override { return place_; }
  int count() const override { return count_; }

  Borders swap(const Tensor& first, const Tensor& last) override {
    sent.borders.add(place_ > 0 ? bytes_of(first) : 0);
    sent.borders.bytes += place_ + 1 < count_ ? bytes_of(last) : 0;
    const auto all = table_.meet(place_, std::pair(first, last));
    const auto at = static_cast<size_t>(place_);
    return {place_ > 0 ? all[at - 1].second : Tensor(), place_ + 1 < count_ ? all[at + 1].first : Tensor()};
  }
  std::vector<Tensor> gather(const Tensor& mine, const std::vector<Shape>&) override {
    sent.tensors.add((count_ - 1) * bytes_of(mine));
    return table_.meet(place_, mine);
  }
  std::vector<double> gather(const std::vector<double>& mine) override {
    sent.numbers.add((count_ - 1) * static_cast<int64_t>(mine.size() * sizeof(double)));
    std::vector<double> all;
    for (const auto& one : table_.meet(place_, mine)) all.insert(all.end(), one.begin(), one.end());
    return all;
  }

  // By this one to all others.
  struct Sent {
    struct Kind {
      int calls = 0;
      int64_t bytes = 0;
      void add(int64_t more) { ++calls, bytes += more; }
    };
    Kind borders, tensors, numbers;
  };
  Sent sent;

 private:
  static int64_t bytes_of(const Tensor& x) { return x.count() * static_cast<int64_t>(sizeof(float)); }

  Table& table_;
  int place_, count_;
};

/// What each of `count` neighbours gives, in their order. Throws what the first of them threw.
template <class Work>
auto in_threads(int count, const Work& work) {
  using Result = decltype(work(std::declval<ThreadNeighbours&>()));
  Table table(count);
  std::vector<Result> results(static_cast<size_t>(count));
  std::vector<std::exception_ptr> errors(static_cast<size_t>(count));
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      try {
        ThreadNeighbours neighbours(table, i, count);
        results[static_cast<size_t>(i)] = work(neighbours);
      } catch (...) {
        errors[static_cast<size_t>(i)] = std::current_exception();
      }
      table.leave();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
  return results;
}

}  // namespace cutaway::test
