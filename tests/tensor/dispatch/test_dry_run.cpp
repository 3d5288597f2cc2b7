// Dry runs: what a run takes, without running it.
#include "tensor/dispatch/dry_run.h"

#include <optional>

#include "tensor/backend.h"
#include "tensor/error.h"
#include "tensor/files/mapped_files.h"
#include "tensor/files/safetensors.h"
#include "tensor/ops.h"
#include "tensor/trace.h"
#include "tests/check.h"
#include "tests/tensor/files/files.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

constexpr int64_t MB = 1000000;

// A convolution, an attention, a norm: kernels with scratch memory of their own.
Tensor some_work(int64_t size, const Weight& kernel) {
  const Tensor x(Shape{1, 32, size, size});
  const Tensor h = silu(conv2d(x, kernel, std::nullopt, {.padding = Padding::all(1)}));
  const Tensor q = split_heads(to_tokens(h), 4);
  return merge_heads(attention(q, q, q, {}));
}

int64_t dry_run_peak(int64_t size, const Weight& kernel) {
  DryRun dry_run;
  some_work(size, kernel);
  return dry_run.finish().peak_bytes;
}

}  // namespace

TEST_CASE("a dry run takes as much memory as the run, and none") {
  const Weight kernel = Weight::of(Tensor::filled({32, 32, 3, 3}, 0.01F));
  release_kept_memory();
  const int64_t dry_run = dry_run_peak(64, kernel);
  const MemoryUse before = memory_use();
  CHECK(before.kept_bytes == 0);  // the dry run left nothing behind

  int64_t most = 0;
  struct Most : Observer {
    int64_t& most;
    explicit Most(int64_t& m) : most(m) {}
    void operation(const std::string&, const char*, std::span<const Tensor* const>, const Tensor&) override {
      most = std::max(most, memory_use().live_bytes + memory_use().kept_bytes);
    }
  } watch(most);
  {
    const Observe observe(watch);
    some_work(64, kernel);
  }
  const int64_t taken = most - before.live_bytes;
  CHECK(dry_run >= taken);  // between operations there may have been more: the kernels' own memory
  CHECK(dry_run < 2 * taken);
  release_kept_memory();
}

TEST_CASE("a dry run of more than any machine has is no trouble") {
  const Weight kernel = Weight::of(Tensor::filled({32, 32, 3, 3}, 0.01F));
  const int64_t peak = dry_run_peak(1 << 12, kernel);  // some 15 GB
  CHECK(peak > 11000 * MB);
  CHECK(peak < 30000 * MB);
}

TEST_CASE("a dry run knows that ref holds the table of an attention") {
  const Tensor q(Shape{1, 8, 1024, 32});
  const auto peak = [&](const char* backend) {
    choose_backend(backend);
    DryRun dry_run;
    attention(q, q, q, {});
    choose_backend("fast");
    return dry_run.finish().peak_bytes;
  };
  const int64_t table = 8 * 1024 * 1024 * 4;
  CHECK(peak("fast") < table);
  CHECK(peak("ref") > 2 * table);
  CHECK(peak("eigen") < table);
}

TEST_CASE("a dry run counts the pages of weights in files, once, until they are let go") {
  const TemporaryFolder folder;
  const std::string path = folder / "w.safetensors";
  write_safetensors(path, {{"w", Tensor::filled({500, 1000}, 0.5F)}}, {});
  const SafetensorsFile file = SafetensorsFile::open(path);
  const Weight weight = file.weight(file.at("w"));
  CHECK(in_mapped_file(weight.data));
  CHECK_FALSE(in_mapped_file(&path));

  const Tensor x(Shape{1, 1000});
  DryRun dry_run;
  linear(x, weight, std::nullopt);
  linear(x, weight, std::nullopt);
  let_go_of_files();
  const DryRunMemory memory = dry_run.finish();
  CHECK(memory.peak_other_bytes == 500 * 1000 * 4);
  CHECK(memory.peak_bytes == memory.peak_other_bytes + memory.peak_tensor_bytes);
}

TEST_CASE("a weight that was let go comes back from its file") {
  const TemporaryFolder folder;
  const std::string path = folder / "w.safetensors";
  write_safetensors(path, {{"w", Tensor::filled({50, 100}, 0.5F)}}, {});
  const SafetensorsFile file = SafetensorsFile::open(path);
  const Weight weight = file.weight(file.at("w"));
  const Tensor x = Tensor::filled({1, 100}, 1);
  const Tensor before = linear(x, weight, std::nullopt);
  let_go_of_files();
  CHECK_CLOSE(linear(x, weight, std::nullopt), before, 0);
}

TEST_CASE("nobody sees a dry run: its tensors mean nothing") {
  int seen = 0;
  struct Counts : Observer {
    int& seen;
    explicit Counts(int& s) : seen(s) {}
    void enter(const std::string&, std::span<Tensor* const>) override { ++seen; }
    void value(const std::string&, Tensor&) override { ++seen; }
    void operation(const std::string&, const char*, std::span<const Tensor* const>, const Tensor&) override {
      ++seen;
    }
  } counts(seen);
  const auto layer = [](const Tensor& input) {
    Tensor x = input;
    static const std::string path = "layer";
    const Scope scope(path, x);
    return scope.out(silu(x));
  };
  const Tensor x = Tensor::filled({4}, 1);
  const Observe observe(counts);
  {
    DryRun dry_run;
    layer(x);
    CHECK_THROWS_AS(DryRun(), Error);
    layer(x);
    CHECK(seen == 0);
    dry_run.finish();
  }
  layer(x);
  CHECK(seen == 3);
}

TEST_CASE("there is one dry run at a time") {
  const DryRun dry_run;
  CHECK_THROWS_AS(DryRun(), Error);
}
