// Scope and Observer: paths, what is seen, what is replaced, what is left after an exception.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tensor/backend.h"
#include "tensor/error.h"
#include "tensor/ops.h"
#include "tensor/trace.h"
#include "tests/check.h"

using namespace cutaway;

namespace {

// Writes down every call as one line.
struct Diary : Observer {
  std::vector<std::string> lines;
  std::set<std::string> wanted;
  void enter(const std::string& path, std::span<Tensor* const> inputs) override {
    std::string line = "enter " + path;
    for (const Tensor* input : inputs) line += " " + to_string(input->shape());
    lines.push_back(line);
  }
  void value(const std::string& path, Tensor& value) override {
    lines.push_back("value " + path + " " + to_string(value.shape()));
  }
  void operation(const std::string& path, const char* name, std::span<const Tensor* const> inputs,
                 const Tensor& result) override {
    std::string line = std::string(name) + " at " + path;
    for (const Tensor* input : inputs) line += " " + to_string(input->shape());
    lines.push_back(line + " -> " + to_string(result.shape()));
  }
  bool wants(const std::string& path) const override { return wanted.count(path) > 0; }
};

// A layer as in nn/: it doubles x and adds shift.
struct Double {
  std::string path;
  Tensor operator()(Tensor x, Tensor shift) const {
    Scope scope(path, x, shift);
    Tensor h = scale(x, 2);
    h = scope("doubled", h);
    return scope.out(add(h, shift));
  }
};

struct Twice {
  std::string path = "net";
  Double first{"net.first"}, second{"net.second"};
  Tensor operator()(Tensor x, Tensor shift) const {
    Scope scope(path, x, shift);
    x = first(x, shift);
    return scope.out(second(x, shift));
  }
};

const Tensor ones = Tensor::filled({2, 3}, 1);
const Tensor tens = Tensor::filled({2, 3}, 10);

}  // namespace

TEST_CASE("Scope: the path is that of the innermost layer") {
  const std::string outer = "unet", inner = "unet.conv_in";
  CHECK(Scope::current_path().empty());
  {
    const Scope a(outer);
    CHECK(Scope::current_path() == "unet");
    {
      const Scope b(inner);
      CHECK(Scope::current_path() == "unet.conv_in");
    }
    CHECK(Scope::current_path() == "unet");
  }
  CHECK(Scope::current_path().empty());
}

TEST_CASE("Scope: an exception puts the path back") {
  const std::string outer = "unet", inner = "unet.conv_in";
  const Scope a(outer);
  try {
    const Scope b(inner);
    throw std::runtime_error("in the middle");
  } catch (const std::runtime_error&) {
    CHECK(Scope::current_path() == "unet");
  }
  CHECK_THROWS_WITH_AS(add(ones, Tensor::filled({3, 2}, 1)),
                       "add at unet: a is [2, 3] and b is [3, 2], but the two must be equal", Error);
  CHECK(Scope::current_path() == "unet");
}

TEST_CASE("Scope: each thread has its own path and observers") {
  const std::string here = "unet", there = "vae";
  Diary diary;
  const Observe observe(diary);
  const Scope a(here);
  std::string seen = "not asked", seen_inside;
  std::thread other([&] {
    seen = Scope::current_path();
    const Scope b(there);
    seen_inside = Scope::current_path();
    scale(ones, 2);
  });
  other.join();
  CHECK(seen.empty());
  CHECK(seen_inside == "vae");
  CHECK(Scope::current_path() == "unet");
  CHECK(diary.lines.empty());
}

TEST_CASE("Observer: sees layers, inner values and operations with what they take, in the order they run") {
  Diary diary;
  {
    const Observe observe(diary);
    Twice()(ones, tens);
  }
  const std::vector<std::string> expected = {
      "enter net [2, 3] [2, 3]",
      "enter net.first [2, 3] [2, 3]",
      "scale at net.first [2, 3] -> [2, 3]",
      "value net.first.doubled [2, 3]",
      "add at net.first [2, 3] [2, 3] -> [2, 3]",
      "value net.first [2, 3]",
      "enter net.second [2, 3] [2, 3]",
      "scale at net.second [2, 3] -> [2, 3]",
      "value net.second.doubled [2, 3]",
      "add at net.second [2, 3] [2, 3] -> [2, 3]",
      "value net.second [2, 3]",
      "value net [2, 3]",
  };
  CHECK(diary.lines == expected);
  Twice()(ones, tens);  // nobody watches any more
  CHECK(diary.lines == expected);
}

TEST_CASE("Observer: nothing is different when a run is watched") {
  const Tensor alone = Twice()(ones, tens);
  Diary diary;
  const Observe observe(diary);
  CHECK_CLOSE(Twice()(ones, tens), alone, 0);
}

