// The operations: everything a layer computes is one of these.   Doc: docs/operations.md
//
// Each checks its shapes once, then runs the version that is chosen for the current layer: `ref` (plain
// loops, the definition itself, tensor/ref/), `fast` (tensor/fast/) or `eigen` (tensor/eigen/). All have the
// signatures below. An operation returns a new tensor and never writes to its inputs. A wrong shape throws
// Error: one sentence with the layer's path, the tensor's name, the shape it has, the shape it needs.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "tensor/tensor.h"
#include "tensor/weight.h"

namespace cutaway {

// ---- Convolution

/// Zeros added around an image before the kernel slides over it. `Padding(1)` is one pixel on every side;
/// the VAE's encoder pads right and bottom only: {.right = 1, .bottom = 1}.
struct Padding {
  int64_t left = 0, right = 0, top = 0, bottom = 0;
  static Padding all(int64_t pixels) { return {pixels, pixels, pixels, pixels}; }
};

/// torch.nn.Conv2d's options of the same names.
struct Conv2dOptions {
  int64_t stride = 1;
  Padding padding = {};
  int64_t dilation = 1;  // distance between the taps of the kernel
  int64_t groups = 1;    // channels in `groups` separate convolutions side by side
};

/// x [N, in, H, W], weight [out, in / groups, kh, kw], bias [out] -> [N, out, H', W'],
/// H' = floor((H + top + bottom - dilation (kh - 1) - 1) / stride) + 1.
/// (torch.nn.Conv2d: a cross-correlation.)
Tensor conv2d(const Tensor& x, const Weight& weight, const std::optional<Weight>& bias,
              const Conv2dOptions& options);

/// torch.nn.ConvTranspose2d's options of the same names.
struct ConvTranspose2dOptions {
  int64_t stride = 1;
  int64_t padding = 0;  // taken away from every side of the result
};

/// x [N, in, H, W], weight [in, out, kh, kw], bias [out] -> [N, out, (H - 1) stride - 2 padding + kh, ...].
/// The "up-convolution" of U-Net 2015. (torch.nn.ConvTranspose2d)
Tensor conv_transpose2d(const Tensor& x, const Weight& weight, const std::optional<Weight>& bias,
                        const ConvTranspose2dOptions& options);

// ---- Matrix products

/// x [..., in], weight [out, in], bias [out] -> [..., out]: y = x W^T + b. (torch.nn.Linear)
Tensor linear(const Tensor& x, const Weight& weight, const std::optional<Weight>& bias);

/// a [..., m, k], b [..., k, n] of equal leading extents -> [..., m, n].
Tensor matmul(const Tensor& a, const Tensor& b);

/// Which keys a query sees.
struct AttentionOptions {
  bool causal = false;           // token i sees tokens 0..i only
  const Tensor* mask = nullptr;  // [N or 1, heads or 1, Tq, Tk], added to the scaled scores
};

/// q [N, heads, Tq, d], k and v [N, heads, Tk, d] -> [N, heads, Tq, d]:
/// softmax(q k^T / sqrt(d) + mask) v. ("Attention Is All You Need", eq. 1.)
/// `ref` makes the whole table of weights; `fast` works in tiles and never
/// does, unless an observer wants "probs".
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options);

/// The table alone, softmax(q k^T / sqrt(d) + mask): [N, heads, Tq, Tk].
Tensor attention_probs(const Tensor& q, const Tensor& k, const AttentionOptions& options);

// ---- Normalisation

/// x [N, C, ...], weight and bias [C]. Each of the `groups` groups of channels of each image gets mean 0 and
/// variance 1 (biased variance, + eps), then every channel its own scale and shift. (Wu & He 2018)
Tensor group_norm(const Tensor& x, const Weight& weight, const Weight& bias, int64_t groups, float eps);

/// x [..., C], weight and bias [C]: the same over the last axis. (Ba et al. 2016)
Tensor layer_norm(const Tensor& x, const Weight& weight, const Weight& bias, float eps);

/// x [N, C, H, W], all others [C]:
/// (x - running_mean) / sqrt(running_var + eps) * weight + bias, as in evaluation.
Tensor batch_norm(const Tensor& x, const Weight& weight, const Weight& bias, const Weight& running_mean,
                  const Weight& running_var, float eps);

/// exp(x) / sum exp(x) along one axis (negative: from the end).
Tensor softmax(const Tensor& x, int axis = -1);

// ---- Activations: each value by itself

