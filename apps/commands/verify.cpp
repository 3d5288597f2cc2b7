// `cutaway verify DIR`: every layer against tensors that the original implementations made.
// Doc: docs/verify.md
#include <fnmatch.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <new>

#include "apps/commands/commands.h"
#include "apps/options/progress.h"
#include "apps/options/run_options.h"
#include "apps/verify/report.h"
#include "tensor/error.h"
#include "tensor/files/json.h"
#include "tensor/files/text.h"

namespace cutaway {
namespace verify {
namespace {

struct Options {
  std::string folder;
  std::string only;
  bool layers = false;
  bool list = false;
  RunOptions run;
};

bool matches(const std::string& glob, const std::string& name) {
  return fnmatch(glob.c_str(), name.c_str(), 0) == 0;
}

std::vector<Case> chosen_cases(const Manifest& manifest, const std::string& only) {
  std::vector<Case> cases = cases_of(manifest);
  if (only.empty()) return cases;
  std::erase_if(
      cases, [&](const Case& one) { return !matches(only, one.name()) && !matches(only, one.entry->file); });
  if (cases.empty()) {
    throw Error("no case of " + in_quotes(manifest.folder) + " has a name that fits --only " +
                in_quotes(only) + "; --list shows them all");
  }
  return cases;
}

Result result_of(const Case& one) {
  Result result;
  try {
    result.comparisons = run(one);
    const bool all = std::all_of(result.comparisons.begin(), result.comparisons.end(),
                                 [](const Comparison& comparison) { return comparison.passed(); });
    result.status = all ? Status::passed : Status::failed;
  } catch (const NotBuilt& reason) {
    result.status = Status::skipped;
    result.reason = reason.what();
  } catch (const std::bad_alloc&) {
    result.reason = "there is not enough memory to run it";
  } catch (const std::exception& error) {
    result.reason = error.what();
  }
  return result;
}

// A file that is missing or broken is no failed case: nothing can be said about the layer. So all are opened
// before the first is run.
void check_files(const Manifest& manifest, const std::vector<Case>& cases) {
  const FileEntry* before = nullptr;
  for (const Case& one : cases) {
    const FileEntry& entry = *one.entry;
    if (&entry == before || !is_run(entry.kind)) continue;
    before = &entry;
    if (entry.file.ends_with(".json")) {
      read_json_file(one.path());
    } else {
      SafetensorsFile::open(one.path());
    }
    if (entry.weights == "base") SafetensorsFile::open(manifest.path_of(entry.params.text("base")));
  }
}

int verify(const Options& options) {
  apply(options.run);
  const Manifest manifest = Manifest::read(options.folder);
  const std::vector<Case> cases = chosen_cases(manifest, options.only);
  if (options.list) {
    for (const Case& one : cases) std::printf("%s\n", one.name().c_str());
    return exit_ok;
  }
  check_files(manifest, cases);
  size_t longest = 0;
  for (const Case& one : cases) longest = std::max(longest, one.name().size());
  Report report(longest, options.layers);
  ProgressBar bar("cases");
  for (size_t i = 0; i < cases.size(); ++i) {
    const Result result = result_of(cases[i]);
    bar.clear();
    report.add(cases[i].name(), result);
    bar.show(static_cast<double>(i + 1), static_cast<double>(cases.size()));
  }
  report.close();
  return report.failed() == 0 ? exit_ok : exit_failed;
}

}  // namespace
}  // namespace verify

void add_verify_command(CLI::App& program, int& exit_code) {
  CLI::App* command = program.add_subcommand(
      "verify", "Check every layer against reference tensors that the original implementations made");
  const auto options = std::make_shared<verify::Options>();
  command
      ->add_option("folder", options->folder,
                   "Folder with manifest.json and the tensors, for example tests/reference")
      ->required()
      ->type_name("DIR");
  command->add_flag("--layers", options->layers, "Also a table of every value compared, one line a layer");
  command
      ->add_option("--only", options->only,
                   "Only the cases whose name or file fits, for example 'blocks/resnet*'")
      ->type_name("GLOB");
  command->add_flag("--list", options->list, "Print the names of the cases and run none");
  add_run_options(*command, options->run);
  command->callback([options, &exit_code] { exit_code = verify::verify(*options); });
}

}  // namespace cutaway
