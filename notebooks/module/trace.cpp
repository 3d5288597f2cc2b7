// cutaway.trace: a recorder with the manners of a dict and of a `with` block.
#include <memory>
#include <thread>

#include "notebooks/module/arrays.h"
#include "notebooks/module/bindings.h"
#include "notebooks/module/recorder.h"
#include "tensor/error.h"

namespace cutaway::python {
namespace {

using namespace pybind11::literals;

class Trace {
 public:
  Trace(std::vector<std::string> patterns, bool operations)
      : recorder_(std::make_unique<Recorder>(std::move(patterns), operations)) {}

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

  const Recorder& recorder() const { return *recorder_; }

  py::list all(const std::string& path) const {
    must_have(path);
    py::list arrays;
    for (const Recorder::Moment& moment : recorder_->values(path)) arrays.append(to_array(moment.value));
    return arrays;
  }

  py::object get(const std::string& path) const {
    const py::list arrays = all(path);
    return arrays.size() == 1 ? py::object(arrays[0]) : py::object(arrays);
  }

  py::object inputs(const std::string& path) const {
    const std::vector<Recorder::Call>& calls = recorder_->calls(path);
    if (calls.empty()) must_have(path);
    py::list all_calls;
    for (const Recorder::Call& call : calls) {
      py::tuple arrays(call.inputs.size());
      for (size_t i = 0; i < call.inputs.size(); ++i) arrays[i] = to_array(call.inputs[i]);
      all_calls.append(arrays);
    }
    return calls.size() == 1 ? py::object(all_calls[0]) : py::object(all_calls);
  }

  std::vector<int> steps(const std::string& path) const {
    must_have(path);
    std::vector<int> steps;
    for (const Recorder::Moment& moment : recorder_->values(path)) steps.push_back(moment.step);
    return steps;
  }

  py::list items() const {
    py::list pairs;
    for (const std::string& path : recorder_->paths()) pairs.append(py::make_tuple(path, get(path)));
    return pairs;
  }

  py::list values() const {
    py::list arrays;
    for (const std::string& path : recorder_->paths()) arrays.append(get(path));
    return arrays;
  }

 private:
  void must_have(const std::string& path) const {
    if (!recorder_->values(path).empty()) return;
    std::string patterns;
    for (const std::string& pattern : recorder_->patterns())
      patterns += (patterns.empty() ? "" : ", ") + pattern;
    throw py::key_error("nothing was recorded at " + path + ": the trace of " + patterns + " has " +
                        std::to_string(recorder_->paths().size()) +
                        " paths, list(trace) names them; tables of attention need a pattern that ends in "
                        "probs, operations inside a layer need operations=True");
  }

  std::unique_ptr<Recorder> recorder_;
  std::unique_ptr<Observe> observe_;
  std::thread::id thread_;
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
      .def("__contains__",
           [](const Trace& self, const std::string& path) { return !self.recorder().values(path).empty(); })
      .def("__len__", [](const Trace& self) { return self.recorder().paths().size(); })
      .def("__iter__", [](const Trace& self) { return py::iter(py::cast(self.recorder().paths())); })
      .def(
          "keys", [](const Trace& self) { return self.recorder().paths(); },
          "Paths, in the order of the run.")
      .def("values", &Trace::values)
      .def("items", &Trace::items)
      .def(
          "get",
          [](const Trace& self, const std::string& path, const py::object& otherwise) {
            return self.recorder().values(path).empty() ? otherwise : self.get(path);
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
