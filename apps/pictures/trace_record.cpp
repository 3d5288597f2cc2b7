#include "apps/pictures/trace_record.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "apps/options/compat_options.h"
#include "tensor/backend.h"
#include "tensor/error.h"
#include "tensor/files/file_writer.h"
#include "tensor/files/text.h"
#include "tensor/ops.h"

namespace cutaway::pictures {
namespace {

// Nine digits tell every float from its neighbours, seventeen every double.
std::string exact_text(float value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", static_cast<double>(value));
  return text;
}
std::string exact_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

class MetadataReader {
 public:
  MetadataReader(const Metadata& metadata, const std::string& file) : metadata_(metadata), file_(file) {}

  const std::string& text(const std::string& key) const {
    const std::string* value = find_text(metadata_, key);
    if (value == nullptr) {
      throw Error(file_ + " does not say its " + in_quotes(key) +
                  ", so its run cannot be repeated; was it made by `cutaway trace`?");
    }
    return *value;
  }

  template <class Number>
  Number number(const std::string& key) const {
    const std::string& value = text(key);
    Number number{};
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc() || end != value.data() + value.size()) {
      throw Error(file_ + ": its " + in_quotes(key) + " is " + in_quotes(value) + ", which is no number");
    }
    return number;
  }

 private:
  const Metadata& metadata_;
  const std::string& file_;
};

struct NetworkInputs {
  const char* network;
  std::vector<const char*> inputs;
};

const std::vector<NetworkInputs>& networks() {
  static const std::vector<NetworkInputs> all = {
      {"unet", {"sample", "timestep", "encoder_hidden_states"}},
      {"vae-decode", {"latent"}},
      {"vae-encode", {"image"}},
      {"text_encoder", {"input_ids"}},
  };
  return all;
}

void need_rank(const std::string& name, const Tensor& tensor, int rank, const char* layout) {
  if (tensor.shape().rank() != rank)
    throw Error("the input " + name + " is " + to_string(tensor.shape()) + ", but must be " + layout);
}

}  // namespace

const std::string* find_text(const Metadata& metadata, const std::string& key) {
  const auto found = metadata.find(key);
  return found == metadata.end() ? nullptr : &found->second;
}

Metadata to_metadata(const GenerateOptions& options) {
  Metadata metadata{{"format", trace_format},
                    {"prompt", options.prompt},
                    {"negative prompt", options.negative_prompt},
                    {"sampler", options.sampler->name},
                    {"steps", std::to_string(options.steps)},
                    {"cfg", exact_text(options.guidance_scale)},
                    {"eta", exact_text(options.eta)},
                    {"seed", std::to_string(options.seed)},
                    {"batch", std::to_string(options.batch)},
                    {"width", std::to_string(options.width)},
                    {"height", std::to_string(options.height)},
                    {"latents", options.start ? "given" : "from the seed"}};
  if (options.guidance_rescale != 0) metadata["cfg rescale"] = exact_text(options.guidance_rescale);
  if (options.image) {
    metadata["image"] = "given";
    metadata["strength"] = exact_text(options.strength.value_or(options.mask ? 1 : default_strength));
  }
  if (options.mask) metadata["mask"] = "given";
  metadata.merge(to_texts(options));
  return metadata;
}

namespace {

GenerateOptions from_metadata(const Metadata& metadata, const std::string& file) {
  const MetadataReader read(metadata, file);
  GenerateOptions options;
  options.prompt = read.text("prompt");
  options.negative_prompt = read.text("negative prompt");
  options.sampler = &sampler_named(read.text("sampler"));
  options.steps = read.number<int>("steps");
  options.guidance_scale = read.number<float>("cfg");
  if (find_text(metadata, "cfg rescale") != nullptr)
    options.guidance_rescale = read.number<float>("cfg rescale");
  options.eta = read.number<float>("eta");
  options.seed = read.number<uint64_t>("seed");
  options.batch = read.number<int64_t>("batch");
  options.width = read.number<int64_t>("width");
  options.height = read.number<int64_t>("height");
  if (find_text(metadata, "strength") != nullptr) options.strength = read.number<double>("strength");
  apply(compat_in(metadata), options);
  return options;
}

std::string edit_key(size_t i) { return "edit " + std::to_string(i); }

}  // namespace

void add_edits(Metadata& metadata, const std::vector<std::string>& edits) {
  for (size_t i = 0; i < edits.size(); ++i) metadata[edit_key(i)] = edits[i];
}

std::vector<std::string> recorded_edits(const Metadata& metadata) {
  std::vector<std::string> edits;
  while (const std::string* edit = find_text(metadata, edit_key(edits.size()))) edits.push_back(*edit);
  return edits;
}

Metadata program_metadata() {
  return {{"program", std::string("cutaway ") + CUTAWAY_VERSION + ", compiler " + __VERSION__},
          {"backend", chosen_backend()},
          {"isa", to_string(current_isa())}};
}

