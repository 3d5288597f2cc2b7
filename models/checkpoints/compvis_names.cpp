#include "models/checkpoints/compvis_names.h"

#include <charconv>
#include <span>
#include <string_view>
#include <vector>

namespace cutaway {
namespace {

using Pieces = std::span<const std::string_view>;

std::vector<std::string_view> split(std::string_view name) {
  std::vector<std::string_view> pieces;
  for (size_t begin = 0; begin <= name.size();) {
    const size_t dot = std::min(name.find('.', begin), name.size());
    pieces.push_back(name.substr(begin, dot - begin));
    begin = dot + 1;
  }
  return pieces;
}

std::string joined(Pieces pieces) {
  std::string text;
  for (const std::string_view piece : pieces) text += "." + std::string(piece);
  return text;
}

std::string number(int64_t value) { return std::to_string(value); }

// A piece that is a whole number below `limit`.
std::optional<int64_t> index(std::string_view piece, int64_t limit) {
  int64_t value = -1;
  const auto [end, error] = std::from_chars(piece.data(), piece.data() + piece.size(), value);
  if (error != std::errc() || end != piece.data() + piece.size() || value < 0 || value >= limit)
    return std::nullopt;
  return value;
}

struct Rename {
  std::string_view ours, theirs;
};

// The first piece renamed by a table, the rest kept: "conv1", "weight" -> ".in_layers.2.weight".
std::optional<std::string> renamed(std::span<const Rename> table, Pieces pieces) {
  if (pieces.empty()) return std::nullopt;
  for (const Rename& entry : table) {
    if (entry.ours == pieces[0]) return "." + std::string(entry.theirs) + joined(pieces.subspan(1));
  }
  return std::nullopt;
}

std::optional<std::string> after(const std::string& front, const std::optional<std::string>& rest) {
  if (!rest) return std::nullopt;
  return front + *rest;
}

// ---- UNet

constexpr Rename unet_resblock[] = {{"norm1", "in_layers.0"},          {"conv1", "in_layers.2"},
                                    {"time_emb_proj", "emb_layers.1"}, {"norm2", "out_layers.0"},
                                    {"conv2", "out_layers.3"},         {"conv_shortcut", "skip_connection"}};

// d1 to d4. At CompVis every skip connection ends one of the input_blocks: the first convolution, then each
// ResBlock (with its Transformer) and each Downsample.
std::optional<std::string> down_name(Pieces p, const UNetConfig& config) {
  const auto levels = static_cast<int64_t>(config.block_out_channels.size());
  const int64_t per_level = config.layers_per_block + 1;
  const auto level = p.size() < 4 ? std::nullopt : index(p[1], levels);
  if (!level) return std::nullopt;
  if (p[2] == "downsamplers" && p[4] == "conv") {
    return "input_blocks." + number((*level + 1) * per_level) + ".0.op" + joined(p.subspan(5));
  }
  const auto layer = index(p[3], config.layers_per_block);
  if (!layer) return std::nullopt;
  const std::string block = "input_blocks." + number(1 + *level * per_level + *layer);
  if (p[2] == "resnets") return after(block + ".0", renamed(unet_resblock, p.subspan(4)));
  if (p[2] == "attentions") return block + ".1" + joined(p.subspan(4));
  return std::nullopt;
}

// u1 to u4. Each output block takes one skip connection; the last of a level also has the Upsample.
std::optional<std::string> up_name(Pieces p, const UNetConfig& config) {
  const auto levels = static_cast<int64_t>(config.block_out_channels.size());
  const int64_t per_level = config.layers_per_block + 1;
  const auto level = p.size() < 4 ? std::nullopt : index(p[1], levels);
  if (!level) return std::nullopt;
  if (p[2] == "upsamplers" && p[4] == "conv") {
    const bool attends = config.attends[static_cast<size_t>(levels - 1 - *level)];
    const std::string block = "output_blocks." + number(*level * per_level + config.layers_per_block);
    return block + (attends ? ".2" : ".1") + joined(p.subspan(4));
  }
  const auto layer = index(p[3], per_level);
  if (!layer) return std::nullopt;
  const std::string block = "output_blocks." + number(*level * per_level + *layer);
  if (p[2] == "resnets") return after(block + ".0", renamed(unet_resblock, p.subspan(4)));
  if (p[2] == "attentions") return block + ".1" + joined(p.subspan(4));
  return std::nullopt;
}

std::optional<std::string> mid_name(Pieces p) {
  if (p.size() < 4) return std::nullopt;
  if (p[1] == "attentions" && p[2] == "0") return "middle_block.1" + joined(p.subspan(3));
  if (p[1] != "resnets" || (p[2] != "0" && p[2] != "1")) return std::nullopt;
  return after(p[2] == "0" ? "middle_block.0" : "middle_block.2", renamed(unet_resblock, p.subspan(3)));
}

// ---- VAE

constexpr Rename vae_resblock[] = {{"norm1", "norm1"},
                                   {"conv1", "conv1"},
                                   {"norm2", "norm2"},
                                   {"conv2", "conv2"},
                                   {"conv_shortcut", "nin_shortcut"}};
constexpr Rename vae_attention[] = {{"group_norm", "norm"}, {"to_q", "q"}, {"to_k", "k"}, {"to_v", "v"}};

std::optional<std::string> attention_name(Pieces p) {
  if (p.size() > 2 && p[0] == "to_out" && p[1] == "0") return ".proj_out" + joined(p.subspan(2));
  return renamed(vae_attention, p);
}

// A level of the encoder ("down") or the decoder ("up").
std::optional<std::string> level_name(Pieces p, const std::string& front, int64_t limit) {
  if (p.size() < 3) return std::nullopt;
  if ((p[0] == "downsamplers" || p[0] == "upsamplers") && p[1] == "0") {
    return front + (p[0] == "downsamplers" ? ".downsample" : ".upsample") + joined(p.subspan(2));
  }
  const auto layer = index(p[1], limit);
  if (p[0] != "resnets" || !layer) return std::nullopt;
  return after(front + ".block." + number(*layer), renamed(vae_resblock, p.subspan(2)));
}

// `p` starts behind "encoder" or "decoder".
std::optional<std::string> coder_name(Pieces p, const VaeConfig& config) {
  const auto levels = static_cast<int64_t>(config.block_out_channels.size());
  if (p.size() < 2) return std::nullopt;
  if (p[0] == "conv_in" || p[0] == "conv_out") return joined(p);
  if (p[0] == "conv_norm_out") return ".norm_out" + joined(p.subspan(1));
  if (p[0] == "down_blocks" || p[0] == "up_blocks") {
    const auto level = index(p[1], levels);
    if (!level) return std::nullopt;
    const bool down = p[0] == "down_blocks";
    const std::string front = down ? ".down." + number(*level) : ".up." + number(levels - 1 - *level);
    return level_name(p.subspan(2), front, config.layers_per_block + (down ? 0 : 1));
  }
  if (p[0] != "mid_block" || p.size() < 4) return std::nullopt;
  if (p[1] == "attentions" && p[2] == "0") return after(".mid.attn_1", attention_name(p.subspan(3)));
  if (p[1] != "resnets" || (p[2] != "0" && p[2] != "1")) return std::nullopt;
  return after(p[2] == "0" ? ".mid.block_1" : ".mid.block_2", renamed(vae_resblock, p.subspan(3)));
}

}  // namespace

std::optional<std::string> compvis_unet_name(const std::string& name, const UNetConfig& config) {
  const std::vector<std::string_view> pieces = split(name);
  const Pieces p = pieces;
  if (p[0] == "conv_in") return "input_blocks.0.0" + joined(p.subspan(1));
  if (p[0] == "conv_norm_out") return "out.0" + joined(p.subspan(1));
  if (p[0] == "conv_out") return "out.2" + joined(p.subspan(1));
  if (p[0] == "time_embedding" && p.size() > 2) {
    if (p[1] == "linear_1") return "time_embed.0" + joined(p.subspan(2));
    if (p[1] == "linear_2") return "time_embed.2" + joined(p.subspan(2));
  }
  if (p[0] == "down_blocks" && p.size() > 5) return down_name(p, config);
  if (p[0] == "up_blocks" && p.size() > 5) return up_name(p, config);
  if (p[0] == "mid_block") return mid_name(p);
  return std::nullopt;
}

std::optional<std::string> compvis_vae_name(const std::string& name, const VaeConfig& config) {
  const std::vector<std::string_view> pieces = split(name);
  const Pieces p = pieces;
  if (p[0] == "quant_conv" || p[0] == "post_quant_conv") return name;
  if (p[0] != "encoder" && p[0] != "decoder") return std::nullopt;
  return after(std::string(p[0]), coder_name(p.subspan(1), config));
}

std::optional<std::string> older_vae_name(const std::string& name) {
  const size_t at = name.find(".attentions.0.to_");
  if (at == std::string::npos) return std::nullopt;
  const std::string front = name.substr(0, at) + ".attentions.0";
  const std::vector<std::string_view> pieces = split(std::string_view(name).substr(front.size() + 1));
  const Pieces p = pieces;
  static constexpr Rename older[] = {{"to_q", "query"}, {"to_k", "key"}, {"to_v", "value"}};
  if (p[0] == "to_out" && p.size() > 2) return front + ".proj_attn" + joined(p.subspan(2));
  return after(front, renamed(older, p));
}

}  // namespace cutaway
