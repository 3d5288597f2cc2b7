#include "apps/describe/recording.h"

#include <chrono>
#include <cmath>

#include "tensor/error.h"

namespace cutaway::describe {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

constexpr const char* table_name = "probs";

}  // namespace

// ---- Recorder

Recorder::Recorder(Keep keep) : keep_(keep), flops_before_(trace::flops()), began_(now()) {}

// Operations count their work before they tell that they are done, so what has come together since the last
// event is this one's.
Event& Recorder::add(Event::Kind kind, const std::string& path) {
  Event& event = recording.events.emplace_back();
  event.kind = kind;
  event.path = path;
  event.seconds = now() - began_;
  event.flops = trace::flops() - flops_before_;
  flops_before_ = trace::flops();
  return event;
}

void Recorder::enter(const std::string& path, std::span<Tensor* const> inputs) {
  Event& event = add(Event::Kind::enter, path);
  for (const Tensor* input : inputs) {
    if (input->empty()) continue;  // a ResBlock without a time step
    event.inputs.push_back(keep_ == Keep::tensors ? *input : Tensor());
    event.shapes.push_back(input->shape());
  }
}

void Recorder::value(const std::string& path, Tensor& value) {
  const size_t dot = path.rfind('.');
  if (dot != std::string::npos && path.substr(dot + 1) == table_name) {
    recording.tables[path.substr(0, dot)] = value.shape();
    return;
  }
  Event& event = add(Event::Kind::value, path);
  event.shapes.push_back(value.shape());
  if (keep_ == Keep::tensors) event.result = value;
}

void Recorder::operation(const std::string& path, const char* name, std::span<const Tensor* const>,
                         const Tensor& result) {
  if (std::string(name) == "attention_probs") return;  // made for us alone
  Event& event = add(Event::Kind::operation, path);
  event.operation = name;
  event.shapes.push_back(result.shape());
  if (keep_ == Keep::tensors) event.result = result;
}

bool Recorder::wants(const std::string& path) const {
  return keep_ != Keep::times && path.ends_with(std::string(".") + table_name);
}

Recording record(const RunAt& run, int64_t height, int64_t width, Recorder::Keep keep) {
  Recorder recorder(keep);
  const Observe watching(recorder);
  run(height, width);
  return std::move(recorder.recording);
}

// ---- Scaling

namespace {

// 0, 1 or 2 for a value that stays, doubles, or becomes four times as large; -1 for any other.
int power_of_two(double before, double after) {
  for (int power = 0; power <= 2; ++power) {
    if (after == before * (1 << power)) return power;
  }
  return -1;
}

struct Sizes {
  std::string path;   // for messages
  double factor = 1;  // from the small size to the wanted one
};

// From the value of the small run and of those with twice the height and twice the width.
double scaled(const Sizes& sizes, double small, double high, double wide) {
  const int a = power_of_two(small, high), b = power_of_two(small, wide);
  if (a < 0 || b < 0) {
    throw Error("at " + sizes.path + " a size does not grow as height or width do: " + std::to_string(small) +
                " became " + std::to_string(high) + " at twice the height and " + std::to_string(wide) +
                " at twice the width; --timed runs the model at its full size instead");
  }
  return small * std::pow(sizes.factor, a + b);
}

Shape scaled_shape(const Sizes& sizes, const Shape& small, const Shape& high, const Shape& wide) {
  Shape result = small;
  for (int axis = 0; axis < small.rank(); ++axis) {
    const auto extent = [axis](const Shape& shape) { return static_cast<double>(shape[axis]); };
    result =
        result.with(axis, static_cast<int64_t>(scaled(sizes, extent(small), extent(high), extent(wide))));
  }
  return result;
}

}  // namespace

Recording record_scaled(const RunAt& run, int64_t base, int64_t size) {
  Recording result = record(run, base, base, Recorder::Keep::tensors);
  const Recording high = record(run, 2 * base, base, Recorder::Keep::shapes);
  const Recording wide = record(run, base, 2 * base, Recorder::Keep::shapes);
  Sizes sizes;
  sizes.factor = static_cast<double>(size) / static_cast<double>(base);

  for (size_t i = 0; i < result.events.size(); ++i) {
    Event& event = result.events[i];
    sizes.path = event.path;
    if (i >= high.events.size() || i >= wide.events.size() || high.events[i].path != event.path ||
        wide.events[i].path != event.path || high.events[i].operation != event.operation) {
      throw Error("at " + event.path +
                  " the model does other things at other sizes; --timed runs it at its " +
                  "full size instead");
    }
    for (size_t k = 0; k < event.shapes.size(); ++k) {
      event.shapes[k] =
          scaled_shape(sizes, event.shapes[k], high.events[i].shapes[k], wide.events[i].shapes[k]);
    }
    event.flops = scaled(sizes, event.flops, high.events[i].flops, wide.events[i].flops);
  }
  for (auto& [path, table] : result.tables) {
    sizes.path = path;
    table = scaled_shape(sizes, table, high.tables.at(path), wide.tables.at(path));
  }
  return result;
}

// ---- Boxes

namespace {

// Paths of all boxes, to their place in the tree.
void index_boxes(Box& box, std::map<std::string, Box*>& index) {
  index[box.path] = &box;
  for (Box& child : box.children) index_boxes(child, index);
}

std::string path_around(const std::string& path) {
  const size_t dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

// A box that only holds others (the VAE as a whole) has no result of its own: its last part's counts.
void complete(Box& box, bool timed) {
  double seconds = 0;
  for (Box& child : box.children) {
    complete(child, timed);
    seconds += child.seconds;
  }
  if (box.output || box.children.empty()) return;
  box.output = box.children.back().output;
  if (timed) box.seconds = seconds;
}

}  // namespace

void fill_in(Box& root, const Recording& recording, bool timed) {
  std::map<std::string, Box*> boxes;
  index_boxes(root, boxes);
  std::map<std::string, double> began;  // boxes that are running
  double before = 0;
  for (const Event& event : recording.events) {
    for (std::string path = event.path; !path.empty(); path = path_around(path)) {
      const auto found = boxes.find(path);
      if (found == boxes.end()) continue;
      found->second->flops += event.flops;
      const bool by_itself = event.kind == Event::Kind::enter && path == event.path;
      began.try_emplace(path, by_itself ? event.seconds : before);
    }
    const auto box = boxes.find(event.path);
    if (event.kind == Event::Kind::value && box != boxes.end()) {
      box->second->output = event.shapes.front();
      if (timed) box->second->seconds += event.seconds - began[event.path];
      began.erase(event.path);
    }
    before = event.seconds;
  }
  complete(root, timed);
}

}  // namespace cutaway::describe
