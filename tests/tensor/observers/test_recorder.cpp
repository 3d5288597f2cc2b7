// What a recorder keeps, and what it leaves out.
#include "tensor/observers/recorder.h"

#include <doctest/doctest.h>

#include "tensor/dispatch/dry_run.h"
#include "tensor/ops.h"

namespace cutaway::observers {
namespace {

using Kind = Event::Kind;

const std::string outer = "net", inner = "net.part";

Tensor part(Tensor x, Tensor other) {
  const Scope scope(inner, x, other);
  return scope.out(add(x, scope("half", scale(x, 0.5F))));
}

Tensor net(Tensor x) {
  const Scope scope(outer, x);
  return scope.out(part(part(x, Tensor()), x));
}

std::vector<Event> recorded(const Recorder::Options& options) {
  Recorder recorder(options);
  const Observe observe(recorder);
  net(Tensor::filled({2, 3}, 1));
  return recorder.events();
}

}  // namespace

TEST_CASE("a recorder keeps layers, inner values and operations in their order, with what went in") {
  const std::vector<Event> events = recorded({.operations = {"*"}});
  std::string order;
  for (const Event& event : events) {
    order += event.kind == Kind::enter ? "(" : event.kind == Kind::value ? ")" : "";
    order += event.kind == Kind::operation ? event.operation : event.path.substr(event.path.rfind('.') + 1);
    order += " ";
  }
  CHECK(order == "(net (part scale )half add )part (part scale )half add )part )net ");

  const Event &first = events[1], &second = events[6], &add = events[4], &out = events[5];
  CHECK(first.inputs.size() == 2);
  CHECK(first.inputs[0].tensor.data() == events[0].inputs[0].tensor.data());  // the same block: an arrow
  CHECK_FALSE(first.inputs[1].shape.has_value());
  CHECK(add.inputs[1].tensor.data() == events[3].result.tensor.data());
  CHECK(add.result.tensor.data() == out.result.tensor.data());
  CHECK(second.inputs[0].tensor.data() == out.result.tensor.data());
  CHECK(out.entered == size_t{1});
  CHECK_FALSE(events[3].entered.has_value());  // an inner value
  CHECK(first.occurrence == 0);
  CHECK(second.occurrence == 1);
  for (size_t i = 1; i < events.size(); ++i) CHECK(events[i].seconds >= events[i - 1].seconds);
}

TEST_CASE("a recorder keeps what was selected") {
  CHECK(recorded({.selection = {.layers = {"net"}}}).size() == 2);
  CHECK(recorded({.selection = {.layers = {"*.half"}}}).size() == 2);
  CHECK(recorded({.selection = {.calls = {"step_*"}}}).empty());
  const std::vector<Event> operations =
      recorded({.selection = {.layers = {}}, .operations = {"net.part/add"}});
  REQUIRE(operations.size() == 2);
  CHECK(operations[1].operation == "add");
  const std::vector<Event> shapes = recorded({.tensors = false, .summaries = true});
  CHECK(shapes[0].inputs[0].shape == Shape{2, 3});
  CHECK(shapes[0].inputs[0].tensor.empty());
  CHECK(shapes.back().result.tensor.empty());
  CHECK(shapes.back().summary->mean == doctest::Approx(2.25));
}

TEST_CASE("tensors have the names of a trace") {
  std::string names;
  for (const NamedTensor& named : named_tensors(recorded({}))) names += named.name + " ";
  CHECK(names ==
        "call/trace/net:in call/trace/net.part:in call/trace/net.part.half call/trace/net.part "
        "call/trace/net.part#1:in call/trace/net.part#1:in1 call/trace/net.part.half#1 call/trace/net.part#1 "
        "call/trace/net ");
}

TEST_CASE("a dry run may be recorded: shapes, blocks and work are those of the run") {
  const Weight weight = Weight::of(Tensor::filled({4, 3}, 1));
  const auto run = [&] {
    Recorder recorder({.operations = {"*"}});
    const Observe observe(recorder);
    silu(linear(Tensor::filled({2, 3}, 1), weight, std::nullopt));
    return recorder.events();
  };
  const std::vector<Event> real = run();
  std::vector<Event> dry;
  {
    const DryRun dry_run;
    dry = run();
  }
  REQUIRE(dry.size() == 2);
  CHECK(dry[0].flops == 2 * 2 * 3 * 4);
  for (size_t i = 0; i < dry.size(); ++i) {
    CHECK(dry[i].flops == real[i].flops);
    CHECK(dry[i].result.shape == real[i].result.shape);
  }
  CHECK(dry[1].inputs[0].tensor.data() == dry[0].result.tensor.data());
  CHECK(dry[1].result.tensor.data() != dry[0].result.tensor.data());
}

}  // namespace cutaway::observers
