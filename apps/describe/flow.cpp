#include "apps/describe/flow.h"

#include <algorithm>
#include <set>

#include "apps/describe/skips.h"

namespace cutaway::describe {
namespace {

class FlowFinder {
 public:
  FlowFinder(const Architecture& architecture, const Box& box)
      : architecture_(architecture), box_(box), skips_(skips_of(architecture)) {
    for (const Event& event : events()) {
      if (event.kind == Event::Kind::value && event.path == "unet.time_embedding")
        time_ = event.result.tensor.data();
      if (event.kind == Event::Kind::value && event.path == "unet.time_proj")
        waves_ = event.result.tensor.data();
      if (event.kind == Event::Kind::enter && event.path == "unet") prompt_ = event.inputs[1].tensor.data();
    }
  }

  std::vector<Node> find() {
    double flops_before = 0;
    for (const Event& event : events()) {
      if (event.path == box_.path) {
        if (event.kind == Event::Kind::enter) begin(event);
        if (event.kind == Event::Kind::operation) add_operation(event, event.flops - flops_before);
        if (event.kind == Event::Kind::value) {
          add_output(event);
          break;  // of several runs the first is like the others
        }
      } else if (is_inside(event.path, box_.path)) {
        inside(event);
      }
      flops_before = event.flops;
    }
    for (size_t i = 0; i < nodes_.size(); ++i) settle(nodes_[i]);
    return std::move(nodes_);
  }

 private:
  const std::vector<Event>& events() const { return architecture_.events; }

  // Inputs are shown when something takes them: until then they only wait under their own value.
  void begin(const Event& event) {
    for (const observers::Kept& input : event.inputs) waiting_.insert(input.tensor.data());
  }

  int add(Node node, const Tensor& value) {
    nodes_.push_back(std::move(node));
    values_.push_back(value);
    return static_cast<int>(nodes_.size()) - 1;
  }

  // The node that made this value; one for an input, or for what comes from outside unannounced.
  int source_of(const Tensor& value) {
    for (size_t i = values_.size(); i-- > 0;) {
      if (values_[i].data() == value.data()) return static_cast<int>(i);
    }
    Node input;
    input.kind = Node::Kind::input;
    input.shape = value.shape();
    input.role = role_of_input(value);
    for (const Skip& skip : skips_) {
      if (skip.value.data() != value.data() || box_.path == "unet") continue;
      if (waiting_.contains(value.data())) continue;  // also the box's own input
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
      if (event.kind == Event::Kind::enter && event.path == child->path) connect_inputs(node, event);
      open_at_ = add(std::move(node), {});
      open_ = child;
    }
    if (event.kind == Event::Kind::value && event.path == child->path) {
      nodes_[static_cast<size_t>(open_at_)].shape = event.result.shape;
      values_[static_cast<size_t>(open_at_)] = event.result.tensor;
      open_ = nullptr;
    }
  }

  void connect_inputs(Node& node, const Event& event) {
    for (const observers::Kept& input : event.inputs) {
      if (!input.shape) continue;  // a ResBlock without a time step
      const int from = source_of(input.tensor);
      if (std::find(node.from.begin(), node.from.end(), from) == node.from.end()) node.from.push_back(from);
    }
  }

  void add_operation(const Event& event, double flops) {
    Node node;
    node.label = event.operation;
    node.shape = event.result.shape;
    node.flops = flops;
    if (event.operation == "attention") {
      const Shape &q = *event.inputs[0].shape, &k = *event.inputs[1].shape;
      node.table = Shape{q[0], q[1], q[2], k[2]};
    }
    connect_inputs(node, event);
    add(std::move(node), event.result.tensor);
  }

  void add_output(const Event& event) {
    Node node;
    node.kind = Node::Kind::output;
    node.label = "out";
    node.shape = event.result.shape;
    node.from.push_back(source_of(event.result.tensor));
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
      node.note = node.from.size() == 1 ? self_attention : cross_attention;
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
  std::set<const float*> waiting_;
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
