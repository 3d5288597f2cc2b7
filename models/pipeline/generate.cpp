// From prompt to picture, as in the figure: encode, noise, denoise, sample, decode.   Doc: docs/pipeline.md
#include "models/pipeline/denoiser.h"
#include "models/pipeline/img2img.h"
#include "models/pipeline/noise.h"
#include "models/stable_diffusion.h"
#include "tensor/files/mapped_files.h"
#include "tensor/trace.h"

namespace cutaway {
namespace {

Tensor repeated(const Tensor& item, int64_t times) {
  return concat(std::vector<Tensor>(static_cast<size_t>(times), item), 0);
}

// What the UNet sees of the two prompts, equally long, for each picture: [batch, T, width].
struct Contexts {
  Tensor prompt, negative;
};
Contexts encode(const StableDiffusion& model, const GenerateOptions& options, const GenerateEvents& events) {
  const PromptRules rules{options.compat.prompt_weights, options.clip_skip};
  Tensor prompt = model.encode_prompt(options.prompt, events.warning, rules);  // [1, T, width]
  Tensor negative = model.encode_prompt(options.negative_prompt, events.warning, rules);
  repeat_to_equal_length(prompt, negative);
  return {repeated(prompt, options.batch), repeated(negative, options.batch)};
}

// The UNet's call, where it is to be another than the plain one.
Predict instead_of(const UNet& unet, const GenerateOptions& options, const Execution& how) {
  const bool shared = how.partner && options.guidance_scale != 1;  // else there is one prediction only
  if (!how.low_memory.unet_in_turn && how.neighbours == nullptr && !shared) return {};
  Predict predict = [&unet](const Tensor& x, float t, const Tensor& prompt) {
    return unet(x, for_each_image(x, t), prompt);
  };
  if (how.low_memory.unet_in_turn) predict = one_latent_at_a_time(predict);
  if (how.neighbours != nullptr) predict = in_bands_of_rows(predict, *how.neighbours, unet.config.scale());
  if (shared) predict = with_partner(predict, *how.partner);
  return predict;
}

void begin_step(int i) {
  trace::set_step(i);             // observers tell steps apart by it
  check_mapped_files_in_place();  // a run takes long: better now than after the last step
}

// Whatever way a run ends, no step goes on after it.
struct StepTold {
  ~StepTold() { trace::set_step(-1); }
};

Tensor sampled(const Denoiser& denoiser, const RunStart& run, float eta, RunNoise& noise,
               const GenerateEvents& events) {
  const Model with_masked_picture = [&](const Tensor& x, float t) { return denoiser(run.unet_input(x), t); };
  const Model model = run.conditioning.empty() ? Model(denoiser) : with_masked_picture;
  const Noise step_noise = [&](const Shape& shape) { return noise.step(shape); };
  const OnStep after_step = [&](Step& step) {
    step.latent = run.keep_known(step.index, step.latent);
    if (events.step) events.step(step);
    begin_step(step.index + 1);
  };
  const StepTold step_told;
  begin_step(0);
  return sample(*run.sampler,
                {.plan = run.plan, .model = model, .noise = step_noise, .eta = eta, .on_step = after_step},
                run.start);
}

}  // namespace

GenerateResult StableDiffusion::generate(const GenerateOptions& wanted, const Execution& how,
                                         const GenerateEvents& events) const {
  const GenerateOptions options = checked(wanted, how);

  const Contexts contexts = encode(*this, options, events);  // [batch, T, width]

  RunNoise noise(options.compat, options.seed, options.batch);
  const RunStart run =
      run_start(*this, options, how.low_memory, [&](const Shape& shape) { return noise.start(shape); });
  if (events.start) events.start(run.noise);

  const Denoiser denoiser{.unet = unet,
                          .prompt = contexts.prompt,
                          .negative = contexts.negative,
                          .guidance_scale = options.guidance_scale,
                          .guidance_rescale = options.guidance_rescale,
                          .instead = instead_of(unet, options, how)};

  const Tensor latent = sampled(denoiser, run, options.eta, noise, events);  // [batch, 4, h, w]

  if (!how.decodes()) return {latent, {}};
  if (events.decode) events.decode();
  return {latent, decoded(vae, scale(latent, 1 / vae.config.scaling_factor), how.low_memory)};
}

}  // namespace cutaway