TEST_CASE("Observer: may replace inputs, inner values and results") {
  struct Replace : Observer {
    std::string at_enter, at_value;
    void enter(const std::string& path, std::span<Tensor* const> inputs) override {
      if (path == at_enter) *inputs[1] = Tensor::filled({2, 3}, 100);
    }
    void value(const std::string& path, Tensor& value) override {
      if (path == at_value) value = Tensor::filled({2, 3}, 1000);
    }
  };
  const auto run = [](const std::string& enter, const std::string& value) {
    Replace replace;
    replace.at_enter = enter;
    replace.at_value = value;
    const Observe observe(replace);
    return Twice()(ones, tens).data()[0];
  };
  CHECK(run("", "") == (1 * 2 + 10) * 2 + 10);
  CHECK(run("net", "") == (1 * 2 + 100) * 2 + 100);
  CHECK(run("net.second", "") == (1 * 2 + 10) * 2 + 100);
  CHECK(run("", "net.first.doubled") == (1000 + 10) * 2 + 10);
  CHECK(run("", "net.first") == 1000 * 2 + 10);
  CHECK(run("", "net") == 1000);
  CHECK(ones.data()[0] == 1);  // the caller's own tensors are not touched
  CHECK(tens.data()[0] == 10);
}

TEST_CASE("Observer: several are called in the order they came, each seeing what the one before left") {
  struct AddOne : Observer {
    void value(const std::string& path, Tensor& value) override {
      if (path == "net") value = add(value, Tensor::filled({2, 3}, 1));
    }
  };
  struct Times : Observer {
    void value(const std::string& path, Tensor& value) override {
      if (path == "net") value = scale(value, 3);
    }
  };
  AddOne add_one;
  Times times;
  {
    const Observe first(add_one);
    const Observe second(times);
    CHECK(Twice()(ones, tens).data()[0] == (34 + 1) * 3);
  }
  {
    const Observe first(times);
    const Observe second(add_one);
    CHECK(Twice()(ones, tens).data()[0] == 34 * 3 + 1);
  }
  CHECK_FALSE(trace::observed());
}

TEST_CASE("Observer: one that throws stops the run, and all is put back") {
  struct Stop : Observer {
    void value(const std::string& path, Tensor&) override {
      if (path == "net.second.doubled") throw Error("enough");
    }
  };
  Stop stop;
  try {
    const Observe observe(stop);
    Twice()(ones, tens);
    FAIL("the observer's exception was lost");
  } catch (const Error& error) {
    CHECK(std::string(error.what()) == "enough");
  }
  CHECK_FALSE(trace::observed());
  CHECK(Scope::current_path().empty());
}

TEST_CASE("Observer: the table of an attention is made only when it is wanted") {
  const Tensor q = test::random_tensor({1, 2, 3, 4}, 1), k = test::random_tensor({1, 2, 5, 4}, 2);
  const std::string path = "unet.attn1";
  Diary diary;
  const Observe observe(diary);
  {
    const Scope scope(path);
    attention(q, k, k, {});
    CHECK(diary.lines ==
          std::vector<std::string>{
              "attention at unet.attn1 [1, 2, 3, 4] [1, 2, 5, 4] [1, 2, 5, 4] -> [1, 2, 3, 4]"});
  }
  diary.lines.clear();
  diary.wanted = {"unet.attn1.probs"};
  const Scope scope(path);
  attention(q, k, k, {});
  CHECK(std::count(diary.lines.begin(), diary.lines.end(), "value unet.attn1.probs [1, 2, 3, 5]") == 1);
}

TEST_CASE("trace: an inner value outside of all layers has its own name as path") {
  Diary diary;
  const Observe observe(diary);
  trace::inner_value("latent", ones);
  CHECK(diary.lines == std::vector<std::string>{"value latent [2, 3]"});
}

TEST_CASE("trace: counted operations are two for each product") {
  const auto flops_of = [](auto&& run) {
    const double before = trace::flops();
    run();
    return trace::flops() - before;
  };
  const Weight square = Weight::of(test::random_tensor({5, 3}, 1));
  CHECK(flops_of([&] { linear(Tensor::filled({7, 3}, 1), square, std::nullopt); }) == 2 * 7 * 3 * 5);
  const Weight kernel = Weight::of(test::random_tensor({4, 2, 3, 3}, 1));
  const Tensor image = Tensor::filled({1, 2, 6, 8}, 1);
  const Conv2dOptions halved{.stride = 2, .padding = Padding::all(1)};
  CHECK(flops_of([&] { conv2d(image, kernel, std::nullopt, halved); }) == 2 * (4 * 3 * 4) * (2 * 3 * 3));
  const Tensor q = Tensor::filled({1, 2, 3, 4}, 1), k = Tensor::filled({1, 2, 5, 4}, 1);
  CHECK(flops_of([&] { attention(q, k, k, {}); }) == 2 * (2 * 2 * 3 * 5 * 4));
  CHECK(flops_of([&] {
          matmul(Tensor::filled({2, 3, 4}, 1), Tensor::filled({2, 4, 5}, 1));
        }) == 2 * 2 * 3 * 4 * 5);
  CHECK(flops_of([&] { add(ones, tens); }) == 0);
}
