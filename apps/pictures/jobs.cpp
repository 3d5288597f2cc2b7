#include "apps/pictures/jobs.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <utility>

#include "tensor/error.h"
#include "tensor/files/png_reader.h"
#include "tensor/files/text.h"

namespace cutaway::pictures {
namespace {

constexpr uint64_t most_pictures = 1000000;

template <class Number>
std::optional<Number> whole_number(const std::string& text) {
  Number number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return number;
}

// "a..b" at ".." -> a, b. Nothing where there is no such separator.
std::optional<std::pair<std::string, std::string>> split_at(const std::string& text,
                                                            const std::string& separator) {
  const size_t at = text.find(separator);
  if (at == std::string::npos) return {};
  return std::pair{text.substr(0, at), text.substr(at + separator.size())};
}

}  // namespace

void add_job_options(CLI::App& command, JobOptions& options) {
  command.option_defaults()->group("More pictures");
  command
      .add_option("--prompts-file", options.prompts_file,
                  "More prompts, one a line; empty lines are left out")
      ->type_name("FILE");
  command
      .add_option("--seeds", options.seeds,
                  "Draw each prompt with each of these seeds, first and last included; in place of --seed")
      ->type_name("A..B");
  command
      .add_option(
          "--shard", options.shard,
          "Do only part I of N of the pictures, I from 1 to N: with each part done somewhere, the files "
          "are those of one run")
      ->type_name("I/N");
  command.add_flag("--resume", options.resume,
                   "Leave out the pictures that are there already, whole and drawn in just this way");
}

void add_prompts_of_file(const std::string& path, CLI::App& command) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    throw Error("cannot read the prompts in " + path + ": there is no such file, or it may not be read");
  CLI::Option* option = command.get_option("--prompt");
  bool any = false;
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (number == 1 && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);  // some editors mark UTF-8 by it
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty()) continue;
    if (line.find('\0') != std::string::npos || !is_utf8(line))
      throw Error("line " + std::to_string(number) + " of " + path +
                  " is no text in UTF-8: " + in_quotes(line));
    option->add_result(line);
    any = true;
  }
  if (file.bad()) throw Error("cannot read the prompts in " + path);
  if (!any) throw Error("there is no prompt in " + path + ": it should have one a line");
  option->run_callback();
}

SeedRange to_seed_range(const std::string& text) {
  const auto ends = split_at(text, "..");
  const auto first = whole_number<uint64_t>(ends ? ends->first : text);
  const auto last = ends ? whole_number<uint64_t>(ends->second) : first;
  if (!first || !last || *first > *last)
    throw Error("--seeds is " + in_quotes(text) + ", but must be A..B, from A up to B, such as 0..99");
  return {*first, *last};
}

Shard to_shard(const std::string& text) {
  if (text.empty()) return {};
  const auto parts = split_at(text, "/");
  const auto place = whole_number<int64_t>(parts ? parts->first : ""),
             count = whole_number<int64_t>(parts ? parts->second : "");
  if (!place || !count || *place < 1 || *place > *count)
    throw Error("--shard is " + in_quotes(text) + ", but must be I/N with I from 1 to N, such as 1/8 to 8/8");
  return {*place, *count};
}

std::vector<Job> all_jobs(size_t prompts, const std::string& seeds, uint64_t first_seed, int64_t batch) {
  SeedRange range{first_seed, first_seed};
  if (!seeds.empty()) range = to_seed_range(seeds);
  const uint64_t more = range.last - range.first;  // than one seed
  if (more >= most_pictures || more + 1 > most_pictures / prompts / static_cast<uint64_t>(batch))
    throw Error("these are more than " + std::to_string(most_pictures) +
                " pictures: ask for fewer at a time");
  std::vector<Job> jobs;
  for (size_t prompt = 0; prompt < prompts; ++prompt) {
    const uint64_t shift = seeds.empty() ? prompt * static_cast<uint64_t>(batch) : 0;
    for (uint64_t i = 0; i <= more; ++i)
      jobs.push_back({prompt, range.first + shift + i, static_cast<int64_t>(jobs.size()) * batch});
  }
  return jobs;
}

bool is_finished(const std::string& path, int64_t width, int64_t height, const std::vector<PngText>& texts) {
  try {
    const PngPicture there = read_png(path);
    const auto same = [](const PngText& a, const PngText& b) {
      return a.keyword == b.keyword && a.text == b.text;
    };
    return there.width == width && there.height == height &&
           std::equal(there.texts.begin(), there.texts.end(), texts.begin(), texts.end(), same);
  } catch (const Error&) {
    return false;  // not there, or damaged
  }
}

}  // namespace cutaway::pictures
