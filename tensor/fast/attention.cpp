// The trick: the table of weights is never made. A few queries go through the keys block by block; of each
// row only the largest score so far, the sum of its exponentials and the weighted sum of values are kept, and
// when a larger score turns up, the last two are scaled down by exp(old - new). A block of scores lives in
// the cache, and both products are done by the kernel of gemm.cpp. (Milakov & Gimelshein 2018, "Online
// normalizer calculation for softmax"; Dao et al. 2022, "FlashAttention")
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "tensor/fast/gemm.h"
#include "tensor/fast/ops.h"
#include "tensor/fast/parallel.h"
#include "tensor/fast/simd.h"
#include "tensor/fast/softmax.h"
#include "tensor/fast/vector_math.h"
#include "tensor/memory.h"

namespace cutaway::fast {
namespace {

constexpr int64_t block_queries = 64;
constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

// What one block of scores does to one query's running softmax.
struct RunningRow {
  float largest = minus_infinity, sum = 0;
  float* values;  // the weighted sum of values so far, [value_count]
  int64_t value_count;
};

// scores[j] becomes exp(scores[j] - largest), and the running numbers follow. Lanes beyond `count` become 0.
template <int width>
CUTAWAY_INLINE void take_in_body(float* scores, int64_t count, RunningRow& row) {
  using S = Simd<width>;
  typename S::Vec largest, v, sums = {};
  const int64_t padded = (count + width - 1) / width * width;
  for (int64_t j = count; j < padded; ++j) scores[j] = minus_infinity;
  Math<width>::fill(largest, row.largest);
  for (int64_t j = 0; j < padded; j += width) {
    S::load(v, scores + j);
    largest = v > largest ? v : largest;
  }
  const float new_largest = S::largest(largest);
  const float centre = new_largest == minus_infinity ? 0 : new_largest;  // nothing seen yet: all exp are 0
  for (int64_t j = 0; j < padded; j += width) {
    S::load(v, scores + j);
    v -= centre;
    Math<width>::exp(v);
    sums += v;
    S::store(v, scores + j);
  }
  if (new_largest > row.largest) {
    const float factor = std::exp(row.largest - new_largest);
    row.sum *= factor;
    for (int64_t c = 0; c < row.value_count; ++c) row.values[c] *= factor;
    row.largest = new_largest;
  }
  row.sum += S::sum(sums);
}
CUTAWAY_LADDER(take_in, (float* scores, int64_t count, RunningRow& row), (scores, count, row))

// Keys and values of one head in the layout of the kernel. Keys: panels of columns, [d][48 keys]; values:
// panels of channels, [keys][48 channels].
struct PackedHeads {
  GemmKernel kernel;
  int64_t keys, d;
  int64_t keys_padded, d_padded;
  std::shared_ptr<float> k, v;

  PackedHeads(const Tensor& k_heads, const Tensor* v_heads)
      : kernel(gemm_kernel()),
        keys(k_heads.shape()[2]),
        d(k_heads.shape()[3]),
        keys_padded(kernel.padded(keys)),
        d_padded(kernel.padded(d)) {
    const int64_t heads = k_heads.count() / (keys * d), panel = kernel.panel();
    k = allocate_floats(heads * keys_padded * d);
    if (v_heads != nullptr) v = allocate_floats(heads * keys * d_padded);
    const int64_t panels = (keys + panel - 1) / panel;
    in_pieces(heads * panels, k_heads.count(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t head = i / panels, key = i % panels * panel;
        pack_keys(k_heads.data() + head * keys * d, head, key);
        if (v_heads != nullptr) pack_values(v_heads->data() + head * keys * d, head, key);
      }
    });
  }

  const float* key_panel(int64_t head, int64_t key) const { return k.get() + (head * keys_padded + key) * d; }
  const float* value_panel(int64_t head, int64_t channel) const {
    return v.get() + (head * d_padded + channel) * keys;
  }