Tensor silu(const Tensor& x);        // x sigmoid(x), also called swish
Tensor gelu(const Tensor& x);        // x Phi(x) with the error function (Hendrycks & Gimpel 2016)
Tensor gelu_tanh(const Tensor& x);   // its approximation by tanh
Tensor quick_gelu(const Tensor& x);  // x sigmoid(1.702 x), CLIP's
Tensor relu(const Tensor& x);
Tensor leaky_relu(const Tensor& x, float negative_slope);
Tensor sigmoid(const Tensor& x);
Tensor tanh(const Tensor& x);
Tensor softplus(const Tensor& x);  // log(1 + exp(x)); x itself above 20, as torch does
Tensor exp(const Tensor& x);
Tensor clamp(const Tensor& x, float low, float high);

/// x [..., 2 d] -> [..., d]: the first half times gelu of the second half.
/// (Shazeer 2020, "GLU variants", GEGLU)
Tensor geglu(const Tensor& x);

// ---- Elementwise: shapes must be equal, nothing is broadcast unless the name says so

/// a + b, a - b, a b of equal shapes; factor x.
Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
Tensor scale(const Tensor& x, float factor);
/// x [N, C, H, W], shift [N, C]: one shift per channel, the same for every pixel.
Tensor add_per_channel(const Tensor& x, const Tensor& shift);
/// x [N, ...], item [1, ...]: the same for each item of the batch.
Tensor add_to_each(const Tensor& x, const Tensor& item);

// ---- Sizes

/// x [N, C, H, W] -> [N, C, height, width];
/// each pixel is the nearest one before: source = floor(i H / height).
Tensor upsample_nearest(const Tensor& x, int64_t height, int64_t width);
/// The same by straight lines between pixels. `align_corners` pins the corner pixels' centres to each other,
/// else the corners of the images. (torch.nn.functional.interpolate)
Tensor upsample_bilinear(const Tensor& x, int64_t height, int64_t width, bool align_corners = false);
/// x [N, C, H, W] -> [N, C, floor(H / size), floor(W / size)]: the largest of size x size pixels.
Tensor max_pool(const Tensor& x, int64_t size = 2);
/// The mean of size x size pixels.
Tensor avg_pool(const Tensor& x, int64_t size = 2);
/// x [N, C, H, W] -> [N, C f f, H / f, W / f]: pixels of f x f blocks become channels.
Tensor pixel_unshuffle(const Tensor& x, int64_t factor);
/// x [N, C, H, W] with zeros around.
Tensor pad(const Tensor& x, const Padding& padding);

// ---- Layout

/// Joins tensors along one axis; all other extents must be equal. axis 1 joins channels of [N, C, H, W].
Tensor concat(const std::vector<Tensor>& parts, int axis);
Tensor concat(const Tensor& a, const Tensor& b, int axis);
/// Positions [begin, end) of one axis.
Tensor slice(const Tensor& x, int axis, int64_t begin, int64_t end);
/// [N, C, H, W] -> [N, H W, C]: each pixel becomes a token.
Tensor to_tokens(const Tensor& x);
/// [N, H W, C] -> [N, C, H, W], its inverse.
Tensor to_image(const Tensor& tokens, int64_t height, int64_t width);
/// [N, T, heads d] -> [N, heads, T, d]
Tensor split_heads(const Tensor& x, int64_t heads);
/// [N, heads, T, d] -> [N, T, heads d], its inverse.
Tensor merge_heads(const Tensor& x);

// ---- Embeddings

/// ids [N, T], weight [vocabulary, C] -> [N, T, C]. Throws Error when an id is outside the vocabulary.
Tensor embedding(const TokenIds& ids, const Weight& weight);

/// In which order and how long the waves are; in brackets diffusers' names.
struct TimestepOptions {
  bool cos_first = true;  // [cos | sin] as in Stable Diffusion, not [sin | cos] as in DDPM  (flip_sin_to_cos)
  float freq_shift = 0;   // 1 in DDPM  (downscale_freq_shift)
  float max_period = 1e4F;  // the longest wave
};

/// Time steps t, one per image, as `dim` waves: [N, dim]. Angle t * max_period^(-i / (dim / 2 - freq_shift)).
/// An odd dim has a column of zeros at the end, as in the originals.
/// ("Attention Is All You Need" section 3.5; get_timestep_embedding of DDPM)
Tensor timestep_embedding(std::span<const float> t, int64_t dim, const TimestepOptions& options);

}  // namespace cutaway
