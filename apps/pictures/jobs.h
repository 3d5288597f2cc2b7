// The pictures of one command as a list of jobs, which machines can share.
// Doc: docs/larger-than-one-machine.md
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "tensor/files/png.h"

namespace cutaway::pictures {

struct JobOptions {
  std::string prompts_file;  // a prompt a line; "" for none
  std::string seeds;         // "A..B"; "" for the one of --seed
  std::string shard;         // "I/N"; "" for all
  bool resume = false;
};
void add_job_options(CLI::App& command, JobOptions& options);

/// Adds the prompts of the file to those of --prompt, as if they had been given there. Throws Error when the
/// file cannot be read, holds no prompt, or is no text.
void add_prompts_of_file(const std::string& path, CLI::App& command);

/// From the first to the last, both included.
struct SeedRange {
  uint64_t first = 0, last = 0;
};
/// "3..10" or "7". Throws Error for anything else.
SeedRange to_seed_range(const std::string& text);

/// The one of `count` equal parts that this program does. Both count from 1, as the tasks of a job array do.
struct Shard {
  int64_t place = 1, count = 1;
  /// Every count-th job is this part's, so that parts differ by one job at most.
  bool has(int64_t job) const { return job % count == place - 1; }
};
/// "I/N", or "" for all. Throws Error unless I is 1 to N.
Shard to_shard(const std::string& text);

/// One call of the model: one prompt, the pictures of one batch.
struct Job {
  size_t prompt = 0;  // which one
  uint64_t seed = 0;  // of the first picture
  int64_t first = 0;  // the place of its first picture among those of all jobs, whoever draws them
};

/// Prompt by prompt. With seeds, each prompt is drawn with every one of them; without, prompt p begins at
/// first_seed + p batch. Throws Error when there are more than a million pictures.
std::vector<Job> all_jobs(size_t prompts, const std::string& seeds, uint64_t first_seed, int64_t batch);

/// Is there a whole picture of this size which says exactly this of itself? Then drawing it again would give
/// the same file.
bool is_finished(const std::string& path, int64_t width, int64_t height, const std::vector<PngText>& texts);

}  // namespace cutaway::pictures
