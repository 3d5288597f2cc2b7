// Every layer against the original, and its wrong twins: a tolerance is
// right when the plausible mistake fails it.
#include <doctest/doctest.h>

#include "nn/attn_block.h"
#include "nn/clip_layer.h"
#include "nn/resample.h"
#include "nn/resblock.h"
#include "nn/time_embedding.h"
#include "nn/transformer.h"
#include "tensor/error.h"
#include "tests/check.h"
#include "tests/reference_case.h"

using namespace cutaway;
using test::ReferenceCase;

TEST_CASE("ResBlock: the small input tells the eps of each norm") {
  const ReferenceCase reference("blocks/resnet_shortcut.safetensors");
  const ResBlock block = reference.loaded(ResBlock(32, 64, 32, 32, 1e-5F));
  const Tensor x = reference.tensor("small/in/hidden_states"), temb = reference.tensor("small/in/temb");
  const Tensor expected = reference.tensor("small/out/sample");
  const float atol = 3e-5F;
  CHECK_CLOSE(block(x, temb), expected, atol);

  ResBlock wrong_eps = block;
  wrong_eps.norm1.eps = 1e-6F;
  CHECK_DIFFERS(wrong_eps(x, temb), expected, atol);
  ResBlock wrong_groups = block;
  wrong_groups.norm2.groups = 16;
  CHECK_DIFFERS(wrong_groups(x, temb), expected, atol);
  ResBlock without_time = block;
  without_time.time_emb_proj.reset();
  CHECK_DIFFERS(without_time(x, temb), expected, atol);
}

TEST_CASE("SpatialTransformer: eps 1e-6 in its GroupNorm, 1e-5 in its LayerNorms") {
  const ReferenceCase reference("blocks/transformer_2d.safetensors");
  const SpatialTransformer transformer = reference.loaded(SpatialTransformer(32, 16, 8, 32));
  const Tensor x = reference.tensor("small/in/hidden_states"),
               prompt = reference.tensor("small/in/encoder_hidden_states");
  const Tensor expected = reference.tensor("small/out/sample");
  const float atol = 3e-5F;
  CHECK_CLOSE(transformer(x, prompt), expected, atol);

  SpatialTransformer wrong_eps = transformer;
  wrong_eps.norm.eps = 1e-5F;
  CHECK_DIFFERS(wrong_eps(x, prompt), expected, atol);
  SpatialTransformer attention_swapped = transformer;
  auto& block = attention_swapped.transformer_blocks[0];
  std::swap(block.norm1, block.norm2);
  CHECK_DIFFERS(attention_swapped(x, prompt), expected, atol);
}

TEST_CASE("BasicTransformerBlock: LayerNorm's eps shows on the small input") {
  const ReferenceCase reference("blocks/basic_transformer_block.safetensors");
  const BasicTransformerBlock block = reference.loaded(BasicTransformerBlock(32, 16, 8));
  const Tensor x = reference.tensor("small/in/hidden_states"),
               prompt = reference.tensor("small/in/encoder_hidden_states");
  const Tensor expected = reference.tensor("small/out/y");
  CHECK_CLOSE(block(x, prompt), expected, 3e-5F);
  BasicTransformerBlock wrong_eps = block;
  wrong_eps.norm1.eps = 1e-6F;
  CHECK_DIFFERS(wrong_eps(x, prompt), expected, 3e-5F);
}

TEST_CASE("CrossAttention: 8 heads of 4 are not 4 heads of 8, and keys do not come from the image") {
  const ReferenceCase reference("blocks/attention_cross.safetensors");
  const CrossAttention attention = reference.loaded(CrossAttention(32, 16, 8));
  const Tensor x = reference.tensor("in/hidden_states"),
               context = reference.tensor("in/encoder_hidden_states");
  const Tensor expected = reference.tensor("out/y");
  const float atol = 2e-5F;
  CHECK_CLOSE(attention(x, context), expected, atol);

  CrossAttention heads_and_width_exchanged = attention;
  heads_and_width_exchanged.heads = 4;
  CHECK_DIFFERS(heads_and_width_exchanged(x, context), expected, atol);
  CrossAttention keys_as_values = attention;
  std::swap(keys_as_values.to_k, keys_as_values.to_v);
  CHECK_DIFFERS(keys_as_values(x, context), expected, atol);
  CrossAttention softer = attention;  // the scale 1 / sqrt(d) off by 1 %
  softer.to_q.weight =
      Weight::of(scale(Tensor(Shape{32, 32}, {softer.to_q.weight.f32().data(), 1024}), 1.01F));
  CHECK_DIFFERS(softer(x, context), expected, atol);
  CHECK_THROWS_WITH_AS(attention(x, x), doctest::Contains("its last axis must be 16"), Error);
}