 private:
  void pack_keys(const float* from, int64_t head, int64_t key) const {
    const int64_t some = std::min(kernel.panel(), keys - key), width = kernel.padded(some);
    float* const to = k.get() + (head * keys_padded + key) * d;
    transpose(from + key * d, d, some, d, to, width);
    for (int64_t i = 0; i < d; ++i) std::fill(to + i * width + some, to + (i + 1) * width, 0.0F);
  }
  void pack_values(const float* from, int64_t head, int64_t key) const {
    const int64_t key_end = std::min(key + kernel.panel(), keys);
    for (int64_t channel = 0; channel < d; channel += kernel.panel()) {
      const int64_t some = std::min(kernel.panel(), d - channel), width = kernel.padded(some);
      float* const to = v.get() + (head * d_padded + channel) * keys;
      for (int64_t j = key; j < key_end; ++j) {
        std::fill(std::copy_n(from + j * d + channel, some, to + j * width), to + (j + 1) * width, 0.0F);
      }
    }
  }
};

// One block of queries of one head: [first, first + count).
struct QueryBlock {
  int64_t n, h, head;          // head counts those of all images
  int64_t first, count, rows;  // rows: count, made up to whole tiles
};

class TiledAttention {
 public:
  TiledAttention(const Tensor& q, const Tensor& k, const Tensor* v, const AttentionOptions& options)
      : packed_(k, v), q_(q), options_(options) {}

  int64_t blocks() const { return q_.shape()[0] * q_.shape()[1] * blocks_per_head(); }
  int64_t scratch_floats() const {
    return block_queries * (packed_.d + packed_.d_padded + std::max(block_keys(), packed_.keys_padded));
  }

  // result[query, :] = sum over keys of weight * value / sum of weights
  void attend(int64_t block, float* scratch, float* result) const {
    const QueryBlock b = query_block(block);
    const int64_t d = packed_.d;
    float* const q = scratch;
    float* const values = q + block_queries * d;
    float* const scores = values + block_queries * packed_.d_padded;
    scale_queries(b, q);
    std::fill_n(values, b.rows * packed_.d_padded, 0.0F);
    RunningRow rows[block_queries];
    for (int64_t r = 0; r < b.rows; ++r) {
      rows[r].values = values + r * packed_.d_padded;
      rows[r].value_count = packed_.d_padded;
    }
    const int64_t seen = options_.causal ? std::min(packed_.keys, b.first + b.count) : packed_.keys;
    for (int64_t key = 0; key < seen; key += block_keys()) {
      const int64_t keys = std::min(block_keys(), packed_.keys - key);
      score(b, q, key, keys, scores, block_keys());
      for (int64_t r = 0; r < b.rows; ++r) take_in(scores + r * block_keys(), keys, rows[r]);
      add_values(b, key, keys, scores, values);
    }
    for (int64_t r = 0; r < b.count; ++r) {
      float* const to = result + (b.head * q_.shape()[2] + b.first + r) * d;
      for (int64_t c = 0; c < d; ++c) to[c] = rows[r].values[c] / rows[r].sum;
    }
  }

  // result[query, :] = the weights themselves
  void weigh(int64_t block, float* scratch, float* result) const {
    const QueryBlock b = query_block(block);
    float* const q = scratch;
    float* const scores = q + block_queries * packed_.d;
    scale_queries(b, q);
    for (int64_t key = 0; key < packed_.keys; key += block_keys()) {
      score(b, q, key, std::min(block_keys(), packed_.keys - key), scores + key, packed_.keys_padded);
    }
    for (int64_t r = 0; r < b.count; ++r) {
      float* const to = result + (b.head * q_.shape()[2] + b.first + r) * packed_.keys;
      softmax_row(scores + r * packed_.keys_padded, to, packed_.keys);
    }
  }

 private:
  int64_t block_keys() const { return 4 * packed_.kernel.panel(); }
  int64_t blocks_per_head() const { return (q_.shape()[2] + block_queries - 1) / block_queries; }

  QueryBlock query_block(int64_t block) const {
    const int64_t head = block / blocks_per_head(), first = block % blocks_per_head() * block_queries;
    const int64_t count = std::min(block_queries, q_.shape()[2] - first), tile = packed_.kernel.rows;
    return {head / q_.shape()[1], head % q_.shape()[1], head, first, count, (count + tile - 1) / tile * tile};
  }

