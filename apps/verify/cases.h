// apps/verify/: cases of reference tensors, run and compared.
//
// The cases of a manifest and how each is run.   Doc: docs/verify.md
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "apps/verify/compare.h"
#include "apps/verify/manifest.h"
#include "tensor/files/safetensors.h"

namespace cutaway::verify {

/// Thrown by whoever runs a case when this project does not have what it is a case of; what() is the reason.
class NotBuilt : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// One line of the report: a file, or one part of a file that holds many small runs.
struct Case {
  const Manifest* manifest = nullptr;
  const FileEntry* entry = nullptr;
  std::string part;  // "conv2d_1x1" of ops.safetensors; "" when the whole file is one case

  std::string name() const { return part.empty() ? entry->file : entry->file + ":" + part; }
  std::string path() const { return manifest->path_of(entry->file); }
};

/// In the manifest's order.
std::vector<Case> cases_of(const Manifest& manifest);

using Comparisons = std::vector<Comparison>;

/// Are cases of this kind run, or skipped?
bool is_run(const std::string& kind);

/// Runs a case and compares every value that its file has. Throws NotBuilt, or Error when it cannot be run.
Comparisons run(const Case& the_case);

// How the kinds are run, one file each.
Comparisons run_layer(const Case& the_case);      // layers, blocks and networks
Comparisons run_operation(const Case& the_case);  // ops
Comparisons run_diffusers_sampler(const Case& the_case);
Comparisons run_kdiffusion_sampler(const Case& the_case);
Comparisons run_guidance(const Case& the_case);
Comparisons run_formula(const Case& the_case);  // init_formula
Comparisons run_names(const Case& the_case);
Comparisons run_recorded_run(const Case& the_case);  // `cutaway trace --manifest`
Comparisons run_tokenizer(const Case& the_case);

/// Compares a value with the output or trace of this entry, with the
/// tolerance there. `merged_axes` as in compare().
Comparison compare_with(const SafetensorsFile& file, const TensorEntry& entry, const Tensor& actual,
                        bool merged_axes);

/// Throws Error unless every tensor of the entry is in the file with the manifest's shape, and every output
/// and trace of the file is in the manifest.
void check_against_manifest(const SafetensorsFile& file, const FileEntry& entry);

}  // namespace cutaway::verify
