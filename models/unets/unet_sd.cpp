#include "models/unets/unet_sd.h"

#include "tensor/error.h"

namespace cutaway {

// ---- DownBlock

DownBlock::DownBlock(int64_t in, int64_t out, int64_t time_dim, bool attends, int64_t heads, bool downsamples,
                     const UNetConfig& config) {
  for (int64_t i = 0; i < config.layers_per_block; ++i) {
    resnets.emplace_back(i == 0 ? in : out, out, time_dim, config.norm_num_groups, config.norm_eps);
    if (!attends) continue;
    attentions.emplace_back(out, config.cross_attention_dim, heads, config.norm_num_groups,
                            config.use_linear_projection);
  }
  if (downsamples) downsampler.emplace(out);
}

Tensor DownBlock::operator()(Tensor h, Tensor temb, Tensor prompt, std::vector<Tensor>& skips) const {
  Scope scope(path, h, temb, prompt);
  for (size_t i = 0; i < resnets.size(); ++i) {
    h = resnets[i](h, temb);
    if (!attentions.empty()) h = attentions[i](h, prompt);
    skips.push_back(h);
  }
  if (downsampler) {
    h = (*downsampler)(h);
    skips.push_back(h);
  }
  return scope.out(h);
}

// ---- MidBlock

MidBlock::MidBlock(int64_t channels, int64_t time_dim, int64_t heads, const UNetConfig& config)
    : resnet_0(channels, channels, time_dim, config.norm_num_groups, config.norm_eps),
      attention(channels, config.cross_attention_dim, heads, config.norm_num_groups,
                config.use_linear_projection),
      resnet_1(channels, channels, time_dim, config.norm_num_groups, config.norm_eps) {}

Tensor MidBlock::operator()(Tensor h, Tensor temb, Tensor prompt) const {
  Scope scope(path, h, temb, prompt);
  h = resnet_0(h, temb);
  h = attention(h, prompt);
  h = resnet_1(h, temb);
  return scope.out(h);
}

// ---- UpBlock

UpBlock::UpBlock(int64_t below, int64_t skip, int64_t out, int64_t time_dim, bool attends, int64_t heads,
                 bool upsamples, const UNetConfig& config) {
  const int64_t layers = config.layers_per_block + 1;  // one more than on the way down: conv_in's or the
  for (int64_t i = 0; i < layers; ++i) {               // downsampler's result is a skip connection too
    const int64_t from_below = i == 0 ? below : out;
    const int64_t from_skip = i == layers - 1 ? skip : out;
    resnets.emplace_back(from_below + from_skip, out, time_dim, config.norm_num_groups, config.norm_eps);
    if (!attends) continue;
    attentions.emplace_back(out, config.cross_attention_dim, heads, config.norm_num_groups,
                            config.use_linear_projection);
  }
  if (upsamples) upsampler.emplace(out);
}

Tensor UpBlock::operator()(Tensor h, Tensor temb, Tensor prompt, std::vector<Tensor>& skips) const {
  Scope scope(path, h, temb, prompt);
  for (size_t i = 0; i < resnets.size(); ++i) {
    if (skips.empty())
      throw Error("at " + path + " there is no skip connection left; a UNet needs one for each ResBlock");
    h = concat({h, skips.back()}, 1);
    skips.pop_back();
    h = resnets[i](h, temb);
    if (!attentions.empty()) h = attentions[i](h, prompt);
  }
  if (upsampler && skips.empty()) h = (*upsampler)(h);
  if (upsampler && !skips.empty()) h = (*upsampler)(h, skips.back().shape()[2], skips.back().shape()[3]);
  return scope.out(h);
}

// ---- UNet

UNet::UNet(const UNetConfig& sizes)
    : config(sizes),
      time_embedding(sizes.block_out_channels.front(), 4 * sizes.block_out_channels.front()),
      conv_in(conv3x3(sizes.in_channels, sizes.block_out_channels.front())),
      mid_block(sizes.block_out_channels.back(), 4 * sizes.block_out_channels.front(), sizes.heads.back(),
                sizes),
      conv_norm_out(sizes.norm_num_groups, sizes.block_out_channels.front(), sizes.norm_eps),
      conv_out(conv3x3(sizes.block_out_channels.front(), sizes.out_channels)) {
  const std::vector<int64_t>& channels = config.block_out_channels;
  const int64_t time_dim = 4 * channels.front();
  const size_t levels = channels.size();
  for (size_t i = 0; i < levels; ++i) {
    const int64_t in = i == 0 ? channels.front() : channels[i - 1];
    down_blocks.emplace_back(in, channels[i], time_dim, config.attends[i], config.heads[i], i + 1 < levels,
                             config);
  }
  for (size_t i = levels; i-- > 0;) {  // the way up meets the levels in reverse
    const int64_t below = i + 1 < levels ? channels[i + 1] : channels.back();
    const int64_t skip = i > 0 ? channels[i - 1] : channels.front();
    up_blocks.emplace_back(below, skip, channels[i], time_dim, config.attends[i], config.heads[i], i > 0,
                           config);
  }
}

Tensor UNet::operator()(Tensor sample, std::span<const float> t, Tensor prompt) const {
  Scope scope(path, sample, prompt);
  const Tensor waves =
      scope("time_proj", timestep_embedding(t, config.block_out_channels.front(), config.time));
  const Tensor temb = time_embedding(waves);

  Tensor h = conv_in(sample);
  std::vector<Tensor> skips{h};  // 12 in SD 1.x: conv_in, then 3 3 3 2 from d1 to d4
  for (const DownBlock& down : down_blocks) h = down(h, temb, prompt, skips);
  for (size_t i = 0; i < skips.size(); ++i)
    skips[i] = scope(("skips." + std::to_string(i)).c_str(), skips[i]);
  h = mid_block(h, temb, prompt);
  for (const UpBlock& up : up_blocks) h = up(h, temb, prompt, skips);

  h = conv_norm_out(h);
  h = silu(h);
  h = conv_out(h);
  return scope.out(h);
}

}  // namespace cutaway
