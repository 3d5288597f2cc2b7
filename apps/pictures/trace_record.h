// What a trace says about the run it was made from, so that the run can be repeated.   Doc: docs/compare.md
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "models/stable_diffusion.h"
#include "tensor/files/safetensors.h"

namespace cutaway::pictures {

using Metadata = std::map<std::string, std::string>;

constexpr const char* trace_format = "cutaway trace 1";

/// Null when the metadata have no such key.
const std::string* find_text(const Metadata& metadata, const std::string& key);

/// A run from prompt to picture as text pairs, from which repeat_run() reads it back. Tensors are only named:
/// the noise of "run/in/noise", the picture to start from of "run/in/image", the mask of "run/in/mask".
Metadata to_metadata(const GenerateOptions& options);

/// The program, backend and instruction set that made a trace: when they are the same, the numbers must be,
/// to the last bit.
Metadata program_metadata();
bool made_by_this_program(const Metadata& metadata);

/// One call of one network. Its inputs have the names of the original's arguments:
///   unet           sample [N, 4, H, W], timestep [N] or one number, encoder_hidden_states [N, T, 768]
///   vae-decode     latent [N, 4, H, W], as the VAE takes it: divided by scaling_factor
///   vae-encode     image [N, 3, H, W]
///   text_encoder   input_ids [N, T]
struct NetworkCall {
  std::string network;
  std::vector<NamedTensor> inputs;
};

/// The names of the networks, for messages and help.
std::vector<std::string> network_names();
/// Takes the inputs of a call out of a file: those called <prefix><name>. Throws Error when one is missing.
NetworkCall read_call(const std::string& network, const SafetensorsFile& file, const std::string& prefix);
/// Runs it for the sake of whoever observes. Throws Error when the inputs do not fit the model.
void run_call(const StableDiffusion& model, const NetworkCall& call);

/// The edits that a run was recorded with, as given to --edit; and their place in the metadata.
void add_edits(Metadata& metadata, const std::vector<std::string>& edits);
std::vector<std::string> recorded_edits(const Metadata& metadata);

/// Runs what a trace was recorded from once more: the whole way from its prompt to a picture, or one call of
/// one network. Throws Error when it does not say what that was.
void repeat_run(const StableDiffusion& model, const SafetensorsFile& trace);

/// The manifest.json with which `cutaway verify` takes traces as cases: kind "recorded_run", of `model`,
/// each value within 2e-5 of its tensor's largest.
class TraceManifest {
 public:
  void add(const std::string& trace_path, const std::vector<NamedTensor>& tensors, const std::string& model);
  /// Beside the traces. Throws Error when it cannot be written.
  void write() const;

 private:
  std::string folder_;
  nlohmann::ordered_json cases_ = nlohmann::json::object();
};

}  // namespace cutaway::pictures