bool made_by_this_program(const Metadata& metadata) {
  for (const auto& [key, value] : program_metadata()) {
    const std::string* recorded = find_text(metadata, key);
    if (recorded == nullptr || *recorded != value) return false;
  }
  return true;
}

std::vector<std::string> network_names() {
  std::vector<std::string> names;
  for (const NetworkInputs& network : networks()) names.emplace_back(network.network);
  return names;
}

NetworkCall read_call(const std::string& network, const SafetensorsFile& file, const std::string& prefix) {
  for (const NetworkInputs& known : networks()) {
    if (network != known.network) continue;
    NetworkCall call{network, {}};
    for (const char* name : known.inputs) {
      const StoredTensor& stored = file.at(prefix + name);
      if (stored.dtype.starts_with("F") || stored.dtype.starts_with("BF")) {
        call.inputs.push_back({name, stored.to_tensor()});
        continue;
      }
      std::vector<float> values;  // whole numbers below 2^24, such as token ids, stay exact
      for (const int64_t value : stored.to_integers()) values.push_back(static_cast<float>(value));
      Shape shape{static_cast<int64_t>(values.size())};
      if (stored.shape.size() == 2) shape = {stored.shape[0], stored.shape[1]};
      call.inputs.push_back({name, Tensor(shape, values)});
    }
    return call;
  }
  std::string names;
  for (const std::string& name : network_names()) names += (names.empty() ? "" : ", ") + name;
  throw Error("there is no network " + in_quotes(network) + "; known are " + names);
}

void run_call(const StableDiffusion& model, const NetworkCall& call) {
  const auto input = [&](size_t i) { return call.inputs.at(i).tensor; };
  if (call.network == "unet") {
    const Tensor sample = input(0), timestep = input(1), prompt = input(2);
    need_rank("sample", sample, 4, "[N, C, H, W]");
    need_rank("encoder_hidden_states", prompt, 3, "[N, T, C]");
    const int64_t images = sample.shape()[0];
    if (timestep.count() != 1 && timestep.count() != images)
      throw Error("the input timestep holds " + std::to_string(timestep.count()) +
                  " numbers, but must hold 1 or " + std::to_string(images) + ", one for each image");
    std::vector<float> times(static_cast<size_t>(images), timestep.data()[0]);
    if (timestep.count() == images) times.assign(timestep.values().begin(), timestep.values().end());
    model.unet(sample, times, prompt);
  } else if (call.network == "vae-decode") {
    model.vae.decode(input(0));
  } else if (call.network == "vae-encode") {
    model.vae.encode(input(0));
  } else {
    const Tensor ids = input(0);
    need_rank("input_ids", ids, 2, "[N, T]");
    TokenIds tokens{ids.shape()[0], ids.shape()[1], {}};
    for (const float id : ids.values()) tokens.ids.push_back(static_cast<int64_t>(id));
    model.text_encoder(tokens);
  }
}

void repeat_run(const StableDiffusion& model, const SafetensorsFile& trace) {
  if (const std::string* network = find_text(trace.metadata(), "network")) {
    run_call(model, read_call(*network, trace, "call/in/"));
    return;
  }
  GenerateOptions options = from_metadata(trace.metadata(), trace.path());
  const auto is_given = [&](const char* key) {
    const std::string* text = find_text(trace.metadata(), key);
    return text != nullptr && *text == "given";
  };
  if (is_given("latents")) options.start = trace.at("run/in/noise").to_tensor();
  if (is_given("image")) options.image = trace.at("run/in/image").to_tensor();
  if (is_given("mask")) options.mask = trace.at("run/in/mask").to_tensor();
  model.generate(options);
}

void TraceManifest::add(const std::string& trace_path, const std::vector<NamedTensor>& tensors,
                        const std::string& model) {
  namespace fs = std::filesystem;
  const fs::path trace = fs::absolute(trace_path);
  nlohmann::ordered_json entries = nlohmann::json::object();
  for (const NamedTensor& named : tensors) {
    const bool is_value = named.name.find("/trace/") != std::string::npos;
    nlohmann::ordered_json entry{
        {"role", is_value ? "trace" : "in"}, {"shape", nlohmann::json::array()}, {"dtype", "F32"}};
    for (int axis = 0; axis < named.tensor.shape().rank(); ++axis)
      entry["shape"].push_back(named.tensor.shape()[axis]);
    if (is_value) {
      double largest = 0;
      for (const float x : named.tensor.values())
        largest = std::max(largest, std::fabs(static_cast<double>(x)));
      entry["atol"] = std::max(2e-5 * largest, 1e-7);
    }
    entries[named.name] = std::move(entry);
  }
  folder_ = trace.parent_path().string();
  cases_[trace.filename().string()] = {{"kind", "recorded_run"},
                                       {"weights", "none"},
                                       {"params", {{"model", fs::absolute(model).string()}}},
                                       {"tensors", entries}};
}

void TraceManifest::write() const {
  FileWriter file(folder_ + "/manifest.json");
  file.write(cases_.dump(1));
  file.commit();
}

}  // namespace cutaway::pictures
