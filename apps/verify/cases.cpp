#include "apps/verify/cases.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "apps/verify/fixture.h"
#include "tensor/error.h"
#include "tensor/files/text.h"

namespace cutaway::verify {
namespace {

using Runner = std::function<Comparisons(const Case&)>;

// Kinds that are no layer. The others are in blocks.cpp, compvis.cpp and networks.cpp.
const std::map<std::string, Runner>& runners() {
  static const std::map<std::string, Runner> table = {
      {"guidance", run_guidance},
      {"init_formula", run_formula},
      {"names", run_names},
      {"ops", run_operation},
      {"recorded_run", run_recorded_run},
      {"samplers_diffusers", run_diffusers_sampler},
      {"samplers_kdiffusion", run_kdiffusion_sampler},
      {"tokenizer", run_tokenizer},
  };
  return table;
}

// What the reference tensors also have, and this project does not have yet.
const std::map<std::string, std::string>& not_built() {
  static const std::map<std::string, std::string> table = {
      {"compvis_attention_block_legacy", "the attention block of unconditional latent diffusion is"},
      {"compvis_attention_block_new_order", "the attention block of unconditional latent diffusion is"},
      {"controlnet", "ControlNet is"},
      {"ddpm_unet", "the UNet of DDPM is"},
      {"ddpm_unet_diffusers", "the UNet of DDPM is"},
      {"freeu", "FreeU is"},
      {"ip_adapter", "IP-Adapter is"},
      {"compvis_unet", "the UNet of unconditional latent diffusion is"},
      {"lora_diffusers_old", "LoRA is"},
      {"lora_diffusers_peft", "LoRA is"},
      {"lora_kohya", "LoRA is"},
      {"single_file_checkpoint", "loading a checkpoint in one file is"},
      {"t2i_adapter", "T2I-Adapter is"},
      {"tome", "token merging is"},
      {"unet2015", "the UNet of 2015 is"},
      {"unet_milesial", "the UNet of 2015 with batch norm is"},
  };
  return table;
}

// The parts of a file that holds many runs: what stands before /in/, /out/ in its names, in their order.
std::vector<std::string> parts_of_file(const FileEntry& entry) {
  std::vector<std::string> parts;
  const auto add = [&](const std::string& part) {
    if (!part.empty() && std::find(parts.begin(), parts.end(), part) == parts.end()) parts.push_back(part);
  };
  for (const TensorEntry& tensor : entry.tensors) {
    const std::string first = tensor.name.substr(0, tensor.name.find('/'));
    if (first == "in" || first == "out") continue;  // shared by all parts
    if (entry.kind == "ops") {
      add(parts_of(tensor.name).tag);
    } else if (first == "schedule") {
      add(tensor.name.substr(0, tensor.name.rfind('/')));
    } else {
      add(first);
    }
  }
  return parts;
}

bool has_parts(const std::string& kind) {
  return kind == "ops" || kind == "samplers_diffusers" || kind == "samplers_kdiffusion";
}

}  // namespace

std::vector<Case> cases_of(const Manifest& manifest) {
  std::vector<Case> cases;
  for (const FileEntry& entry : manifest.files) {
    const std::vector<std::string> parts =
        has_parts(entry.kind) ? parts_of_file(entry) : std::vector<std::string>{""};
    for (const std::string& part : parts) cases.push_back({&manifest, &entry, part});
  }
  return cases;
}

bool is_run(const std::string& kind) { return runners().contains(kind) || is_layer(kind); }

Comparisons run(const Case& the_case) {
  const std::string& kind = the_case.entry->kind;
  Comparisons comparisons;
  if (const auto runner = runners().find(kind); runner != runners().end()) {
    comparisons = runner->second(the_case);
  } else if (is_layer(kind)) {
    comparisons = run_layer(the_case);
  } else if (const auto missing = not_built().find(kind); missing != not_built().end()) {
    throw NotBuilt(missing->second + " not built yet");
  } else {
    throw NotBuilt("there is no layer or network of the kind " + in_quotes(kind));
  }
  if (comparisons.empty()) throw Error("there is nothing to compare with: no outputs and no traces");
  return comparisons;
}

Comparison compare_with(const SafetensorsFile& file, const TensorEntry& entry, const Tensor& actual,
                        bool merged_axes) {
  if (!entry.atol) return not_compared(entry.name, "the manifest has no tolerance for it");
  return compare(entry.name, actual, file.at(entry.name).to_floats(), entry.shape, *entry.atol, merged_axes);
}

void check_against_manifest(const SafetensorsFile& file, const FileEntry& entry) {
  std::set<std::string_view> listed;
  for (const TensorEntry& tensor : entry.tensors) {
    listed.insert(tensor.name);
    const StoredTensor* stored = file.find(tensor.name);
    if (!stored && tensor.role == Role::input && entry.weights == "formula")
      continue;  // the formula makes it
    if (!stored)
      throw Error(file.path() + " has no " + in_quotes(tensor.name) + ", which the manifest lists");
    if (stored->shape != tensor.shape) {
      throw Error(file.path() + ": " + in_quotes(tensor.name) + " has the shape " + to_string(stored->shape) +
                  ", but in the manifest it is " + to_string(tensor.shape));
    }
  }
  for (const StoredTensor& stored : file.tensors()) {
    const std::string section = parts_of(stored.name).section;
    if (section.empty() || section == "in" || listed.contains(stored.name)) continue;
    throw Error(file.path() + " has " + in_quotes(stored.name) +
                ", for which the manifest has no tolerance to compare with");
  }
}

}  // namespace cutaway::verify
