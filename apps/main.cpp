// The program `cutaway`: one subcommand for each thing to do.   Doc: docs/commands.md
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <new>
#include <string>
#include <system_error>

#include "apps/commands/commands.h"
#include "apps/mpi/ranks.h"
#include "apps/options/run_options.h"
#include "apps/options/shadow_report.h"
#include "tensor/backend.h"
#include "tensor/error.h"
#include "tensor/files/mapped_files.h"
#include "tensor/files/text.h"

namespace cutaway {

std::string version_text() {
#if defined(__clang__)
  const std::string compiler = "clang " __clang_version__;
#else
  const std::string compiler = "g++ " __VERSION__;
#endif
  return std::string("cutaway ") + CUTAWAY_VERSION + "\nbuild type        " + CUTAWAY_BUILD_TYPE +
         "\ncompiler          " + compiler + "\ninstruction sets  generic, avx2, avx512 compiled in; " +
         to_string(current_isa()) + " in use (best of this processor: " + to_string(best_isa()) +
         ")\nthreads           " + std::to_string(current_threads()) + "\nbackend           " +
         chosen_backend();
}

namespace {

std::vector<std::string> option_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

// What is wrong with the command line, in one sentence.
std::string sentence(const CLI::App& program, const CLI::ParseError& error) {
  const std::vector<const CLI::App*> parsed = [&] {
    const auto commands = program.get_subcommands();
    return std::vector<const CLI::App*>(commands.begin(), commands.end());
  }();
  const CLI::App& command = parsed.empty() ? program : *parsed.back();
  const std::string help =
      std::string("cutaway ") + (parsed.empty() ? "" : command.get_name() + " ") + "--help lists all";
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError)) {
    for (const std::string& argument : program.remaining(true)) {
      if (!argument.starts_with("-")) continue;
      const std::string name = argument.substr(0, argument.find('='));
      return "there is no option " + in_quotes(name) + did_you_mean(name, option_names(command)) + " (" +
             help + ")";
    }
    const std::string word = program.remaining(true).empty() ? "" : program.remaining(true).front();
    if (!parsed.empty()) return "the word " + in_quotes(word) + " belongs to no option (" + help + ")";
  }
  if (parsed.empty()) {  // no command, or one that does not exist
    std::vector<std::string> names;
    for (const CLI::App* known : program.get_subcommands({})) names.push_back(known->get_name());
    for (const std::string& word : program.remaining()) {
      return "there is no command " + in_quotes(word) + did_you_mean(word, names) + " (" + help + ")";
    }
  }
  return std::string(error.what()) + " (" + help + ")";
}

int run(int argc, char** argv) {
  CLI::App program{
      "Cutaway: Stable Diffusion with the casing off.\n"
      "A small tensor framework whose code reads like the architecture diagrams.\n"
      "\n"
      "  cutaway generate --prompt \"a cat next to a tree\"    draw a picture\n"
      "  cutaway trace --prompt \"a cat\" --out T.safetensors  record every layer\n"
      "  cutaway compare T.safetensors --model DIR           name the first layer that differs\n"
      "  cutaway verify tests/reference                      check every layer against the original\n",
      "cutaway"};
  program.require_subcommand(1);
  program.fallthrough();
  program.get_formatter()->column_width(34);
  program.set_version_flag(
      "--version",
      [] {
        apply({});  // what the environment chooses counts
        return version_text();
      },
      "Print version, build type, compiler, instruction sets and threads");
  program.failure_message([](const CLI::App* app, const CLI::Error& error) {
    return "cutaway: " + sentence(*app, dynamic_cast<const CLI::ParseError&>(error)) + "\n";
  });

  int exit_code = exit_ok;
  add_generate_command(program, exit_code);
  add_trace_command(program, exit_code);
  add_compare_command(program, exit_code);
  add_tokenize_command(program, exit_code);
  add_verify_command(program, exit_code);
  add_bench_command(program, exit_code);
  add_describe_command(program, exit_code);
  add_inspect_command(program, exit_code);
  add_convert_command(program, exit_code);
  add_config_command(program, exit_code);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = program.exit(error);  // prints help, the version, or what is wrong
    return code == 0 ? exit_ok : exit_error;
  }
  check_mapped_files();
  print_shadow_report();
  return exit_code;
}

// Threads of OpenMP that wait spin for milliseconds before they sleep. Beside other busy programs they so use
// up the very time that the thread they wait for would need: a run of half a second takes half a minute. How
// long they spin is read from the environment before main() begins, so the program sets it and starts itself
// again. Not in a debugger, where starting twice would confuse.
void spin_briefly(char** argv) {
#ifdef __linux__
  for (const char* variable : {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"}) {
    if (std::getenv(variable) != nullptr) return;
  }
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("TracerPid:") && line.find_first_of("123456789") != std::string::npos) return;
  }
  setenv("GOMP_SPINCOUNT", "1000", 0);
  setenv("KMP_BLOCKTIME", "0", 0);
  execv("/proc/self/exe", argv);  // comes back only when it fails, and then all goes on as it was
#else
  (void)argv;
#endif
}

// Where one of the three standard files is closed, the next file that is opened takes its number, and what is
// printed would land in it. A closed standard output stays one that cannot be written to.
void fill_standard_files() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) < 0) (void)::open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
  }
}

// What was printed may still wait to be written, and the disk that it goes to may be full.
void finish_output() {
  std::cout.flush();
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0 && std::cout.good()) return;
  throw Error("cannot write to the standard output: " + std::generic_category().message(errno));
}

// Numbers that are suddenly zero may have led to an error that speaks of something else.
std::string sentence(const std::exception& error) {
  try {
    check_mapped_files();
  } catch (const Error& lost) {
    return lost.what();
  }
  return error.what();
}

int failed(const std::string& why) {
  std::fprintf(stderr, "cutaway: %s\n", why.c_str());
  mpi::give_up(why);
  return exit_error;
}

}  // namespace
}  // namespace cutaway

int main(int argc, char** argv) {
  cutaway::fill_standard_files();
  cutaway::spin_briefly(argv);
  cutaway::survive_lost_files();
  try {
    const int exit_code = cutaway::run(argc, argv);
    cutaway::finish_output();
    cutaway::mpi::leave();
    return exit_code;
  } catch (const std::bad_alloc&) {
    return cutaway::failed("not enough memory; try a smaller picture or a smaller batch");
  } catch (const std::exception& error) {
    return cutaway::failed(cutaway::sentence(error));
  }
}
