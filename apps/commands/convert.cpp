// `cutaway convert`: the same weights in another layout and dtype.   Doc: docs/checkpoints.md
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "apps/commands/commands.h"
#include "apps/options/picture_options.h"
#include "models/checkpoints/compvis_names.h"
#include "models/checkpoints/networks.h"
#include "nn/module.h"
#include "tensor/error.h"
#include "tensor/files/file_writer.h"
#include "tensor/files/gguf.h"
#include "tensor/files/safetensors.h"

namespace cutaway {
namespace {

namespace fs = std::filesystem;

struct ConvertArguments {
  std::string source, out, dtype = "same", tokenizer, variant;
};

bool to_gguf(const ConvertArguments& arguments) { return arguments.out.ends_with(".gguf"); }
bool to_file(const ConvertArguments& arguments) {
  return to_gguf(arguments) || arguments.out.ends_with(".safetensors");
}

// Which weights stable-diffusion.cpp packs: matrices with rows of whole blocks, but no embeddings and not the
// network of the time. Its choice is by ggml's first extent, which is 3 or 1 for a convolution. Norms, which
// it would pack, are too small to matter and stay as they are.
bool packable(const std::string& name, const Shape& shape) {
  return name.ends_with(".weight") && shape.rank() == 2 && shape[1] % q8_0_block == 0 &&
         name.find("embedding") == std::string::npos && name.find("time_embed.") == std::string::npos;
}

// `name` is the one in the file.
DType dtype_for(const ConvertArguments& arguments, const std::string& name, const Weight& weight) {
  if (arguments.dtype == "f32") return DType::f32;
  if (arguments.dtype == "f16") return DType::f16;
  if (arguments.dtype == "bf16") return DType::bf16;
  if (arguments.dtype == "q8_0") {
    if (packable(name, weight.shape)) return DType::q8_0;
    return weight.shape.rank() >= 2 && weight.dtype == DType::f32 ? DType::f16 : weight.dtype;
  }
  // "same"; packed numbers become f32, which loses nothing, where they cannot stay.
  const bool stays = to_gguf(arguments) && weight.shape[-1] % q8_0_block == 0;
  return weight.dtype == DType::q8_0 && !stays ? DType::f32 : weight.dtype;
}

// `rename` gives the name in the file.
template <class Network, class Rename>
void collect(std::vector<NamedWeight>& weights, const ConvertArguments& arguments, Network& network,
             const Rename& rename) {
  for_each_weight(network, "", [&](const std::string& name, const Weight& weight) {
    const std::string name_in_file = rename(name);
    weights.push_back({name_in_file, weight, dtype_for(arguments, name_in_file, weight)});
  });
}

// The same numbers in the shape that the file needs: a linear layer [out, in] is a 1x1 convolution.
void reshape(NamedWeight& named, const Shape& shape, const ConvertArguments& arguments) {
  named.weight.shape = shape;
  named.dtype = dtype_for(arguments, named.name, named.weight);
}

// The UNet's projections are 1x1 convolutions here; the files of some models have them as linear layers.
void shape_projections(std::vector<NamedWeight>& weights, const ConvertArguments& arguments,
                       const Networks& networks) {
  if (!networks.sizes.at("unet").value("use_linear_projection", false)) return;
  for (NamedWeight& named : weights) {
    if (named.name.ends_with(".proj_in.weight") || named.name.ends_with(".proj_out.weight"))
      reshape(named, Shape{named.weight.shape[0], named.weight.shape[1]}, arguments);
  }
}

// ---- One file

std::string below(const char* prefix, const std::optional<std::string>& name) {
  if (!name) throw Error("a weight of the model has no name in CompVis' naming");
  return prefix + *name;
}

void write_file(const ConvertArguments& arguments, Networks& networks) {
  std::vector<NamedWeight> weights;
  collect(weights, arguments, networks.unet, [&](const std::string& name) {
    return below(compvis_unet_prefix, compvis_unet_name(name, networks.unet.config));
  });
  shape_projections(weights, arguments, networks);
  collect(weights, arguments, networks.vae, [&](const std::string& name) {
    return below(compvis_vae_prefix, compvis_vae_name(name, networks.vae.config));
  });
  for (NamedWeight& named : weights) {
    const Shape& shape = named.weight.shape;
    const bool convolution = named.name.find(".mid.attn_1.") != std::string::npos && shape.rank() == 2;
    if (convolution) reshape(named, Shape{shape[0], shape[1], 1, 1}, arguments);
  }
  collect(weights, arguments, networks.text_encoder,
          [](const std::string& name) { return compvis_text_prefix + name; });
  // The sizes go along, since shapes do not tell all of them.
  std::map<std::string, std::string> metadata{{"cutaway.config", networks.sizes.dump()}};
  if (to_gguf(arguments)) {
    metadata["general.architecture"] = "sd1";
    write_gguf(arguments.out, weights, metadata);
  } else {
    metadata["format"] = "pt";
    write_weights(arguments.out, weights, metadata);
  }
}

// ---- A folder

void write_text(const std::string& path, const std::string& text) {
  FileWriter file(path);
  file.write(text + "\n");
  file.commit();
}

void write_part(const std::string& folder, const nlohmann::json& sizes,
                const std::vector<NamedWeight>& weights, const char* file) {
  fs::create_directories(folder);
  write_text(folder + "/config.json", sizes.dump(2));
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
  networks.each([&](const std::string& part, auto& network) {
    std::vector<NamedWeight> weights;
    collect(weights, arguments, network, [](const std::string& name) { return name; });
    shape_projections(weights, arguments, networks);
    write_part(folder + "/" + part, networks.sizes.at(part), weights,
               part == "text_encoder" ? "model.safetensors" : "diffusion_pytorch_model.safetensors");
  });
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

void check_out(const ConvertArguments& arguments) {
  if (arguments.dtype == "q8_0" && !to_gguf(arguments)) {
    throw Error("q8_0 is written to one GGUF file: give --out a name that ends in .gguf, not " +
                arguments.out);
  }
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
  const bool formula = arguments.source == "formula:sd15";
  Networks networks = formula ? formula_networks() : load_networks(arguments.source, arguments.variant);
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
  command
      .add_option("source", arguments->source,
                  "An SD 1.x model, a file or a folder; formula:sd15 makes one of full size to measure with")
      ->type_name("FILE|FOLDER")
      ->required();
  command
      .add_option("--out", arguments->out,
                  "Where to: a name that ends in .safetensors or .gguf is one file, else a folder")
      ->type_name("FILE|FOLDER")
      ->required();
  command.add_option("--dtype", arguments->dtype, "f32, f16, bf16, q8_0 (only .gguf) or same")
      ->check(CLI::IsMember({"f32", "f16", "bf16", "q8_0", "same"}))
      ->capture_default_str();
  command.add_option("--tokenizer", arguments->tokenizer, "Copy vocab.json and merges.txt from here")
      ->type_name("DIR");
  command.add_option("--variant", arguments->variant, "Which of a folder's weights, such as fp16")
      ->type_name("NAME");
  command.callback([arguments] { convert(*arguments); });
}

}  // namespace cutaway
