#include "apps/options/memory_forecast.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <optional>

#include "tensor/dispatch/dry_run.h"
#include "tensor/error.h"

namespace cutaway {
namespace {

// The number in a line of /proc/self/status: "VmHWM:     12345 kB".
int64_t status_number(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with(key + ":")) continue;
    const size_t digit = line.find_first_of("0123456789");
    int64_t number = 0;
    if (digit == std::string::npos) return 0;
    std::from_chars(line.data() + digit, line.data() + line.size(), number);
    return number;
  }
  return 0;
}

}  // namespace

int64_t resident_bytes() { return 1024 * status_number("VmRSS"); }
int64_t peak_resident_bytes() { return 1024 * status_number("VmHWM"); }
bool being_debugged() { return status_number("TracerPid") != 0; }

Forecast forecast(const StableDiffusion& model, const GenerateOptions& options, const Execution& how,
                  const GenerateEvents& events, Observer* observer) {
  DryRun dry_run;
  {
    std::optional<Observe> observe;
    if (observer != nullptr) observe.emplace(*observer);
    model.generate(options, how, events);
  }
  const DryRunMemory memory = dry_run.finish();
  Forecast forecast;
  forecast.program_bytes = resident_bytes();
  forecast.weight_bytes = memory.peak_other_bytes;
  forecast.tensor_bytes = memory.peak_tensor_bytes;
  forecast.bytes = forecast.program_bytes + memory.peak_bytes;
  return forecast;
}

std::string bytes_text(int64_t bytes) {
  char text[32];
  if (bytes >= 1000000000) {
    std::snprintf(text, sizeof text, "%.2f GB", static_cast<double>(bytes) / 1e9);
  } else {
    std::snprintf(text, sizeof text, "%.0f MB", static_cast<double>(bytes) / 1e6);
  }
  return text;
}

std::string to_string(const Forecast& forecast) {
  return "memory: " + bytes_text(forecast.bytes) + " at the peak: " + bytes_text(forecast.weight_bytes) +
         " of weights mapped from files, " + bytes_text(forecast.tensor_bytes) + " of tensors, " +
         bytes_text(forecast.program_bytes) + " in use before";
}

int64_t bytes_from_text(const std::string& text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string unit;
  for (const char* c = end; c != text.data() + text.size(); ++c) {
    if (*c != ' ') unit += static_cast<char>(std::tolower(static_cast<unsigned char>(*c)));
  }
  double factor = 0;
  for (const auto& [name, bytes] : {std::pair{"", 1.0},
                                    {"b", 1.0},
                                    {"kb", 1e3},
                                    {"mb", 1e6},
                                    {"m", 1e6},
                                    {"gb", 1e9},
                                    {"g", 1e9},
                                    {"kib", 1024.0},
                                    {"mib", 1048576.0},
                                    {"gib", 1073741824.0}}) {
    if (unit == name) factor = bytes;
  }
  const double bytes = number * factor;
  if (error != std::errc() || factor == 0 || !(bytes >= 1 && bytes < 1e15)) {
    throw Error("'" + text + "' is no amount of memory; write it like 3GB, 800MB or 2.5GiB");
  }
  return static_cast<int64_t>(bytes);
}

}  // namespace cutaway
