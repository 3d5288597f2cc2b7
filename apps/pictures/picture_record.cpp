#include "apps/pictures/picture_record.h"

#include <algorithm>
#include <charconv>

#include "apps/pictures/webui_text.h"
#include "tensor/error.h"
#include "tensor/files/png_reader.h"
#include "tensor/files/text.h"

namespace cutaway::pictures {
namespace {

uint64_t number_in(const std::string& path, const std::string& keyword, const std::string& text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || text.empty())
    throw Error(path + " says that its " + in_quotes(keyword) + " is " + in_quotes(text) +
                ", which is no number");
  return number;
}

void set_option(CLI::App& command, const std::string& path, const RecordEntry& entry,
                const std::vector<std::string>& values) {
  CLI::Option* option = command.get_option_no_throw(entry.option);
  if (option == nullptr || values.empty()) return;
  try {
    for (const std::string& value : values) option->add_result(value);
    option->run_callback();
  } catch (const CLI::Error&) {
    throw Error(path + " says that its " + in_quotes(entry.keyword) + " is " + in_quotes(values.front()) +
                ", which " + entry.option + " does not take");
  }
}

// The texts of a picture of ours, or those that one of webui's stands for.
std::vector<PngText> texts_of_run(const std::string& path) {
  std::vector<PngText> texts = read_png(path).texts;
  bool ours = false;
  for (const PngText& text : texts) {
    ours = ours || (text.keyword == "Software" && text.text.starts_with("cutaway"));
    if (text.keyword == "parameters") return from_webui_text(path, text.text);
  }
  if (!ours) {
    throw Error(path + " does not say how it was drawn: it has no text chunks of cutaway" +
                (texts.empty() ? "; some programs remove them when they save a picture" : ""));
  }
  return texts;
}

}  // namespace

const std::vector<RecordEntry>& record_entries() {
  static const std::vector<RecordEntry> entries = {
      {"prompt", "--prompt", ""},
      {"negative prompt", "--negative", ""},
      {"model", "--model", ""},
      {"model hash", "", "--model"},
      {"tokenizer", "--tokenizer", ""},
      {"variant", "--variant", ""},
      {"seed", "--seed", ""},
      {"sampler", "--sampler", ""},
      {"steps", "--steps", ""},
      {"cfg", "--cfg", ""},
      {"cfg rescale", "--cfg-rescale", ""},
      {"eta", "--eta", ""},
      {"width", "--width", ""},
      {"height", "--height", ""},
      {"batch", "--batch", ""},
      {"place in batch", "", ""},
      {"seed of batch", "", ""},
      {"embedding", "--embedding", ""},
      {"compat", "--compat", ""},
      {"prompt weights", "--prompt-weights", ""},
      {"clip skip", "--clip-skip", ""},
      {"schedule", "--schedule", ""},
      {"noise", "--noise", ""},
      {"sheet", "--sheet", ""},
      {"latents", "--latents", ""},
      {"latents hash", "", "--latents"},
      {"init-image", "--init-image", ""},
      {"init-image hash", "", "--init-image"},
      {"mask", "--mask", ""},
      {"mask hash", "", "--mask"},
      {"strength", "--strength", ""},
      {"edit", "--edit", ""},
      {"backend", "--backend", ""},
      {"convolution", "--conv", ""},
      {"dtype", "--dtype", ""},
      {"vae tiling", "--vae-tiling", ""},
      {"instruction set", "", ""},
      {"bands of rows", "", ""},
      {"Software", "", ""},
  };
  return entries;
}

std::vector<PngText> to_texts(const CLI::App& command, const Known& known) {
  std::vector<PngText> texts;
  for (const RecordEntry& entry : record_entries()) {
    std::vector<std::string> values;
    const CLI::Option* option = *entry.option == '\0' ? nullptr : command.get_option_no_throw(entry.option);
    if (const auto found = known.find(entry.keyword); found != known.end()) {
      values = {found->second};
    } else if (option != nullptr && option->count() > 0) {
      values = option->results();
    } else if (option != nullptr) {
      values = {option->get_default_str()};
    }
    for (const std::string& value : values) {
      if (!value.empty()) texts.push_back({entry.keyword, value});
    }
  }
  return texts;
}

EarlierRun::EarlierRun(const std::string& path, CLI::App& command) : path_(path), texts_(texts_of_run(path)) {
  for (const RecordEntry& entry : record_entries()) {
    if (*entry.option == '\0') continue;
    const CLI::Option* option = command.get_option_no_throw(entry.option);
    if (option != nullptr && option->count() > 0) given_.insert(entry.option);
  }
  const CLI::Option* seeds = command.get_option_no_throw("--seeds");
  if (seeds != nullptr && seeds->count() > 0) given_.insert("--seed");  // it stands in its place
  for (const RecordEntry& entry : record_entries()) {
    if (*entry.option == '\0' || given_.contains(entry.option)) continue;
    std::vector<std::string> values = all(entry.keyword);
    const std::string keyword = entry.keyword;
    if (keyword == "batch" && !same_batch()) continue;
    if (keyword == "seed" && place_in_batch() > 0 && !all("seed of batch").empty())
      values = all("seed of batch");
    set_option(command, path_, entry, values);
  }
}

std::vector<std::string> EarlierRun::all(const std::string& keyword) const {
  std::vector<std::string> values;
  for (const PngText& text : texts_) {
    if (text.keyword == keyword) values.push_back(text.text);
  }
  return values;
}

// Another seed or another batch is another run, of which no single picture is meant.
bool EarlierRun::same_batch() const { return !given_.contains("--seed") && !given_.contains("--batch"); }

int64_t EarlierRun::place_in_batch() const {
  const std::vector<std::string> place = all("place in batch"), batch = all("batch");
  if (!same_batch() || place.empty() || batch.empty()) return 0;
  const uint64_t number = number_in(path_, "place in batch", place.front());
  const uint64_t pictures = number_in(path_, "batch", batch.front());
  if (number < 1 || number > pictures)
    throw Error(path_ + " says that it is picture " + place.front() + " of a batch of " + batch.front());
  return static_cast<int64_t>(number);
}

void EarlierRun::check(const Known& known, const std::function<void(const std::string&)>& warning) const {
  for (const RecordEntry& entry : record_entries()) {
    const std::vector<std::string> said = all(entry.keyword);
    const auto found = known.find(entry.keyword);
    if (said.empty() || found == known.end() || found->second == said.front()) continue;
    if (*entry.hash_of != '\0' && !given_.contains(entry.hash_of)) {
      throw Error("the file of " + std::string(entry.hash_of) + " is not the one that " + path_ +
                  " was drawn from: its contents have changed; give " + entry.hash_of +
                  " to draw with what is there now");
    }
    if (const std::string keyword = entry.keyword; keyword == "Software" || keyword == "instruction set") {
      warning(path_ + " was drawn with " + (keyword == "Software" ? "" : "the instruction set ") +
              said.front() + ", this is " + found->second + ": the last bits may differ");
    }
    if (std::string(entry.keyword) == "bands of rows")
      warning(path_ + " was drawn in " + said.front() + " bands of rows: the last bits may differ");
  }
}

}  // namespace cutaway::pictures
