// cutaway.trace: a recorder with the manners of a dict and of a `with` block.
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <thread>

#include "notebooks/module/arrays.h"
#include "notebooks/module/bindings.h"
#include "tensor/error.h"
#include "tensor/observers/recorder.h"

namespace cutaway::python {
namespace {

using namespace pybind11::literals;

using observers::Event;
using observers::Recorder;

std::string name_of_operation(const Event& event, int count) {
  return event.path + "/" + event.operation + (count > 1 ? "." + std::to_string(count) : "");
}

// The values of a run by name, as a dict has them: results and inner values by their path, each operation
// inside a layer as PATH/silu, PATH/silu.2, ...
struct Values {
  std::vector<std::string> names;  // in the order of the run
  std::map<std::string, std::vector<const Event*>> by_name;

  explicit Values(const std::vector<Event>& events) {
    std::set<const Event*> doubled = last_operations(events);
    std::map<std::string, std::map<std::string, int>> counts;  // by layer and operation, in its latest call
    for (const Event& event : events) {
      if (event.kind != Event::Kind::operation) counts.erase(event.path);
      if (event.kind == Event::Kind::value) add(event.path, event);
      if (event.kind != Event::Kind::operation) continue;
      const int count = ++counts[event.path][event.operation];
      if (!doubled.contains(&event)) add(name_of_operation(event, count), event);
    }
  }

 private:
  void add(const std::string& name, const Event& event) {
    std::vector<const Event*>& values = by_name[name];
    if (values.empty()) names.push_back(name);
    values.push_back(&event);
  }

  // A layer's last operation nearly always made the layer's own result: then it is not listed twice.
  static std::set<const Event*> last_operations(const std::vector<Event>& events) {
    std::map<std::string, const Event*> last;  // by layer
    std::set<const Event*> doubled;
    for (const Event& event : events) {
      if (event.kind == Event::Kind::operation) last[event.path] = &event;
      if (event.kind == Event::Kind::enter) last.erase(event.path);
      if (event.kind != Event::Kind::value || !last.contains(event.path)) continue;
      const Event* operation = last.extract(event.path).mapped();
      if (operation->result.tensor.data() == event.result.tensor.data()) doubled.insert(operation);
    }
    return doubled;
  }
};

class Trace {
 public:
  Trace(std::vector<std::string> patterns, bool operations) : patterns_(std::move(patterns)) {
    Recorder::Options options{.selection = {.layers = patterns_}};
    if (operations)
      for (const std::string& pattern : patterns_) options.operations.push_back(pattern + "/*");
    recorder_ = std::make_unique<Recorder>(std::move(options));
  }

  ~Trace() {
    if (!observe_ || std::this_thread::get_id() == thread_) return;
    observe_.release();   // thrown away while open, on another thread, whose list of observers cannot be
    recorder_.release();  // reached from here: better to leave both than to leave it a dangling pointer
  }

  void enter() {
    if (observe_) throw Error("this trace is open already; make another one with cutaway.trace(...)");
    thread_ = std::this_thread::get_id();
    observe_ = std::make_unique<Observe>(*recorder_);
  }

  void exit() {
    if (observe_ && std::this_thread::get_id() != thread_)
      throw Error("a trace must be closed by the thread that opened it");
    observe_.reset();
  }

  const std::vector<std::string>& names() { return values().names; }
  bool has(const std::string& name) { return values().by_name.contains(name); }

  py::list all(const std::string& name) {
    py::list arrays;
    for (const Event* event : found(name)) arrays.append(to_array(event->result.tensor));
    return arrays;
  }

  py::object get(const std::string& name) {
    const py::list arrays = all(name);
    return arrays.size() == 1 ? py::object(arrays[0]) : py::object(arrays);
  }

