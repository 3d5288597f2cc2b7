// `cutaway describe`: draws the architecture from the module tree and a recorded run.   Doc: docs/describe.md
#include <cstdio>
#include <map>
#include <memory>
#include <optional>

#include "apps/commands/commands.h"
#include "apps/describe/architecture.h"
#include "apps/describe/figures.h"
#include "apps/describe/text.h"
#include "apps/options/progress.h"
#include "apps/options/run_options.h"
#include "tensor/error.h"
#include "tensor/files/file_writer.h"

namespace cutaway {
namespace {

using namespace describe;

struct DescribeArguments {
  DescribeOptions what;
  std::string size;
  std::string as = "tree";
  std::string part = "all";
  std::string box;
  std::string source;
  std::string links;
  std::string out;
  int depth = 100;
  RunOptions run;
};

Part part_named(const std::string& name) {
  return name == "clip" ? Part::text_encoder : name == "unet" ? Part::unet : Part::vae;
}

Part part_of_path(const std::string& path) {
  for (const auto& [name, part] : std::map<std::string, Part>{
           {"text_encoder", Part::text_encoder}, {"unet", Part::unet}, {"vae", Part::vae}}) {
    if (path == name || is_inside(path, name)) return part;
  }
  return Part::all;
}

std::string drawn(const Architecture& architecture, const Box& box, const DescribeArguments& arguments) {
  const bool timed = arguments.what.timed;
  if (arguments.as == "tree") return as_tree(box, arguments.depth, timed);
  if (arguments.as == "table") return as_table(box, arguments.depth, timed);
  if (arguments.as == "json") return as_json(architecture, box, arguments.depth, timed);
  if (arguments.as == "dot") return as_dot(architecture, box, arguments.depth, timed);
  const SourceLines sources(arguments.source, arguments.links, arguments.out);
  return as_svg(architecture, box, sources, arguments.depth, timed);
}

void describe_command(DescribeArguments& arguments) {
  if (arguments.what.model.empty() == arguments.size.empty()) {
    throw Error("say which model to describe: either --model FOLDER or --size sd15, not both");
  }
  apply(arguments.run);
  arguments.what.part = arguments.part == "all" ? part_of_path(arguments.box) : part_named(arguments.part);
  std::optional<WorkProgress> progress;
  std::optional<Observe> observe;
  arguments.what.before_timed = [&](double flop) { observe.emplace(progress.emplace(flop)); };
  const Architecture architecture = describe_model(arguments.what);
  const Box& box = arguments.box.empty() ? architecture.root : box_at(architecture.root, arguments.box);
  const std::string text = drawn(architecture, box, arguments);
  if (arguments.out.empty()) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return;
  }
  FileWriter file(arguments.out);
  file.write(text);
  file.commit();
}

}  // namespace

void add_describe_command(CLI::App& program, int&) {
  auto arguments = std::make_shared<DescribeArguments>();
  CLI::App& command =
      *program.add_subcommand("describe", "Draw the architecture: boxes, shapes, parameters, work");
  command.add_option("--model", arguments->what.model, "The model folder, in diffusers layout");
  command
      .add_option("--size", arguments->size, "sd15: the sizes of Stable Diffusion 1.5, without its weights")
      ->check(CLI::IsMember({"sd15"}));
  command.add_option("--as", arguments->as, "tree, table, svg, json or dot (for Graphviz)")
      ->check(CLI::IsMember({"tree", "table", "svg", "json", "dot"}))
      ->capture_default_str();
  command.add_option("--part", arguments->part, "clip, unet, vae or all")
      ->check(CLI::IsMember({"clip", "unet", "vae", "all"}))
      ->capture_default_str();
  command.add_option("--box", arguments->box, "Open this box only, such as unet.down_blocks.1");
  command
      .add_option("--depth", arguments->depth,
                  "Levels of boxes below it; 1 closes the levels of a drawn UNet")
      ->check(CLI::Range(0, 100));
  command.add_option("--pixels", arguments->what.pixels, "Width and height of the picture; 0: as trained")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  command.add_flag("--timed", arguments->what.timed, "Run it once at its full size, and show the times");
  command.add_option("--source", arguments->source,
                     "The source tree: each box of a drawing links to the line that declares it");
  command.add_option("--links", arguments->links,
                     "What stands before a source file in links; else the way from --out to --source");
  command.add_option("--out", arguments->out, "A file instead of the terminal");
  add_run_options(command, arguments->run);
  command.callback([arguments] { describe_command(*arguments); });
}

}  // namespace cutaway
