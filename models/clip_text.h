// CLIP's text encoder: the prompt's tokens become the context of the UNet's cross-attention.
// Doc: docs/clip.md
#pragma once

#include <vector>

#include "nn/clip_layer.h"
#include "nn/embedding.h"

namespace cutaway {

/// The sizes of a text encoder; config.json of a model folder's text_encoder/ has them. The defaults are
/// those of SD 1.x (openai/clip-vit-large-patch14).
struct ClipTextConfig {
  int64_t vocab_size = 49408;
  int64_t hidden_size = 768;
  int64_t intermediate_size = 3072;
  int64_t num_hidden_layers = 12;
  int64_t num_attention_heads = 12;
  int64_t max_position_embeddings = 77;
  Activation hidden_act = Activation::quick_gelu;
  float layer_norm_eps = 1e-5F;
};

/// A row of the table for each token, plus a row for its place.
struct CLIPTextEmbeddings : Module {
  Embedding token_embedding;
  Embedding position_embedding;

  explicit CLIPTextEmbeddings(const ClipTextConfig& config)
      : token_embedding(config.vocab_size, config.hidden_size),
        position_embedding(config.max_position_embeddings, config.hidden_size) {}

  template <class V>
  void each(V&& visit) {
    visit("token_embedding", token_embedding);
    visit("position_embedding", position_embedding);
  }

  // ids: [N, T]   ->   [N, T, hidden_size]. The id vocab_size + i is row i of new_rows [n, hidden_size].
  Tensor operator()(const TokenIds& ids, const Tensor& new_rows = {}) const;
};

/// The layers in a row.  x: [N, T, hidden_size] -> the same. transformers: CLIPEncoder.
struct CLIPEncoder : Module {
  std::vector<CLIPEncoderLayer> layers;

  explicit CLIPEncoder(const ClipTextConfig& config);

  template <class V>
  void each(V&& visit) {
    visit("layers", layers);
  }

  // x: [N, T, hidden_size]   ->   the same shape. The last `skip_layers` layers are left out.
  Tensor operator()(Tensor x, int64_t skip_layers) const;
};

/// Embeddings, layers, last norm.  ids: [N, T] -> [N, T, hidden_size]. transformers: CLIPTextTransformer.
struct CLIPTextTransformer : Module {
  CLIPTextEmbeddings embeddings;
  CLIPEncoder encoder;
  LayerNorm final_layer_norm;

  explicit CLIPTextTransformer(const ClipTextConfig& config)
      : embeddings(config), encoder(config), final_layer_norm(config.hidden_size, config.layer_norm_eps) {}

  template <class V>
  void each(V&& visit) {
    visit("embeddings", embeddings);
    visit("encoder", encoder);
    visit("final_layer_norm", final_layer_norm);
  }

  Tensor operator()(const TokenIds& ids, int64_t skip_layers, const Tensor& new_rows = {}) const;
};

/// Radford et al. 2021. transformers: CLIPTextModel. 123,060,480 parameters in SD 1.x.
struct CLIPTextModel : Module {
  ClipTextConfig config;
  CLIPTextTransformer text_model;

  explicit CLIPTextModel(const ClipTextConfig& sizes = {}) : config(sizes), text_model(sizes) {}

  template <class V>
  void each(V&& visit) {
    visit("text_model", text_model);
  }

  // ids: [N, T]   ->   [N, T, hidden_size], after the last layer norm. clip_skip 2 leaves out the last layer.
  // new_rows are those of textual inversion, models/overlays/textual_inversion.h.
  Tensor operator()(const TokenIds& ids, int64_t clip_skip = 1, const Tensor& new_rows = {}) const;
};

/// The one row of `last_hidden_state` that stands for the whole text: where the end token is, found as the
/// first place of the largest id. [N, T, C] -> [N, C]
Tensor pooled(const Tensor& last_hidden_state, const TokenIds& ids);

}  // namespace cutaway
