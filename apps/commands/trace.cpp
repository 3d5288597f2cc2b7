// `cutaway trace`: what every layer of a run takes and gives.   Doc: docs/compare.md
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/commands/commands.h"
#include "apps/options/layer_paths.h"
#include "apps/options/picture_options.h"
#include "apps/options/run_options.h"
#include "apps/options/watch_options.h"
#include "apps/pictures/images.h"
#include "apps/pictures/trace_record.h"
#include "models/stable_diffusion.h"
#include "nn/module.h"
#include "tensor/error.h"
#include "tensor/files/npy.h"
#include "tensor/files/safetensors.h"
#include "tensor/observers/recorder.h"

namespace cutaway {
namespace {

using observers::Event;
using observers::Recorder;

struct TraceArguments {
  PictureOptions picture;
  std::vector<std::string> prompts;
  std::string network, inputs;  // one call of one network instead of a run
  std::vector<std::string> layers, calls;
  bool no_inputs = false, manifest = false, all = false;
  std::string out, npy;
  pictures::ImageOptions images;
  std::string as = "table";
  WatchOptions watched;
  RunOptions run;
};

// The bytes of every layer's weights, with those of the layers inside.
std::map<std::string, int64_t> weight_bytes(StableDiffusion& model) {
  std::map<std::string, int64_t> bytes;
  for_each_weight(model, "", [&](const std::string& name, const Weight& weight) {
    const int64_t size = stored_bytes(weight.dtype, weight.shape.count());
    for (size_t dot = name.rfind('.'); dot != std::string::npos;
         dot = dot == 0 ? dot : name.rfind('.', dot - 1))
      bytes[name.substr(0, dot)] += size;
  });
  return bytes;
}

// One row of the table: what one layer, or what made one inner value, did in one call.
struct LayerRow {
  const Event& event;  // its result
  bool is_layer;       // inner values have no times of their own
  double seconds = 0, flop = 0;
  int64_t bytes = 0;  // inputs, weights and result
};

int64_t bytes_of(const observers::Kept& kept) {
  return kept.shape ? kept.shape->count() * static_cast<int64_t>(sizeof(float)) : 0;
}

// In the order in which they were finished.
std::vector<LayerRow> layer_rows(const std::vector<Event>& events,
                                 const std::map<std::string, int64_t>& weight_bytes) {
  std::vector<LayerRow> rows;
  for (const Event& event : events) {
    if (event.kind != Event::Kind::value) continue;
    LayerRow row{.event = event, .is_layer = event.entered.has_value()};
    if (row.is_layer) {
      const Event& begin = events[*event.entered];
      row.seconds = event.seconds - begin.seconds;
      row.flop = event.flops - begin.flops;
      row.bytes = bytes_of(event.result);
      for (const observers::Kept& input : begin.inputs) row.bytes += bytes_of(input);
      if (const auto found = weight_bytes.find(event.path); found != weight_bytes.end())
        row.bytes += found->second;
    }
    rows.push_back(row);
  }
  return rows;
}

void print_table(const std::vector<LayerRow>& rows) {
  size_t longest = 4;
  for (const LayerRow& row : rows) longest = std::max(longest, row.event.path.size());
  const int width = static_cast<int>(longest);
  std::printf("%-9s %-*s %-20s %10s %10s %10s %10s %5s %9s %9s %9s\n", "call", width, "path", "shape", "mean",
              "std", "min", "max", "NaN", "ms", "MFLOP", "KB");
  for (const LayerRow& row : rows) {
    const observers::Summary& s = *row.event.summary;
    std::printf("%-9s %-*s %-20s %10.4g %10.4g %10.4g %10.4g %5lld", row.event.call.c_str(), width,
                row.event.path.c_str(), to_string(*row.event.result.shape).c_str(), s.mean, s.std, s.min,
                s.max, static_cast<long long>(s.nan + s.infinite));
    if (row.is_layer) {
      std::printf(" %9.3f %9.3f %9.1f", 1e3 * row.seconds, 1e-6 * row.flop,
                  static_cast<double>(row.bytes) / 1024);
    }
    std::printf("\n");
  }
}

// What happened in one call, for the summary.
struct CallRow {
  std::string call;
  int64_t layers = 0, values = 0, nan = 0;
  double begin = 0, end = 0;            // seconds of the run
  const LayerRow* largest = nullptr;    // by its finite numbers
  const LayerRow* first_nan = nullptr;  // in the order in which layers were finished
};

double largest_of(const LayerRow& row) {
  const observers::Summary& s = *row.event.summary;
  return std::max(std::fabs(s.min), std::fabs(s.max));
}

std::vector<CallRow> call_rows(const std::vector<LayerRow>& rows) {
  std::vector<CallRow> calls;
  for (const LayerRow& row : rows) {
    const double begin = row.event.seconds - row.seconds;
    if (calls.empty() || calls.back().call != row.event.call)
      calls.push_back({.call = row.event.call, .begin = begin});
    CallRow& call = calls.back();
    ++call.values;
    call.layers += row.is_layer ? 1 : 0;
    call.begin = std::min(call.begin, begin);
    call.end = row.event.seconds;
    const int64_t nan = row.event.summary->nan + row.event.summary->infinite;
    call.nan += nan;
    if (nan > 0 && call.first_nan == nullptr) call.first_nan = &row;
    if (std::isfinite(largest_of(row)) &&
        (call.largest == nullptr || largest_of(row) > largest_of(*call.largest)))
      call.largest = &row;
  }
  return calls;
}

// A line for each call: hundreds of layers are more than anyone reads.
void print_summary(const std::vector<LayerRow>& rows) {
  std::printf("%-9s %6s %6s %9s %10s %5s  %s\n", "call", "layers", "values", "ms", "largest", "NaN", "in");
  for (const CallRow& call : call_rows(rows)) {
    const LayerRow* shown = call.first_nan != nullptr ? call.first_nan : call.largest;
    std::printf("%-9s %6lld %6lld %9.3f %10.4g %5lld  %s\n", call.call.c_str(),
                static_cast<long long>(call.layers), static_cast<long long>(call.values),
                1e3 * (call.end - call.begin), call.largest == nullptr ? 0 : largest_of(*call.largest),
                static_cast<long long>(call.nan), shown == nullptr ? "" : shown->event.path.c_str());
  }
  std::printf("all %zu lines: --all; some: --layers and --at\n", rows.size());
}

nlohmann::ordered_json to_json(const std::vector<LayerRow>& rows, const pictures::Metadata& metadata) {
  nlohmann::ordered_json layers = nlohmann::json::array();
  for (const LayerRow& row : rows) {
    nlohmann::ordered_json layer{{"call", row.event.call}, {"path", row.event.path}};
    const Shape& shape = *row.event.result.shape;
    layer["shape"] = nlohmann::json::array();
    for (int axis = 0; axis < shape.rank(); ++axis) layer["shape"].push_back(shape[axis]);
    const observers::Summary& summary = *row.event.summary;
    layer["mean"] = observers::json_number(summary.mean);
    layer["std"] = observers::json_number(summary.std);
    layer["min"] = observers::json_number(summary.min);
    layer["max"] = observers::json_number(summary.max);
    layer["nan"] = summary.nan;
    layer["infinite"] = summary.infinite;
    if (row.is_layer) {
      layer["seconds"] = row.seconds;
      layer["flop"] = row.flop;
      layer["bytes"] = row.bytes;
    }
    layers.push_back(std::move(layer));
  }
  return {{"run", metadata}, {"layers", std::move(layers)}};
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

// One run, recorded.
struct Recording {
  pictures::Metadata metadata;
  std::vector<Event> events;
  std::vector<NamedTensor> tensors;  // what the run began and ended with, then those of the layers
};

void print_warning(const std::string& text) { std::fprintf(stderr, "cutaway: warning: %s\n", text.c_str()); }

// Runs, observed by a recorder. `prompt` counts when no network is named.
Recording run(const TraceArguments& arguments, const StableDiffusion& model, const GenerateOptions& options,
              Recorder& recorder) {
  const Observe observe(recorder);
  Recording recording;
  if (!arguments.network.empty()) {
    const pictures::NetworkCall call =
        pictures::read_call(arguments.network, SafetensorsFile::open(arguments.inputs), "");
    pictures::run_call(model, call);
    for (const NamedTensor& input : call.inputs)
      recording.tensors.push_back({"call/in/" + input.name, input.tensor});
    recording.metadata = {{"format", pictures::trace_format}, {"network", arguments.network}};
    return recording;
  }
  if (options.image) recording.tensors.push_back({"run/in/image", *options.image});
  if (options.mask) recording.tensors.push_back({"run/in/mask", *options.mask});
  const GenerateEvents events{
      .warning = print_warning,
      .start =
          [&](const Tensor& noise) {
            recording.tensors.push_back({"run/in/noise", noise});
          },
  };
  const GenerateResult result = model.generate(options, {}, events);
  recording.tensors.push_back({"run/out/latent", result.latent});
  recording.tensors.push_back({"run/out/picture", result.picture});
  recording.metadata = pictures::to_metadata(options);
  return recording;
}

Recording record(const TraceArguments& arguments, const StableDiffusion& model,
                 const GenerateOptions& run_options) {
  Recorder::Options options{.summaries = true};
  if (!arguments.layers.empty()) options.selection.layers = arguments.layers;
  if (!arguments.calls.empty()) options.selection.calls = arguments.calls;
  options.tensors = !arguments.out.empty() || !arguments.npy.empty();
  options.inputs = !arguments.no_inputs;
  Recorder recorder(options);
  Recording recording = run(arguments, model, run_options, recorder);
  if (recorder.events().empty()) {
    throw Error("no layer of the run fits --layers and --at; without the two, all layers are listed");
  }
  recording.metadata["model"] = arguments.picture.model;
  recording.metadata.merge(pictures::program_metadata());
  pictures::add_edits(recording.metadata, arguments.watched.edits);
  recording.events = recorder.events();
  for (NamedTensor& tensor : observers::named_tensors(recording.events))
    recording.tensors.push_back(std::move(tensor));
  return recording;
}

void check(const TraceArguments& arguments) {
  if (arguments.network.empty() == arguments.prompts.empty())
    throw Error("give --prompt for a whole run, or --network and --inputs for one call of one network");
  if (!arguments.network.empty() && arguments.inputs.empty())
    throw Error("--network needs --inputs: a safetensors file with the network's inputs");
  if (!arguments.network.empty() && !arguments.images.init_image.empty())
    throw Error("--init-image is where a whole run starts from: give --prompt in place of --network");
  if (arguments.manifest && arguments.out.empty())
    throw Error("--manifest describes the file of --out; give both");
  for (size_t i = 0; i < arguments.prompts.size() && !arguments.out.empty(); ++i)
    must_be_writable(numbered_path(arguments.out, i, arguments.prompts.size()));
}

// Every prompt is a run and a file of its own, all with the same seed, so that
// the prompt alone tells two of them apart.
void trace_each_prompt(const TraceArguments& arguments) {
  apply(arguments.run);
  check(arguments);
  const pictures::GivenImages images(arguments.images);
  StableDiffusion model = load_model(arguments.picture);
  check_backend(layer_paths(model));
  const std::map<std::string, int64_t> bytes = weight_bytes(model);
  const Watch watch(arguments.watched, model);
  GenerateOptions options = to_generate_options(arguments.picture);
  images.add_to(options, model, print_warning);
  const size_t runs = std::max<size_t>(1, arguments.prompts.size());
  pictures::TraceManifest manifest;
  nlohmann::ordered_json all = nlohmann::json::array();
  for (size_t i = 0; i < runs; ++i) {
    if (!arguments.prompts.empty()) options.prompt = arguments.prompts[i];
    const Recording recording = record(arguments, model, options);
    const std::vector<LayerRow> rows = layer_rows(recording.events, bytes);
    watch.check_edits();
    const std::string out = arguments.out.empty() ? "" : numbered_path(arguments.out, i, runs);
    const std::string npy = arguments.npy.empty() ? "" : numbered_path(arguments.npy, i, runs);
    if (!out.empty()) write_safetensors(out, recording.tensors, recording.metadata);
    if (arguments.manifest) manifest.add(out, recording.tensors, arguments.picture.model);
    if (!npy.empty()) write_npy_files(npy, recording.tensors);
    if (arguments.as == "json") {
      all.push_back(to_json(rows, recording.metadata));
      continue;
    }
    if (runs > 1) std::printf("%s\"%s\"\n", i > 0 ? "\n" : "", options.prompt.c_str());
    arguments.all || !arguments.layers.empty() ? print_table(rows) : print_summary(rows);
    if (!out.empty()) std::printf("%s: %zu tensors\n", out.c_str(), recording.tensors.size());
    if (!npy.empty()) std::printf("%s/: %zu files\n", npy.c_str(), recording.tensors.size());
  }
  if (arguments.manifest) manifest.write();
  if (arguments.as == "json") {
    const nlohmann::ordered_json& shown_runs = runs == 1 ? all.front() : all;
    std::printf("%s\n", shown_runs.dump(1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  }
}

}  // namespace

void add_trace_command(CLI::App& program, int&) {
  auto arguments = std::make_shared<TraceArguments>();
  CLI::App& command =
      *program.add_subcommand("trace", "Record what every layer takes and gives, as a table and as a file");
  command.option_defaults()->group("Which picture");
  command
      .add_option("--prompt", arguments->prompts,
                  "What to draw; given several times, each becomes a file of its own: T-1.safetensors, ...")
      ->expected(1)
      ->take_all();
  add_picture_options(command, arguments->picture);
  pictures::add_image_options(command, arguments->images);
  command.option_defaults()->group("What is recorded");
  std::string names;
  for (const std::string& name : pictures::network_names()) names += (names.empty() ? "" : ", ") + name;
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
          "Only these calls: prompt, negative, encode, step_00, step_01, ..., decode; may have stars and be "
          "given several times")
      ->type_name("GLOB")
      ->expected(1)
      ->take_all();
  command.add_flag("--no-inputs", arguments->no_inputs,
                   "Leave the layers' inputs out of the file: smaller, but compare cannot tell as much");
  command.option_defaults()->group("Where to");
  command.add_option("--out", arguments->out, "Write all tensors into this file")
      ->type_name("FILE.safetensors");
  command.add_flag(
      "--manifest", arguments->manifest,
      "Write manifest.json beside the file, so that `cutaway verify FOLDER` takes it as a reference");
  command.add_option("--npy", arguments->npy, "Write every tensor into a file of its own in this folder")
      ->type_name("FOLDER");
  command.add_flag(
      "--all", arguments->all,
      "Print a line for every layer, as --layers does for those that fit, not one for every call");
  command.add_option("--as", arguments->as, "How to print: table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  add_watch_options(command, arguments->watched);
  add_run_options(command, arguments->run);
  command.callback([arguments] { trace_each_prompt(*arguments); });
}

}  // namespace cutaway
