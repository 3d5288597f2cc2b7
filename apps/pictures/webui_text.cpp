#include "apps/pictures/webui_text.h"

#include <map>
#include <sstream>

#include "tensor/error.h"
#include "tensor/files/text.h"

namespace cutaway::pictures {
namespace {

// webui's names of the samplers that are here too.
const std::map<std::string, std::string>& samplers() {
  static const std::map<std::string, std::string> names = {
      {"DDIM", "ddim"},
      {"Euler", "euler"},
      {"Euler a", "euler_ancestral"},
      {"DPM++ 2M", "dpmpp_2m"},
      {"DPM++ 2M Karras", "dpmpp_2m_karras"},
  };
  return names;
}

std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \n\r\t"), last = text.find_last_not_of(" \n\r\t");
  return first == std::string::npos ? "" : text.substr(first, last - first + 1);
}

// "Steps: 20, Sampler: Euler a, CFG scale: 7": what stands behind each name, up to
// the next comma that is not within quotes.
std::map<std::string, std::string> fields_of(const std::string& line) {
  std::map<std::string, std::string> fields;
  std::string part;
  bool quoted = false;
  for (const char c : line + ",") {
    if (c == '"') quoted = !quoted;
    if (c != ',' || quoted) {
      part += c;
      continue;
    }
    if (const size_t colon = part.find(':'); colon != std::string::npos)
      fields[trimmed(part.substr(0, colon))] = trimmed(part.substr(colon + 1));
    part.clear();
  }
  return fields;
}

}  // namespace

std::vector<PngText> from_webui_text(const std::string& path, const std::string& text) {
  // The prompt, then "Negative prompt: ..." where there is one, each of any
  // number of lines; then one line of fields.
  std::string prompt, negative, fields_line;
  std::string* part = &prompt;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("Steps: ")) {
      fields_line = line;
      break;
    }
    constexpr std::string_view mark = "Negative prompt:";
    if (line.starts_with(mark)) {
      part = &negative;
      line = line.substr(mark.size());
    }
    *part += line + "\n";
  }
  std::map<std::string, std::string> fields = fields_of(fields_line);
  if (fields_line.empty() || !fields.contains("Seed"))
    throw Error(path + " has a text \"parameters\", but no line of steps and seed in it, as webui writes it");

  std::string sampler = fields["Sampler"];
  if (fields["Schedule type"] == "Karras") sampler += " Karras";
  if (!samplers().contains(sampler))
    throw Error(path + " was drawn by webui with the sampler " + in_quotes(sampler) +
                ", which is not here: choose another by --sampler on a run with its prompt and seed");
  std::vector<PngText> texts = {{"prompt", trimmed(prompt)},         {"negative prompt", trimmed(negative)},
                                {"sampler", samplers().at(sampler)}, {"steps", fields["Steps"]},
                                {"cfg", fields["CFG scale"]},        {"seed", fields["Seed"]}};
  if (const size_t x = fields["Size"].find('x'); x != std::string::npos) {
    texts.push_back({"width", fields["Size"].substr(0, x)});
    texts.push_back({"height", fields["Size"].substr(x + 1)});
  }
  return texts;
}

}  // namespace cutaway::pictures
