#include "models/clip_text.h"

#include <algorithm>
#include <numeric>

#include "tensor/error.h"

namespace cutaway {
namespace {

// The rows of a table, for ids that may lie behind it: those are rows of `new_rows`.
Tensor with_new_rows(const Embedding& table, TokenIds ids, const Tensor& new_rows) {
  const int64_t known = table.weight.shape[0], width = table.weight.shape[1];
  const std::vector<int64_t> wanted = ids.ids;
  const int64_t count = new_rows.shape()[0];
  for (int64_t& id : ids.ids) {
    if (id >= known && id < known + count) id = 0;
  }
  Tensor tokens = table(ids);
  Tensor mixed(tokens.shape(), tokens.values());
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i] < known) continue;
    const float* row = new_rows.data() + (wanted[i] - known) * width;
    std::copy_n(row, width, mixed.mutable_data() + static_cast<int64_t>(i) * width);
  }
  return mixed;
}

}  // namespace

Tensor CLIPTextEmbeddings::operator()(const TokenIds& ids, const Tensor& new_rows) const {
  Scope scope(path);
  if (ids.length > position_embedding.weight.shape[0]) {
    throw Error(
        "at " + path + " a text of " + std::to_string(ids.length) + " tokens was given, but there are only " +
        std::to_string(position_embedding.weight.shape[0]) + " positions; shorten it or cut it into pieces");
  }
  TokenIds places{1, ids.length, std::vector<int64_t>(static_cast<size_t>(ids.length))};
  std::iota(places.ids.begin(), places.ids.end(), 0);

  const Tensor tokens = new_rows.empty() ? token_embedding(ids)  // [N, T, hidden_size]
                                         : with_new_rows(token_embedding, ids, new_rows);
  const Tensor positions = position_embedding(places);  // [1, T, hidden_size]
  return scope.out(add_to_each(tokens, positions));
}

CLIPEncoder::CLIPEncoder(const ClipTextConfig& config) {
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    layers.emplace_back(config.hidden_size, config.num_attention_heads, config.intermediate_size,
                        config.hidden_act, config.layer_norm_eps);
  }
}

Tensor CLIPEncoder::operator()(Tensor x, int64_t skip_layers) const {
  Scope scope(path, x);
  const size_t count = layers.size() - static_cast<size_t>(skip_layers);
  for (size_t i = 0; i < count; ++i) x = layers[i](x);
  return scope.out(x);
}

Tensor CLIPTextTransformer::operator()(const TokenIds& ids, int64_t skip_layers,
                                       const Tensor& new_rows) const {
  Scope scope(path);
  Tensor x = embeddings(ids, new_rows);
  x = encoder(x, skip_layers);
  x = final_layer_norm(x);
  return scope.out(x);
}

Tensor CLIPTextModel::operator()(const TokenIds& ids, int64_t clip_skip, const Tensor& new_rows) const {
  Scope scope(path);
  if (clip_skip < 1 || clip_skip > config.num_hidden_layers) {
    throw Error("clip skip is " + std::to_string(clip_skip) + ", but must be from 1 to " +
                std::to_string(config.num_hidden_layers) + ", the layers of this text encoder");
  }
  return scope.out(text_model(ids, clip_skip - 1, new_rows));
}

Tensor pooled(const Tensor& last_hidden_state, const TokenIds& ids) {
  const int64_t width = last_hidden_state.shape()[2];
  Tensor rows(Shape{ids.batch, width});
  float* out = rows.mutable_data();
  for (int64_t n = 0; n < ids.batch; ++n) {
    const auto begin = ids.ids.begin() + n * ids.length;
    const int64_t end_token = std::max_element(begin, begin + ids.length) - begin;
    std::copy_n(last_hidden_state.data() + (n * ids.length + end_token) * width, width, out + n * width);
  }
  return rows;
}

}  // namespace cutaway
