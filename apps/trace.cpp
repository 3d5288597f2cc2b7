// `cutaway trace`: what every layer of a run takes and gives.   Doc: docs/compare.md
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "apps/inside/inside_options.h"
#include "apps/inside/recorder.h"
#include "apps/inside/run_record.h"
#include "apps/picture_options.h"
#include "models/stable_diffusion.h"
#include "nn/module.h"
#include "tensor/error.h"
#include "tensor/npy.h"
#include "tensor/safetensors.h"

namespace cutaway {
namespace {

using inside::LayerRecord;
using inside::Recorder;

struct TraceArguments {
  PictureOptions picture;
  std::string prompt;
  std::string network, inputs;  // one call of one network instead of a run
  std::vector<std::string> layers, calls;
  bool no_inputs = false, manifest = false;
  std::string out, npy;
  std::string as = "table";
  inside::InsideOptions inside;
  RunOptions run;
};

// The bytes of every layer's weights, with those of the layers inside.
template <class Network>
void add_weight_bytes(Network& network, const std::string& path, std::map<std::string, int64_t>& bytes) {
  for_each_weight(network, path, [&](const std::string& name, const Weight& weight) {
    const int64_t size = weight.shape.count() * bytes_per_value(weight.dtype);
    for (size_t dot = name.rfind('.'); dot != std::string::npos;
         dot = dot == 0 ? dot : name.rfind('.', dot - 1))
      bytes[name.substr(0, dot)] += size;
  });
}

std::map<std::string, int64_t> weight_bytes(StableDiffusion& model) {
  std::map<std::string, int64_t> bytes;
  add_weight_bytes(model.text_encoder, "text_encoder", bytes);
  add_weight_bytes(model.unet, "unet", bytes);
  add_weight_bytes(model.vae, "vae", bytes);
  return bytes;
}

void print_table(const std::vector<LayerRecord>& records) {
  size_t longest = 4;
  for (const LayerRecord& record : records) longest = std::max(longest, record.path.size());
  const int width = static_cast<int>(longest);
  std::printf("%-9s %-*s %-20s %10s %10s %10s %10s %5s %9s %9s %9s\n", "call", width, "path", "shape", "mean",
              "std", "min", "max", "NaN", "ms", "MFLOP", "KB");
  for (const LayerRecord& record : records) {
    const inside::Summary& s = record.summary;
    std::printf("%-9s %-*s %-20s %10.4g %10.4g %10.4g %10.4g %5lld", record.tag.c_str(), width,
                record.path.c_str(), to_string(record.shape).c_str(), s.mean, s.std, s.min, s.max,
                static_cast<long long>(s.nan + s.infinite));
    if (record.is_layer) {
      std::printf(" %9.3f %9.3f %9.1f", 1e3 * record.seconds, 1e-6 * record.flop,
                  static_cast<double>(record.bytes) / 1024);
    }
    std::printf("\n");
  }
}

void print_json(const std::vector<LayerRecord>& records, const inside::Metadata& metadata) {
  nlohmann::ordered_json rows = nlohmann::json::array();
  for (const LayerRecord& record : records) {
    nlohmann::ordered_json row{{"call", record.tag}, {"path", record.path}};
    row["shape"] = nlohmann::json::array();
    for (int axis = 0; axis < record.shape.rank(); ++axis) row["shape"].push_back(record.shape[axis]);
    row["mean"] = inside::json_number(record.summary.mean);
    row["std"] = inside::json_number(record.summary.std);
    row["min"] = inside::json_number(record.summary.min);
    row["max"] = inside::json_number(record.summary.max);
    row["nan"] = record.summary.nan;
    row["infinite"] = record.summary.infinite;
    if (record.is_layer) {
      row["seconds"] = record.seconds;
      row["flop"] = record.flop;
      row["bytes"] = record.bytes;
    }
    rows.push_back(std::move(row));
  }
  const nlohmann::ordered_json all{{"run", metadata}, {"layers", std::move(rows)}};
  std::printf("%s\n", all.dump(1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

// One file a tensor; "/" and ":" of a name become "." so that every name is a file's.
void write_npy_files(const std::string& folder, const std::vector<NamedTensor>& tensors) {
  std::filesystem::create_directories(folder);
  for (const NamedTensor& named : tensors) {
    std::string name = named.name;
    std::replace_if(
        name.begin(), name.end(), [](char c) { return c == '/' || c == ':'; }, '.');
    write_npy(folder + "/" + name + ".npy", named.tensor);
  }
}

// Runs, observed by the recorder. Returns what the trace says about the run, and the tensors that the run
// began with.
std::pair<inside::Metadata, std::vector<NamedTensor>> run(const TraceArguments& arguments,
                                                          const StableDiffusion& model) {
  std::vector<NamedTensor> begin;
  if (!arguments.network.empty()) {
    const inside::NetworkCall call =
        inside::read_call(arguments.network, SafetensorsFile::open(arguments.inputs), "");
    inside::run_call(model, call);
    for (const NamedTensor& input : call.inputs) begin.push_back({"call/in/" + input.name, input.tensor});
    return {{{"format", inside::trace_format}, {"network", arguments.network}}, begin};
  }
  GenerateOptions options = to_generate_options(arguments.picture);
  options.prompt = arguments.prompt;
  const GenerateEvents events{
      .warning =
          [](const std::string& text) { std::fprintf(stderr, "cutaway: warning: %s\n", text.c_str()); },
      .start =
          [&](const Tensor& noise) {
            begin.push_back({"run/in/noise", noise});
          },
  };
  const GenerateResult result = model.generate(options, events);
  begin.push_back({"run/out/latent", result.latent});
  begin.push_back({"run/out/picture", result.picture});
  return {inside::to_metadata(options), begin};
}

void record(const TraceArguments& arguments) {
  apply(arguments.run);
  if (arguments.network.empty() == arguments.prompt.empty())
    throw Error("give --prompt for a whole run, or --network and --inputs for one call of one network");
  if (!arguments.network.empty() && arguments.inputs.empty())
    throw Error("--network needs --inputs: a safetensors file with the network's inputs");
  if (arguments.manifest && arguments.out.empty())
    throw Error("--manifest describes the file of --out; give both");
  if (!arguments.out.empty()) must_be_writable(arguments.out);

  StableDiffusion model = load_model(arguments.picture);
  Recorder::Options options;
  if (!arguments.layers.empty()) options.selection.layers = arguments.layers;
  if (!arguments.calls.empty()) options.selection.calls = arguments.calls;
  options.tensors = !arguments.out.empty() || !arguments.npy.empty();
  options.inputs = !arguments.no_inputs;
  Recorder recorder(options, weight_bytes(model));

  const inside::Watch watch(arguments.inside);
  auto [metadata, tensors] = [&] {
    const Observe observe(recorder);
    return run(arguments, model);
  }();
  watch.check_edits();
  if (recorder.records().empty()) {
    throw Error("no layer of the run fits --layers and --at; without the two, all layers are listed");
  }

  metadata["model"] = arguments.picture.model;
  metadata.merge(inside::program_metadata());
  inside::add_edits(metadata, arguments.inside.edits);
  tensors.insert(tensors.end(), recorder.tensors().begin(), recorder.tensors().end());
  if (!arguments.out.empty()) write_safetensors(arguments.out, tensors, metadata);
  if (arguments.manifest) inside::write_manifest(arguments.out, tensors, arguments.picture.model);
  if (!arguments.npy.empty()) write_npy_files(arguments.npy, tensors);

  if (arguments.as == "json") {
    print_json(recorder.records(), metadata);
  } else {
    print_table(recorder.records());
    if (!arguments.out.empty()) std::printf("%s: %zu tensors\n", arguments.out.c_str(), tensors.size());
    if (!arguments.npy.empty()) std::printf("%s/: %zu files\n", arguments.npy.c_str(), tensors.size());
  }
}

}  // namespace

void add_trace_command(CLI::App& program, int&) {
  auto arguments = std::make_shared<TraceArguments>();
  CLI::App& command =
      *program.add_subcommand("trace", "Record what every layer takes and gives, as a table and as a file");
  command.add_option("--prompt", arguments->prompt, "What to draw");
  add_picture_options(command, arguments->picture);
  std::string names;
  for (const std::string& name : inside::network_names()) names += (names.empty() ? "" : ", ") + name;
  command
      .add_option("--network", arguments->network,
                  "Instead of a whole run, one call of one network: " + names)
      ->type_name("NAME");
  command.add_option("--inputs", arguments->inputs, "The inputs of --network, by the names of its arguments")
      ->type_name("FILE");
  command
      .add_option(
          "--layers", arguments->layers,
          "Only layers whose path fits, for example 'unet.mid_block.*'; may be given several times. Tables "
          "of attentions only when asked for: '*.probs'")
      ->type_name("GLOB")
      ->expected(1)
      ->take_all();
  command
      .add_option(
          "--at", arguments->calls,
          "Only these calls: prompt, negative, step_00, step_01, ..., decode; may have stars and be given "
          "several times")
      ->type_name("GLOB")
      ->expected(1)
      ->take_all();
  command.add_flag("--no-inputs", arguments->no_inputs,
                   "Leave the layers' inputs out of the file: smaller, but compare cannot tell as much");
  command.add_option("--out", arguments->out, "Write all tensors into this file")
      ->type_name("FILE.safetensors");
  command.add_flag(
      "--manifest", arguments->manifest,
      "Write manifest.json beside the file, so that `cutaway verify FOLDER` takes it as a reference");
  command.add_option("--npy", arguments->npy, "Write every tensor into a file of its own in this folder")
      ->type_name("FOLDER");
  command.add_option("--as", arguments->as, "How to print: table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  inside::add_inside_options(command, arguments->inside);
  add_run_options(command, arguments->run);
  command.callback([arguments] { record(*arguments); });
}

}  // namespace cutaway
