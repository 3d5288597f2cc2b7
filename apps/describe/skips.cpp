#include "apps/describe/skips.h"

#include <algorithm>

namespace cutaway::describe {
namespace {

// The box inside a level (or inside the UNet itself) whose result the skip shares memory with: the outermost
// one that is not a whole level, since a level's result is that of its last box.
std::string maker_of(const std::vector<Event>& events, size_t end, const Box& unet, const Tensor& skip) {
  std::string found;
  for (size_t i = 0; i < end; ++i) {
    const Event& event = events[i];
    if (event.kind != Event::Kind::value || event.result.tensor.data() != skip.data()) continue;
    const Box* box = find_box(unet, event.path);
    if (box == nullptr || box->type == "DownBlock") continue;
    if (found.empty() || event.path.size() < found.size()) found = event.path;
  }
  return found;
}

bool takes(const Event& event, const Tensor& value) {
  return std::any_of(event.inputs.begin(), event.inputs.end(),
                     [&](const observers::Kept& input) { return input.tensor.data() == value.data(); });
}

// The first box after its concatenation that takes the result of that.
std::string taker_of(const std::vector<Event>& events, size_t begin, const Tensor& skip) {
  for (size_t i = begin; i < events.size(); ++i) {
    if (events[i].operation != "concat" || !takes(events[i], skip)) continue;
    for (size_t k = i + 1; k < events.size(); ++k) {
      if (events[k].kind == Event::Kind::enter && takes(events[k], events[i].result.tensor))
        return events[k].path;
    }
  }
  return "";
}

}  // namespace

std::vector<Skip> skips_of(const Architecture& architecture) {
  std::vector<Skip> skips;
  const Box* unet = find_box(architecture.root, "unet");
  if (unet == nullptr) return skips;
  const std::vector<Event>& events = architecture.events;
  for (size_t i = 0; i < events.size(); ++i) {
    if (events[i].kind != Event::Kind::value || !events[i].path.starts_with("unet.skips.")) continue;
    const Tensor& value = events[i].result.tensor;
    skips.push_back({events[i].path, maker_of(events, i, *unet, value), taker_of(events, i, value),
                     value.shape(), value});
  }
  return skips;
}

}  // namespace cutaway::describe