  py::object inputs(const std::string& path) {
    py::list calls;
    for (const Event& event : recorder_->events()) {
      if (event.kind != Event::Kind::enter || event.path != path) continue;
      py::tuple arrays(event.inputs.size());
      for (size_t i = 0; i < event.inputs.size(); ++i) arrays[i] = to_array(event.inputs[i].tensor);
      calls.append(arrays);
    }
    if (calls.empty()) found(path);
    return calls.size() == 1 ? py::object(calls[0]) : py::object(calls);
  }

  std::vector<int> steps(const std::string& name) {
    std::vector<int> steps;
    for (const Event* event : found(name)) steps.push_back(event->step);
    return steps;
  }

  py::list items() {
    py::list pairs;
    for (const std::string& name : names()) pairs.append(py::make_tuple(name, get(name)));
    return pairs;
  }

  py::list arrays() {
    py::list arrays;
    for (const std::string& name : names()) arrays.append(get(name));
    return arrays;
  }

 private:
  // Made again when there is more: a trace may be read while it is open.
  const Values& values() {
    if (!values_ || events_read_ != recorder_->events().size()) {
      values_.emplace(recorder_->events());
      events_read_ = recorder_->events().size();
    }
    return *values_;
  }

  const std::vector<const Event*>& found(const std::string& name) {
    const auto at = values().by_name.find(name);
    if (at != values().by_name.end()) return at->second;
    std::string patterns;
    for (const std::string& pattern : patterns_) patterns += (patterns.empty() ? "" : ", ") + pattern;
    throw py::key_error("nothing was recorded at " + name + ": the trace of " + patterns + " has " +
                        std::to_string(names().size()) +
                        " paths, list(trace) names them; tables of attention need a pattern that ends in "
                        "probs, operations inside a layer need operations=True");
  }

  std::vector<std::string> patterns_;
  std::unique_ptr<Recorder> recorder_;
  std::unique_ptr<Observe> observe_;
  std::thread::id thread_;
  std::optional<Values> values_;
  size_t events_read_ = 0;
};

}  // namespace

void bind_trace(py::module_& module) {
  py::class_<Trace> trace(
      module, "trace",
      "with cutaway.trace(\"unet.mid_block.*\") as t: m.unet(...)\n\n"
      "A dict from path to array, or to a list of arrays where a layer ran several times.\n"
      "In patterns * stands for any text. Tables of attention are made for patterns that end in\n"
      "probs. operations=True adds each operation inside a layer, as PATH/silu, PATH/silu.2, ...");
  trace
      .def(py::init([](const py::args& patterns, bool operations) {
             std::vector<std::string> texts;
             for (const py::handle& pattern : patterns) texts.push_back(pattern.cast<std::string>());
             if (texts.empty()) texts.emplace_back("*");
             return std::make_unique<Trace>(std::move(texts), operations);
           }),
           "operations"_a = false)
      .def("__enter__",
           [](const py::object& self) {
             self.cast<Trace&>().enter();
             return self;
           })
      .def("__exit__", [](Trace& self, const py::args&) { self.exit(); })
      .def("__getitem__", &Trace::get)
      .def("__contains__", &Trace::has)
      .def("__len__", [](Trace& self) { return self.names().size(); })
      .def("__iter__", [](Trace& self) { return py::iter(py::cast(self.names())); })
      .def("keys", &Trace::names, "Paths, in the order of the run.")
      .def("values", &Trace::arrays)
      .def("items", &Trace::items)
      .def(
          "get",
          [](Trace& self, const std::string& path, const py::object& otherwise) {
            return self.has(path) ? self.get(path) : otherwise;
          },
          "path"_a, "otherwise"_a = py::none())
      .def("all", &Trace::all, "path"_a, "Always a list, one array for each time the layer ran.")
      .def("inputs", &Trace::inputs, "path"_a,
           "What went into the layer, as a tuple; a list of tuples where it ran several times.")
      .def("steps", &Trace::steps, "path"_a,
           "The sampler's step of each value, from 0; -1 outside of all steps.");
  py::module_::import("collections.abc").attr("Mapping").attr("register")(trace);
}

}  // namespace cutaway::python