TEST_CASE("FeedForward: gelu with the error function, on the second half") {
  const ReferenceCase reference("blocks/basic_transformer_block.safetensors");
  const BasicTransformerBlock block = reference.loaded(BasicTransformerBlock(32, 16, 8));
  const Tensor x = reference.tensor("trace/norm3"), expected = reference.tensor("trace/ff");
  const float atol = 2e-5F;
  CHECK_CLOSE(block.ff(x), expected, atol);

  const Tensor both = block.ff.geglu.proj(x);  // [1, T, 2 inner]
  const Tensor value = slice(both, 2, 0, 128), gate = slice(both, 2, 128, 256);
  CHECK_CLOSE(block.ff.out(mul(value, gelu(gate))), expected, atol);
  CHECK_DIFFERS(block.ff.out(mul(gelu(value), gate)), expected, atol);
  CHECK_DIFFERS(block.ff.out(mul(value, gelu_tanh(gate))), expected, atol);
  CHECK_DIFFERS(block.ff.out(mul(value, quick_gelu(gate))), expected, atol);
}

TEST_CASE("CLIPEncoderLayer: causal, quick_gelu") {
  const ReferenceCase reference("blocks/clip_encoder_layer.safetensors");
  const CLIPEncoderLayer layer =
      reference.loaded(CLIPEncoderLayer(64, 8, 256, Activation::quick_gelu, 1e-5F));
  const Tensor x = reference.tensor("in/hidden_states"), expected = reference.tensor("out/y");
  const float atol = 3e-5F;
  CHECK_CLOSE(layer(x), expected, atol);

  CLIPEncoderLayer open_gelu = layer;
  open_gelu.mlp.activation = Activation::gelu;
  CHECK_DIFFERS(open_gelu(x), expected, atol);
  // Causal: what comes later does not change what came before.
  Tensor changed = concat({slice(x, 1, 0, 8), scale(slice(x, 1, 8, 9), -1)}, 1);
  CHECK_CLOSE(slice(layer(changed), 1, 0, 8), slice(layer(x), 1, 0, 8), 0);
}

TEST_CASE("Downsample: all sides in the UNet, right and bottom in the VAE") {
  const ReferenceCase unet("blocks/downsample_conv.safetensors");
  const Tensor x = unet.tensor("in/hidden_states"), expected = unet.tensor("out/sample");
  CHECK_CLOSE(unet.loaded(Downsample(32))(x), expected, 3e-5F);
  CHECK_DIFFERS(unet.loaded(Downsample(32, {.right = 1, .bottom = 1}))(x), expected, 3e-5F);

  const ReferenceCase vae("blocks/vae_down_encoder_block.safetensors");
  const Tensor h = vae.tensor("trace/resnets.1"), smaller = vae.tensor("trace/downsamplers.0");
  CHECK_CLOSE(vae.loaded(Downsample(32, {.right = 1, .bottom = 1}), "downsamplers.0.")(h), smaller, 3e-5F);
  CHECK_DIFFERS(vae.loaded(Downsample(32), "downsamplers.0.")(h), smaller, 3e-5F);
}

TEST_CASE("Upsample: nearest, then the convolution; to a given size as well") {
  const ReferenceCase reference("blocks/upsample_conv.safetensors");
  const Upsample up = reference.loaded(Upsample(32));
  const Tensor x = reference.tensor("in/hidden_states"), expected = reference.tensor("out/sample");
  CHECK_CLOSE(up(x), expected, 3e-5F);
  CHECK_DIFFERS(up.conv(upsample_bilinear(x, 6, 8)), expected, 3e-5F);
  CHECK(up(x, 5, 7).shape() == Shape{1, 32, 5, 7});
}

TEST_CASE("TimeEmbedding: silu between the two linear layers, none after") {
  const ReferenceCase reference("blocks/time_embedding_mlp.safetensors");
  const TimeEmbedding embed = reference.loaded(TimeEmbedding(32, 128));
  const Tensor waves = reference.tensor("in/t_emb"), expected = reference.tensor("out/temb");
  CHECK_CLOSE(embed(waves), expected, 2e-5F);
  CHECK_DIFFERS(silu(embed(waves)), expected, 2e-5F);
  CHECK_DIFFERS(embed.linear_2(embed.linear_1(waves)), expected, 2e-5F);
}

TEST_CASE("AttnBlock: one head, eps 1e-6") {
  const ReferenceCase reference("blocks/vae_attention.safetensors");
  const AttnBlock attention = reference.loaded(AttnBlock(32, 32));
  const Tensor x = reference.tensor("small/in/hidden_states"),
               expected = reference.tensor("small/out/sample");
  CHECK_CLOSE(attention(x), expected, 2e-5F);
  AttnBlock wrong_eps = attention;
  wrong_eps.group_norm.eps = 1e-5F;
  CHECK_DIFFERS(wrong_eps(x), expected, 2e-5F);
}
