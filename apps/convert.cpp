// `cutaway convert`: the same weights in another layout and dtype.   Doc: docs/checkpoints.md
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "apps/commands.h"
#include "apps/picture_options.h"
#include "models/names_ldm.h"
#include "models/networks.h"
#include "nn/module.h"
#include "tensor/error.h"
#include "tensor/file_writer.h"
#include "tensor/safetensors.h"

namespace cutaway {
namespace {

namespace fs = std::filesystem;

struct ConvertArguments {
  std::string source, out, dtype = "same", tokenizer, variant;
};

DType dtype_for(const ConvertArguments& arguments, const Weight& weight) {
  if (arguments.dtype == "f32") return DType::f32;
  if (arguments.dtype == "f16") return DType::f16;
  if (arguments.dtype == "bf16") return DType::bf16;
  return weight.dtype;
}

// `rename` gives the name in the file.
template <class Network, class Rename>
void collect(std::vector<NamedWeight>& weights, const ConvertArguments& arguments, Network& network,
             const Rename& rename) {
  for_each_weight(network, "", [&](const std::string& name, const Weight& weight) {
    weights.push_back({rename(name), weight, dtype_for(arguments, weight)});
  });
}

// ---- One file

std::string below(const char* prefix, const std::optional<std::string>& name) {
  if (!name) throw Error("a weight of the model has no name in CompVis' naming");
  return prefix + *name;
}

void write_file(const ConvertArguments& arguments, Networks& networks) {
  std::vector<NamedWeight> weights;
  collect(weights, arguments, networks.unet, [&](const std::string& name) {
    return below(ldm_unet_prefix, ldm_unet_name(name, networks.unet.config));
  });
  collect(weights, arguments, networks.vae, [&](const std::string& name) {
    return below(ldm_vae_prefix, ldm_vae_name(name, networks.vae.config));
  });
  for (NamedWeight& named : weights) {
    const Shape& shape = named.weight.shape;
    const bool convolution = named.name.find(".mid.attn_1.") != std::string::npos && shape.rank() == 2;
    if (convolution) named.weight.shape = Shape{shape[0], shape[1], 1, 1};  // where ours is a linear layer
  }
  collect(weights, arguments, networks.text_encoder,
          [](const std::string& name) { return ldm_text_prefix + name; });
  // The sizes go along, since shapes do not tell all of them.
  write_weights(arguments.out, weights, {{"cutaway.config", networks.sizes.dump()}, {"format", "pt"}});
}

// ---- A folder

void write_text(const std::string& path, const std::string& text) {
  FileWriter file(path);
  file.write(text + "\n");
  file.commit();
}

template <class Network>
void write_part(const ConvertArguments& arguments, const std::string& folder, const nlohmann::json& sizes,
                Network& network, const char* file) {
  fs::create_directories(folder);
  write_text(folder + "/config.json", sizes.dump(2));
  std::vector<NamedWeight> weights;
  collect(weights, arguments, network, [](const std::string& name) { return name; });
  write_weights(folder + "/" + file, weights, {{"format", "pt"}});
}

// The vocabulary's files; "" when there are none to be had.
std::string tokenizer_of(const ConvertArguments& arguments) {
  std::error_code ignored;
  if (!arguments.tokenizer.empty()) return arguments.tokenizer;
  const std::string own = arguments.source + "/tokenizer";
  return fs::is_directory(own, ignored) ? own : "";
}

void write_parts(const ConvertArguments& arguments, Networks& networks, const std::string& folder) {
  write_part(arguments, folder + "/unet", networks.sizes.at("unet"), networks.unet,
             "diffusion_pytorch_model.safetensors");
  write_part(arguments, folder + "/vae", networks.sizes.at("vae"), networks.vae,
             "diffusion_pytorch_model.safetensors");
  write_part(arguments, folder + "/text_encoder", networks.sizes.at("text_encoder"), networks.text_encoder,
             "model.safetensors");
  fs::create_directories(folder + "/scheduler");
  write_text(folder + "/scheduler/scheduler_config.json", networks.sizes.at("scheduler").dump(2));
  const std::string tokenizer = tokenizer_of(arguments);
  if (tokenizer.empty()) return;
  (void)Tokenizer::load(tokenizer);  // a broken one is not worth copying
  fs::create_directories(folder + "/tokenizer");
  for (const char* name : {"vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"}) {
    const fs::path from = fs::path(tokenizer) / name;
    if (fs::exists(from)) fs::copy_file(from, fs::path(folder) / "tokenizer" / name);
  }
}

// The folder appears whole or not at all: it is written under another name beside it.
void write_folder(const ConvertArguments& arguments, Networks& networks) {
  const fs::path out = fs::path(arguments.out).has_filename() ? fs::path(arguments.out)
                                                              : fs::path(arguments.out).parent_path();
  const std::string partial = out.string() + ".partial-" + std::to_string(::getpid());
  std::error_code ignored;
  try {
    write_parts(arguments, networks, partial);
    if (fs::is_empty(out, ignored)) fs::remove(out);
    fs::rename(partial, out);
  } catch (const fs::filesystem_error& error) {
    fs::remove_all(partial, ignored);
    throw Error("cannot write the folder " + arguments.out + ": " + error.code().message());
  } catch (...) {
    fs::remove_all(partial, ignored);
    throw;
  }
}

bool to_file(const ConvertArguments& arguments) { return arguments.out.ends_with(".safetensors"); }

void check_out(const ConvertArguments& arguments) {
  must_be_writable(to_file(arguments) ? arguments.out
                                      : fs::path(arguments.out + "/").parent_path().string() + ".x");
  std::error_code ignored;
  if (!to_file(arguments) && fs::exists(arguments.out, ignored) && !fs::is_empty(arguments.out, ignored)) {
    throw Error("cannot write the folder " + arguments.out + ": it exists and is not empty");
  }
  if (to_file(arguments) && fs::exists(arguments.out, ignored) &&
      fs::equivalent(arguments.source, arguments.out, ignored)) {
    throw Error("cannot write " + arguments.out + ": it is the file to be converted");
  }
}

void convert(const ConvertArguments& arguments) {
  check_out(arguments);
  Networks networks = load_networks(arguments.source, arguments.variant);
  if (to_file(arguments)) {
    write_file(arguments, networks);
    std::printf("%s  one file, CompVis' naming; to draw with it, add --tokenizer DIR\n",
                arguments.out.c_str());
    return;
  }
  write_folder(arguments, networks);
  std::printf("%s  folder, diffusers layout%s\n", arguments.out.c_str(),
              tokenizer_of(arguments).empty() ? ", without tokenizer/; --tokenizer DIR copies one" : "");
}

}  // namespace

void add_convert_command(CLI::App& program, int&) {
  auto arguments = std::make_shared<ConvertArguments>();
  CLI::App& command =
      *program.add_subcommand("convert", "Write a model in another layout: a folder, or one file");
  command.add_option("source", arguments->source, "An SD 1.x model, a file or a folder")
      ->type_name("FILE|FOLDER")
      ->required();
  command
      .add_option("--out", arguments->out,
                  "Where to: a name that ends in .safetensors is one file, else a folder")
      ->type_name("FILE|FOLDER")
      ->required();
  command.add_option("--dtype", arguments->dtype, "f32, f16, bf16 or same")
      ->check(CLI::IsMember({"f32", "f16", "bf16", "same"}))
      ->capture_default_str();
  command.add_option("--tokenizer", arguments->tokenizer, "Copy vocab.json and merges.txt from here")
      ->type_name("DIR");
  command.add_option("--variant", arguments->variant, "Which of a folder's weights, such as fp16")
      ->type_name("NAME");
  command.callback([arguments] { convert(*arguments); });
}

}  // namespace cutaway
