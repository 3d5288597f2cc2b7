#include "models/checkpoints/networks.h"

#include <filesystem>

#include "models/checkpoints/checkpoint.h"
#include "models/checkpoints/config.h"
#include "nn/formula_weights.h"
#include "tensor/error.h"
#include "tensor/files/json.h"

namespace cutaway {
namespace {

namespace fs = std::filesystem;

std::string place(const std::string& path, bool folder, const std::string& part) {
  if (!folder) return path + ", " + part;
  return path + "/" + part + (part == "scheduler" ? "/scheduler_config.json" : "/config.json");
}

// The networks without their weights.
Networks empty_networks(const std::string& path, bool folder, nlohmann::json sizes) {
  return Networks{
      .text_encoder =
          CLIPTextModel(clip_text_config(sizes.at("text_encoder"), place(path, folder, "text_encoder"))),
      .unet = UNet(unet_config(sizes.at("unet"), place(path, folder, "unet"))),
      .vae = AutoencoderKL(vae_config(sizes.at("vae"), place(path, folder, "vae"))),
      .sizes = std::move(sizes),
      .path = path,
      .folder = folder,
  };
}

Networks from_folder(const std::string& folder, const std::string& variant) {
  nlohmann::json sizes;
  for (const char* part : {"text_encoder", "unet", "vae", "scheduler"}) {
    sizes[part] = read_json_file(place(folder, true, part));
  }
  Networks networks = empty_networks(folder, true, std::move(sizes));
  networks.each([&](const std::string& part, auto& network) {
    const TensorSet tensors = TensorSet::of_folder(folder + "/" + part, variant);
    load_weights(network, part, part_in_folder(tensors, weight_names(network)));
  });
  return networks;
}

Networks from_file(const std::string& file) {
  const TensorSet tensors = TensorSet::of_file(file);
  const CheckpointSummary what = summary_of(tensors);
  if (!what.family.starts_with("sd1") || what.naming != "compvis") {
    throw Error(file + " is no Stable Diffusion 1.x checkpoint but " + what.family + " (" + what.naming +
                " naming): " + what.advice);
  }
  Networks networks = empty_networks(file, false, compvis_sizes(tensors));
  load_weights(networks.text_encoder, "text_encoder",
               text_encoder_in_compvis(tensors, weight_names(networks.text_encoder)));
  load_weights(networks.unet, "unet", unet_in_compvis(tensors, networks.unet));
  load_weights(networks.vae, "vae", vae_in_compvis(tensors, networks.vae));
  return networks;
}

}  // namespace

Networks formula_networks() {
  const FormulaSource source;
  Networks networks = empty_networks("formula:sd15", false, sd15_sizes());
  networks.each([&](const char* part, auto& network) { load_weights(network, part, source); });
  return networks;
}

std::string Networks::where(const std::string& part) const { return place(path, folder, part); }

Networks load_networks(const std::string& path, const std::string& variant) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) throw Error("there is no model folder or file " + path);
  return fs::is_directory(path, ignored) ? from_folder(path, variant) : from_file(path);
}

}  // namespace cutaway
