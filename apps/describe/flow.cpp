#include "apps/describe/flow.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "apps/describe/skips.h"
#include "tensor/error.h"
#include "tensor/ops.h"

namespace cutaway::describe {
namespace {

// ---- Which values an operation took

using Taken = std::vector<const Tensor*>;

struct Rule {
  const char* name;
  size_t takes;  // how many tensors
  std::function<Tensor(const Taken& in, const Shape& result)> compute;
};

// Every operation that layers call by themselves. Options that are not
// recorded follow from the result's shape.
const std::vector<Rule>& rules() {
  static const std::vector<Rule> list{
      {"silu", 1, [](const Taken& in, const Shape&) { return silu(*in[0]); }},
      {"gelu", 1, [](const Taken& in, const Shape&) { return gelu(*in[0]); }},
      {"quick_gelu", 1, [](const Taken& in, const Shape&) { return quick_gelu(*in[0]); }},
      {"geglu", 1, [](const Taken& in, const Shape&) { return geglu(*in[0]); }},
      {"to_tokens", 1, [](const Taken& in, const Shape&) { return to_tokens(*in[0]); }},
      {"to_image", 1, [](const Taken& in, const Shape& y) { return to_image(*in[0], y[2], y[3]); }},
      {"split_heads", 1, [](const Taken& in, const Shape& y) { return split_heads(*in[0], y[1]); }},
      {"merge_heads", 1, [](const Taken& in, const Shape&) { return merge_heads(*in[0]); }},
      {"upsample_nearest", 1,
       [](const Taken& in, const Shape& y) { return upsample_nearest(*in[0], y[2], y[3]); }},
      {"add", 2, [](const Taken& in, const Shape&) { return add(*in[0], *in[1]); }},
      {"add_per_channel", 2, [](const Taken& in, const Shape&) { return add_per_channel(*in[0], *in[1]); }},
      {"add_to_each", 2, [](const Taken& in, const Shape&) { return add_to_each(*in[0], *in[1]); }},
      {"concat", 2,
       [](const Taken& in, const Shape&) {
         return concat({*in[0], *in[1]}, 1);
       }},
      {"attention", 3, [](const Taken& in, const Shape&) { return attention(*in[0], *in[1], *in[2], {}); }},
      {"attention", 3,
       [](const Taken& in, const Shape&) { return attention(*in[0], *in[1], *in[2], {.causal = true}); }},
  };
  return list;
}

// Equal but for what another version of the operation may round otherwise.
bool same_values(const Tensor& a, const Tensor& b, float tolerance) {
  if (a.shape() != b.shape()) return false;
  float largest = 0, difference = 0;
  for (int64_t i = 0; i < a.count(); ++i) {
    largest = std::max(largest, std::fabs(b.data()[i]));
    difference = std::max(difference, std::fabs(a.data()[i] - b.data()[i]));
  }
  return difference <= tolerance * largest;
}

bool gives(const Rule& rule, const Taken& in, const Tensor& result, float tolerance) {
  try {
    return same_values(rule.compute(in, result.shape()), result, tolerance);
  } catch (const Error&) {
    return false;  // shapes that do not go together
  }
}

// ---- The flow of one box

class FlowFinder {
 public:
  FlowFinder(const Architecture& architecture, const Box& box)
      : architecture_(architecture), box_(box), skips_(skips_of(architecture)) {
    for (const Event& event : events()) {
      if (event.kind == Event::Kind::value && event.path == "unet.time_embedding")
        time_ = event.result.data();
      if (event.kind == Event::Kind::value && event.path == "unet.time_proj") waves_ = event.result.data();
      if (event.kind == Event::Kind::enter && event.path == "unet") prompt_ = event.inputs[1].data();
    }
  }

  std::vector<Node> find() {
    for (const Event& event : events()) {
      if (event.path == box_.path) {
        if (event.kind == Event::Kind::enter) begin(event);
        if (event.kind == Event::Kind::operation) add_operation(event);
        if (event.kind == Event::Kind::value) {
          add_output(event);
          break;  // of several runs the first is like the others
        }
      } else if (is_inside(event.path, box_.path)) {
        inside(event);
      }
    }
    for (size_t i = 0; i < nodes_.size(); ++i) settle(nodes_[i]);
    return std::move(nodes_);
  }

