#include "apps/describe/skips.h"

#include <algorithm>

namespace cutaway::describe {
namespace {

// The box inside a level (or inside the UNet itself) whose result the skip shares memory with: the outermost
// one that is not a whole level, since a level's result is that of its last box.
std::string maker_of(const Recording& recording, size_t end, const Box& unet, const Tensor& skip) {
  std::string found;
  for (size_t i = 0; i < end; ++i) {
    const Event& event = recording.events[i];
    if (event.kind != Event::Kind::value || event.result.data() != skip.data()) continue;
    const Box* box = find_box(unet, event.path);
    if (box == nullptr || box->type == "DownBlock") continue;
    if (found.empty() || event.path.size() < found.size()) found = event.path;
  }
  return found;
}

// Are the last channels of `joined` those of the skip?
bool ends_with(const Tensor& joined, const Tensor& skip) {
  const Shape &whole = joined.shape(), &part = skip.shape();
  if (whole.rank() != 4 || whole[1] <= part[1] || whole[2] != part[2] || whole[3] != part[3]) return false;
  return std::equal(skip.values().begin(), skip.values().end(), joined.values().end() - skip.count());
}

// The first box after the joining that takes its result.
std::string taker_of(const Recording& recording, size_t begin, const Tensor& skip) {
  const std::vector<Event>& events = recording.events;
  for (size_t i = begin; i < events.size(); ++i) {
    if (events[i].operation != "concat" || !ends_with(events[i].result, skip)) continue;
    for (size_t k = i + 1; k < events.size(); ++k) {
      if (events[k].kind == Event::Kind::enter && events[k].inputs.front().data() == events[i].result.data())
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
  const std::vector<Event>& events = architecture.recording.events;
  for (size_t i = 0; i < events.size(); ++i) {
    if (events[i].kind != Event::Kind::value || !events[i].path.starts_with("unet.skips.")) continue;
    const Tensor& value = events[i].result;
    skips.push_back({events[i].path, maker_of(architecture.recording, i, *unet, value),
                     taker_of(architecture.recording, i, value), events[i].shapes.front(), value});
  }
  return skips;
}

}  // namespace cutaway::describe
