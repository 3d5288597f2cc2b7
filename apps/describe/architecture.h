// apps/describe/: the architecture as figures, trees and tables, drawn from a run.
//
// Architecture: the boxes of a model and the recorded run that fills them in.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "apps/describe/box.h"
#include "tensor/observers/recorder.h"

namespace cutaway::describe {

using observers::Event;

enum class Part { text_encoder, unet, vae, all };

struct DescribeOptions {
  std::string model;  // a folder; "" for the sizes of SD 1.5, which need no file
  Part part = Part::all;
  int64_t pixels = 0;  // width and height of the picture; 0 is the size the model was trained at
  bool timed = false;  // run it in earnest, too
  std::function<void(double flop)> before_timed = {};  // told the work of that run before it begins
};

struct Architecture {
  Box root;                   // the one part that was asked for, or all of them
  std::vector<Event> events;  // of a dry run of all parts, one after another: tensors without numbers
  int64_t pixels = 0;
  std::string model;  // for headings: "Stable Diffusion 1.5" or the folder
  int64_t latent_channels = 0, latent_size = 0;
};

/// Loads or makes the model and runs it. Throws Error when the model
/// cannot be loaded or `pixels` does not divide.
Architecture describe_model(const DescribeOptions& options);

}  // namespace cutaway::describe