 private:
  const std::vector<Event>& events() const { return architecture_.recording.events; }

  // Inputs are shown when something takes them: until then they only wait under their own value.
  void begin(const Event& event) {
    for (size_t i = 0; i < event.inputs.size(); ++i) waiting_.emplace_back(event.inputs[i], event.shapes[i]);
  }

  int add(Node node, const Tensor& value) {
    nodes_.push_back(std::move(node));
    values_.push_back(value);
    return static_cast<int>(nodes_.size()) - 1;
  }

  // The node that made this value; one for an input, or for what comes from outside unannounced.
  int source_of(const Tensor& value, const Shape& shape) {
    for (size_t i = values_.size(); i-- > 0;) {
      if (values_[i].data() == value.data()) return static_cast<int>(i);
    }
    Node input;
    input.kind = Node::Kind::input;
    input.shape = shape;
    input.role = role_of_input(value);
    for (const Skip& skip : skips_) {
      if (skip.value.data() != value.data() || box_.path == "unet") continue;
      if (std::any_of(waiting_.begin(), waiting_.end(),
                      [&](const auto& known) { return known.first.data() == value.data(); }))
        continue;  // also the box's own input
      input.kind = Node::Kind::skip;
      input.role = Role::skip;
      input.skip = skip.path;
    }
    input.label = input.kind == Node::Kind::skip ? "skip " + input.skip.substr(input.skip.rfind('.') + 1)
                                                 : label_of_input(input, value);
    return add(std::move(input), value);
  }

  Role role_of_input(const Tensor& value) const {
    if (value.data() == time_ || value.data() == waves_) return Role::time;
    if (value.data() == prompt_ || box_.path.starts_with("text_encoder")) return Role::prompt;
    return Role::image;
  }

  std::string label_of_input(const Node& input, const Tensor& value) const {
    if (value.data() == waves_) return "waves of t";
    if (input.role == Role::time) return "time step";
    if (input.role == Role::prompt) return "prompt";
    if (input.shape->rank() == 3) return "image tokens";
    const int64_t channels = input.shape->rank() == 4 ? (*input.shape)[1] : 0;
    return channels == 3 ? "picture" : channels == architecture_.latent_channels ? "latent" : "image";
  }

  void inside(const Event& event) {
    const Box* child = nullptr;
    for (const Box& part : box_.children) {
      if (part.path == event.path || is_inside(event.path, part.path)) child = &part;
    }
    if (child == nullptr) return;  // a named inner value: its operation is already there
    if (open_ != child) {          // a box without tensors for inputs begins with what is in it
      Node node;
      node.kind = Node::Kind::box;
      node.label = child->name;
      node.box = child;
      if (event.kind == Event::Kind::enter && event.path == child->path) {
        for (size_t i = 0; i < event.inputs.size(); ++i)
          connect(node, source_of(event.inputs[i], event.shapes[i]));
      }
      open_at_ = add(std::move(node), {});
      open_ = child;
    }
    if (event.kind == Event::Kind::value && event.path == child->path) {
      nodes_[static_cast<size_t>(open_at_)].shape = event.shapes.front();
      values_[static_cast<size_t>(open_at_)] = event.result;
      open_ = nullptr;
    }
  }

  static void connect(Node& node, int from) {
    if (std::find(node.from.begin(), node.from.end(), from) == node.from.end()) node.from.push_back(from);
  }

  void add_operation(const Event& event) {
    Node node;
    node.label = event.operation;
    node.shape = event.shapes.front();
    node.flops = event.flops;
    const auto table = architecture_.recording.tables.find(event.path);
    if (event.operation == "attention" && table != architecture_.recording.tables.end())
      node.table = table->second;

    const std::vector<Known> known = known_values();
    for (const float tolerance : {0.0F, 1e-5F}) {  // to the bit first: inputs may be nearly alike
      for (const Rule& rule : rules()) {
        if (event.operation != rule.name || !node.from.empty()) continue;
        std::vector<Known> chosen;
        if (search(rule, known, event.result, tolerance, chosen)) {
          for (const Known& value : chosen) connect(node, source_of(value.value, value.shape));
        }
      }
    }
    const bool makes_from_nothing =
        event.operation == "timestep_embedding" || event.operation == "embedding" || box_.children.empty();
    if (node.from.empty() && !nodes_.empty() && !makes_from_nothing)
      node.from.push_back(static_cast<int>(nodes_.size()) - 1);  // at a loss, the value before
    add(std::move(node), event.result);
  }

