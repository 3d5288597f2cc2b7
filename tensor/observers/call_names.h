// Which part of a run a layer's value belongs to.   Doc: docs/compare.md#names
#pragma once

#include <string>

namespace cutaway::observers {

/// Tells the calls of one run apart, since every layer of the UNet runs once a step:
/// "prompt" and "negative" (the text encoder's calls, in that order), "step_00", "step_01", ... (the UNet's),
/// "encode" and "decode" (the VAE's), "call" for a network that runs alone.
class CallNames {
 public:
  /// For every layer that begins, before tag().
  void enter(const std::string& path);
  std::string tag(const std::string& path) const;

 private:
  int text_calls_ = 0;
};

/// Does the dotted path fit a pattern with * and ?, as in a shell? A star also stands for dots:
/// "unet.*.attn2" is every cross-attention.
bool path_fits(const std::string& pattern, const std::string& path);

}  // namespace cutaway::observers
