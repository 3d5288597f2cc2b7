// Compat: what the programs around Stable Diffusion do differently with the same model, prompt and seed.
// Doc: docs/compat.md
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "models/prompt/weighting.h"
#include "samplers/sampler.h"

namespace cutaway {

/// Whose random numbers are drawn: torch.randn's on the processor, or on an NVIDIA card.
enum class RandomSource { cpu, cuda };
/// picture: a stream for each picture of a batch, from seed + i. batch: one stream for all of them at once.
enum class NoiseFor { picture, batch };
/// Where samplers with noise of their own draw it: going on in the stream of the starting noise, or in a new
/// one from the same seed.
enum class StepNoise { goes_on, same_seed_anew };
/// Which time steps and noise levels a run visits (samplers/).
enum class LevelRule { diffusers, kdiffusion, kdiffusion_whole_timesteps, compvis };
/// How much of the noise a run starts from, in the samplers that let the latent grow: sigma, or the
/// sqrt(1 + sigma^2) that the latent of a picture of variance 1 would have.
enum class StartScale { diffusers, sigma, whole_variance };

/// One row of the table in docs/compat.md.
struct Compat {
  const char* name;
  PromptWeights prompt_weights;
  RandomSource start_noise, step_noise;
  NoiseFor noise_for;
  StepNoise step_stream;
  LevelRule levels;
  StartScale start_scale;
  bool ddim_is_euler;  // "ddim" walks the noise levels as Euler's method
  bool ddim_leaves_out_last;
  std::vector<std::string> samplers;  // those that the program has
};

/// diffusers, webui, comfyui, compvis. Throws Error when there is no program of this name.
const Compat& compat_of(std::string_view program);
std::vector<std::string> program_names();
/// none, webui or comfyui. Throws Error when it is another.
PromptWeights prompt_weights_named(std::string_view name);
/// cpu or cuda. Throws Error when it is another.
RandomSource random_source_named(std::string_view name);
const char* to_string(PromptWeights weights);
const char* to_string(RandomSource source);

/// The steps of a run as the program takes them, and the sampler that walks them (comfyui's ddim is euler).
struct Route {
  const Sampler* sampler;
  Plan plan;
};
/// Throws Error when the program has no such sampler or spacing, or steps and eta do not suit it.
Route route(const Compat& compat, const Sampler& sampler, LevelSpacing spacing, const SchedulerConfig& config,
            int steps, float eta);

}  // namespace cutaway