  void scale_queries(const QueryBlock& b, float* q) const {
    const int64_t d = packed_.d;
    const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(d)));
    const float* const from = q_.data() + (b.head * q_.shape()[2] + b.first) * d;
    for (int64_t i = 0; i < b.count * d; ++i) q[i] = from[i] * scale;
    std::fill(q + b.count * d, q + b.rows * d, 0.0F);
  }

  // scores[r, j] = q[r] . k[key + j] + mask, -infinity where it may not be seen
  void score(const QueryBlock& b, const float* q, int64_t key, int64_t keys, float* scores,
             int64_t stride) const {
    const GemmKernel& kernel = packed_.kernel;
    for (int64_t j = 0; j < keys; j += kernel.panel()) {
      const int64_t width = kernel.padded(std::min(kernel.panel(), packed_.keys - key - j));
      Tile tile{
          q,      packed_.d, packed_.key_panel(b.head, key + j), packed_.d, width / kernel.width, nullptr,
          stride, false};
      for (int64_t r = 0; r < b.rows; r += kernel.rows) {
        tile.a = q + r * packed_.d;
        tile.c = scores + r * stride + j;
        kernel.run(tile);
      }
    }
    if (options_.mask != nullptr) add_mask(b, key, keys, scores, stride);
    if (!options_.causal) return;
    for (int64_t r = 0; r < b.count; ++r) {
      const int64_t hidden_from = std::clamp<int64_t>(b.first + r + 1 - key, 0, keys);
      std::fill(scores + r * stride + hidden_from, scores + r * stride + keys, minus_infinity);
    }
  }

  void add_mask(const QueryBlock& b, int64_t key, int64_t keys, float* scores, int64_t stride) const {
    const Shape& shape = options_.mask->shape();
    const int64_t n = shape[0] == 1 ? 0 : b.n, h = shape[1] == 1 ? 0 : b.h;
    const float* mask = options_.mask->data() + ((n * shape[1] + h) * shape[2] + b.first) * shape[3] + key;
    for (int64_t r = 0; r < b.count; ++r) {
      for (int64_t j = 0; j < keys; ++j) scores[r * stride + j] += mask[r * shape[3] + j];
    }
  }

  void add_values(const QueryBlock& b, int64_t key, int64_t keys, const float* weights, float* values) const {
    const GemmKernel& kernel = packed_.kernel;
    for (int64_t c = 0; c < packed_.d; c += kernel.panel()) {
      const int64_t width = kernel.padded(std::min(kernel.panel(), packed_.d - c));
      const float* const v = packed_.value_panel(b.head, c) + key * width;
      Tile tile{weights, block_keys(), v, keys, width / kernel.width, nullptr, packed_.d_padded, true};
      for (int64_t r = 0; r < b.rows; r += kernel.rows) {
        tile.a = weights + r * block_keys();
        tile.c = values + r * packed_.d_padded + c;
        kernel.run(tile);
      }
    }
  }

  const PackedHeads packed_;
  const Tensor& q_;
  const AttentionOptions& options_;
};

// Calls work(block, scratch) for every block of queries, spread over threads.
template <class Work>
void on_blocks(const TiledAttention& attention, int64_t products, const Work& work) {
  constexpr int64_t products_worth_a_team = 200000;
  const int threads = products > products_worth_a_team ? omp_get_max_threads() : 1;
  const int64_t floats = attention.scratch_floats(), blocks = attention.blocks();
  const std::shared_ptr<float> scratch = allocate_floats(threads * floats);
  if (rehearsing()) return;
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
  for (int64_t block = 0; block < blocks; ++block) {
    work(block, scratch.get() + omp_get_thread_num() * floats);
  }
}

}  // namespace

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options) {
  Tensor result(q.shape());
  float* const y = result.mutable_data();
  const TiledAttention tiled(q, k, &v, options);
  on_blocks(tiled, q.count() * k.shape()[2],
            [&](int64_t block, float* scratch) { tiled.attend(block, scratch, y); });
  return result;
}

Tensor attention_probs(const Tensor& q, const Tensor& k, const AttentionOptions& options) {
  Tensor result(q.shape().with(3, k.shape()[2]));
  float* const probs = result.mutable_data();
  const TiledAttention tiled(q, k, nullptr, options);
  on_blocks(tiled, q.count() * k.shape()[2],
            [&](int64_t block, float* scratch) { tiled.weigh(block, scratch, probs); });
  return result;
}

}  // namespace cutaway::fast