  struct Known {
    Tensor value;
    Shape shape;
  };

  // Skip connections, then inputs, then what was made here, in the order it was made.
  std::vector<Known> known_values() const {
    std::vector<Known> known;
    const auto add = [&](const Tensor& value, const Shape& shape) {
      const bool there = std::any_of(known.begin(), known.end(),
                                     [&](const Known& other) { return other.value.data() == value.data(); });
      if (!value.empty() && !there) known.push_back({value, shape});
    };
    for (const Skip& skip : skips_) add(skip.value, skip.shape);
    for (const auto& [value, shape] : waiting_) add(value, shape);
    for (size_t i = 0; i < values_.size(); ++i) add(values_[i], nodes_[i].shape.value_or(Shape()));
    return known;
  }

  // Tries all choices of different values. Where the image is one pixel several fit, for an attention over
  // one token gives v whatever q and k are. Then an operation of one or two values has the newest; of three,
  // as q, k and v, those in the order in which they were made.
  static bool search(const Rule& rule, const std::vector<Known>& known, const Tensor& result, float tolerance,
                     std::vector<Known>& chosen) {
    if (chosen.size() == rule.takes) {
      Taken in;
      for (const Known& value : chosen) in.push_back(&value.value);
      return gives(rule, in, result, tolerance);
    }
    for (size_t i = 0; i < known.size(); ++i) {
      const Known& value = known[rule.takes < 3 ? known.size() - 1 - i : i];
      if (std::any_of(chosen.begin(), chosen.end(),
                      [&](const Known& other) { return other.value.data() == value.value.data(); }))
        continue;
      chosen.push_back(value);
      if (search(rule, known, result, tolerance, chosen)) return true;
      chosen.pop_back();
    }
    return false;
  }

  void add_output(const Event& event) {
    Node node;
    node.kind = Node::Kind::output;
    node.label = "out";
    node.shape = event.shapes.front();
    node.from.push_back(source_of(event.result, event.shapes.front()));
    add(std::move(node), {});
  }

  // What a node is about, and where its result goes outside of this box.
  void settle(Node& node) const {
    if (!node.from.empty()) {
      node.role = Role::time;
      for (const int from : node.from) {
        const Role role = nodes_[static_cast<size_t>(from)].role;
        if (role == Role::prompt && node.role == Role::time) node.role = Role::prompt;
        if (role == Role::image || role == Role::skip) node.role = Role::image;
      }
    } else if (box_.path.starts_with("text_encoder")) {
      node.role = Role::prompt;
    }
    node.reshapes = node.shape && std::none_of(node.from.begin(), node.from.end(), [&](int from) {
                      return nodes_[static_cast<size_t>(from)].shape == node.shape;
                    });
    if (node.box != nullptr && node.box->type == "CrossAttention")
      node.note = node.from.size() == 1 ? "self" : "cross";
    for (const Skip& skip : skips_) {
      if (node.kind != Node::Kind::box || skip.from != node.box->path) continue;
      node.skip = skip.path;
      node.to = skip.to;
    }
  }

  const Architecture& architecture_;
  const Box& box_;
  std::vector<Skip> skips_;
  const float *time_ = nullptr, *waves_ = nullptr, *prompt_ = nullptr;
  std::vector<Node> nodes_;
  std::vector<Tensor> values_;  // of the nodes
  std::vector<std::pair<Tensor, Shape>> waiting_;
  const Box* open_ = nullptr;
  int open_at_ = 0;
};

}  // namespace

std::vector<Node> flow_of(const Architecture& architecture, const Box& box) {
  return FlowFinder(architecture, box).find();
}

std::string level_name(const std::string& path) {
  for (const auto& [prefix, letter] : {std::pair<std::string, std::string>{"unet.down_blocks.", "d"},
                                       std::pair<std::string, std::string>{"unet.up_blocks.", "u"}}) {
    if (path.starts_with(prefix)) return letter + std::to_string(std::stoi(path.substr(prefix.size())) + 1);
  }
  return path == "unet.mid_block" || is_inside(path, "unet.mid_block") ? "m" : "";
}

}  // namespace cutaway::describe
