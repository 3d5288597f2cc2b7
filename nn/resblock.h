// "ResnetBlock" in the picture.   Doc: docs/unet/resblock.md
#pragma once

#include "nn/conv2d.h"
#include "nn/linear.h"
#include "nn/norm.h"

namespace cutaway {

/// He et al. 2015 (the skip), Ho et al. 2020 (GroupNorm, SiLU, the time step). diffusers: ResnetBlock2D,
/// CompVis: ResBlock in the UNet, ResnetBlock in the VAE (there without a time step, eps 1e-6).
struct ResBlock : Module {
  GroupNorm norm1;
  Conv2d conv1;
  std::optional<Linear> time_emb_proj;  // not in the VAE
  GroupNorm norm2;
  Conv2d conv2;
  std::optional<Conv2d> conv_shortcut;  // 1x1, only where the channel count changes

  /// time_dim 0: a block without a time step.
  ResBlock(int64_t in, int64_t out, int64_t time_dim, int64_t groups, float eps)
      : norm1(groups, in, eps), conv1(conv3x3(in, out)), norm2(groups, out, eps), conv2(conv3x3(out, out)) {
    if (time_dim > 0) time_emb_proj.emplace(time_dim, out);
    if (in != out) conv_shortcut = conv1x1(in, out);
  }

  template <class V>
  void each(V&& visit) {
    visit("norm1", norm1);
    visit("conv1", conv1);
    visit("time_emb_proj", time_emb_proj);
    visit("norm2", norm2);
    visit("conv2", conv2);
    visit("conv_shortcut", conv_shortcut);
  }

  // x: [N, in, H, W]   temb: [N, time_dim], or empty without a time step   ->   [N, out, H, W]
  Tensor operator()(Tensor x, Tensor temb = {}) const {
    Scope scope(path, x, temb);
    Tensor h = norm1(x);
    h = silu(h);
    h = conv1(h);  // [N, out, H, W]

    if (time_emb_proj) {
      Tensor t = silu(temb);
      t = (*time_emb_proj)(t);    // [N, out]: one shift per channel,
      h = add_per_channel(h, t);  // the same for every pixel
    }

    h = norm2(h);
    h = silu(h);
    h = conv2(h);

    const Tensor skip = conv_shortcut ? (*conv_shortcut)(x) : x;
    return scope.out(add(skip, h));
  }
};

}  // namespace cutaway
