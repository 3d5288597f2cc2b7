// Calls of operations: kept without their numbers, made again by themselves.
#include "tensor/dispatch/replay.h"

#include "tensor/backend.h"
#include "tensor/dispatch/dry_run.h"
#include "tests/check.h"
#include "tests/tensor/test_ops.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

// A little of everything that an operation may be given.
void some_work() {
  const std::string path = "box";
  const Scope scope(path);
  const Tensor x(Shape{1, 8, 6, 6});
  const Weight kernel = Weight::of(Tensor::filled({4, 8, 3, 3}, 1));
  const Weight bias = Weight::of(Tensor::filled({4}, 1));
  Tensor h = conv2d(x, kernel, bias, {.stride = 2, .padding = {.right = 1, .bottom = 1}});
  h = group_norm(h, bias, bias, 2, 1e-5F);
  const Tensor q = split_heads(to_tokens(concat({h, h}, 1)), 2);
  const Tensor mask(Shape{1, 1, 9, 9});
  attention(q, q, q, {.mask = &mask});
  attention(q, q, q, {.causal = true});
  timestep_embedding(std::vector<float>{1, 2}, 8, {});
}

std::vector<Call> dry_run_calls() {
  const DryRun dry_run;
  RecordCalls record;
  some_work();
  return std::move(record.calls);
}

}  // namespace

TEST_CASE("a dry run's calls are kept, with their shapes and without their numbers") {
  const MemoryUse before = memory_use();
  const std::vector<Call> calls = dry_run_calls();
  CHECK(memory_use().live_bytes == before.live_bytes);

  std::string names;
  for (const Call& call : calls) names += std::string(call.operation) + " ";
  CHECK(names == "conv2d group_norm concat to_tokens split_heads attention attention timestep_embedding ");
  const Call& conv = calls.front();
  CHECK(conv.layer == "box");
  CHECK(conv.inputs == std::vector<Shape>{{1, 8, 6, 6}, {4, 8, 3, 3}, {4}});
  CHECK(conv.options == "stride 2");
  CHECK(conv.result == Shape{1, 4, 3, 3});
  CHECK(calls[5].options.empty());
  CHECK(calls[5].inputs.back() == Shape{1, 1, 9, 9});  // the mask
  CHECK(calls[6].options == "causal");
}

TEST_CASE("a kept call runs again, after all that it was given is gone") {
  for (const Call& call : dry_run_calls()) {
    INFO(call.operation);
    const auto run = call.prepare();
    choose_backend("ref");
    const Tensor expected = run();
    choose_backend("fast");
    CHECK(expected.shape() == call.result);
    CHECK_CLOSE(run(), expected, 1e-5);
  }
}

TEST_CASE("nothing is kept when no recorder lives") {
  { const RecordCalls record; }
  CHECK(replay::recorder() == nullptr);
  RecordCalls outer;
  {
    RecordCalls inner;
    some_work();
    CHECK(inner.calls.size() == 8);
  }
  CHECK(outer.calls.empty());  // only the innermost keeps
}
