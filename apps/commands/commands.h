// apps/commands/: one file a subcommand of the program cutaway.
//
// The subcommands of the program `cutaway`. Each adds itself and its options to the command line.
#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <string>

namespace cutaway {

/// What the program ends with: 0 all is well, 1 the answer is "no" (a check failed), 2 it could not be done.
enum ExitCode { exit_ok = 0, exit_failed = 1, exit_error = 2 };

/// The subcommands. What a command ends with goes to `exit_code`; when it cannot be done it throws Error.
void add_generate_command(CLI::App& program, int& exit_code);
void add_trace_command(CLI::App& program, int& exit_code);
void add_compare_command(CLI::App& program, int& exit_code);
void add_tokenize_command(CLI::App& program, int& exit_code);
void add_verify_command(CLI::App& program, int& exit_code);
void add_bench_command(CLI::App& program, int& exit_code);
void add_describe_command(CLI::App& program, int& exit_code);
void add_inspect_command(CLI::App& program, int& exit_code);
void add_convert_command(CLI::App& program, int& exit_code);
void add_config_command(CLI::App& program, int& exit_code);

/// On the wall clock.
inline double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// "cutaway 0.1.0, Release, g++ 12.2.0, instruction sets ..."
std::string version_text();

}  // namespace cutaway
