#include "tensor/observers/call_names.h"

#include <fnmatch.h>

#include <cstdio>

#include "tensor/trace.h"

namespace cutaway::observers {

void CallNames::enter(const std::string& path) {
  if (path == "text_encoder") ++text_calls_;
}

std::string CallNames::tag(const std::string& path) const {
  if (trace::step() >= 0) {
    char text[32];
    std::snprintf(text, sizeof text, "step_%02d", trace::step());
    return text;
  }
  if (path.starts_with("text_encoder")) {
    if (text_calls_ <= 1) return "prompt";
    return text_calls_ == 2 ? "negative" : "text_" + std::to_string(text_calls_);
  }
  if (path.starts_with("vae.encoder") || path.starts_with("vae.quant_conv")) return "encode";
  return path.starts_with("vae") ? "decode" : "call";
}

bool path_fits(const std::string& pattern, const std::string& path) {
  return fnmatch(pattern.c_str(), path.c_str(), 0) == 0;
}

}  // namespace cutaway::observers
