// The tricks:
//
// - The table of weights is never made. A few queries go through the keys block by block; of each query only
//   the largest score so far, the sum of its exponentials and the weighted sum of values are kept, and when a
//   larger score turns up, the last two are scaled down by exp(old - new). A block of scores stays in the
//   cache. (Milakov & Gimelshein 2018, "Online normalizer calculation for softmax"; Dao et al. 2022,
//   "FlashAttention")
// - Queries lie in the lanes of the vectors: scores are k q^T, [keys, queries], the result v^T p, [d,
//   queries]. So the largest score and the sum of each query are found without looking across lanes, the keys
//   are rows that the kernel of gemm.h reads where they are, and a d of 40 fills its tiles of 8 rows, where
//   it would leave a sixth of three vectors empty.
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "tensor/backend.h"
#include "tensor/fast/bf16.h"
#include "tensor/fast/gemm.h"
#include "tensor/fast/ops.h"
#include "tensor/fast/parallel.h"
#include "tensor/fast/rounding.h"
#include "tensor/fast/simd.h"
#include "tensor/fast/softmax.h"
#include "tensor/fast/vector_math.h"
#include "tensor/memory.h"

namespace cutaway::fast {
namespace {

constexpr int64_t block_keys = 128;
constexpr int64_t most_queries = 48;  // in a panel
constexpr int64_t most_together = 4;  // panels
constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

// The running softmax of a panel of queries.
struct Running {
  float largest[most_queries], sum[most_queries];
  float factor[most_queries];  // what the values so far must be scaled by
  bool rescale;                // whether any factor is not 1
};

// scores [keys][queries] become exp(score - largest), and the running numbers follow. Four keys at a time, so
// that no sum waits for the one before; the scores behind the last key become -infinity.
template <int width>
CUTAWAY_INLINE void take_in_body(float* scores, int64_t keys, int64_t queries, Running& running) {
  using S = Simd<width>;
  using Vec = typename S::Vec;
  const int64_t end = round_up(keys, 4) * queries, step = 4 * queries;
  std::fill(scores + keys * queries, scores + end, minus_infinity);
  running.rescale = false;
  for (int64_t q = 0; q < queries; q += width) {
    Vec before, largest[4], v[4], sums[4] = {};
    S::load(before, running.largest + q);
    CUTAWAY_UNROLL for (int i = 0; i < 4; ++i) largest[i] = before;
    for (float* four = scores + q; four < scores + end; four += step) {
      CUTAWAY_UNROLL for (int i = 0; i < 4; ++i) {
        S::load(v[i], four + i * queries);
        largest[i] = v[i] > largest[i] ? v[i] : largest[i];
      }
    }
    CUTAWAY_UNROLL for (int i = 1; i < 4; ++i) largest[0] = largest[i] > largest[0] ? largest[i] : largest[0];
    // Nothing seen yet: all exponentials are 0.
    const Vec centre = largest[0] > minus_infinity ? largest[0] : Vec{};
    for (float* four = scores + q; four < scores + end; four += step) {
      CUTAWAY_UNROLL for (int i = 0; i < 4; ++i) {
        S::load(v[i], four + i * queries);
        v[i] -= centre;
        Math<width>::exp_below_0(v[i]);
        sums[i] += v[i];
        S::store(v[i], four + i * queries);
      }
    }
    Vec factor = before - centre, sum;
    Math<width>::exp_below_0(factor);
    S::load(sum, running.sum + q);
    S::store(sum * factor + ((sums[0] + sums[1]) + (sums[2] + sums[3])), running.sum + q);
    S::store(largest[0], running.largest + q);
    S::store(factor, running.factor + q);
    for (int64_t i = q; i < q + width; ++i) running.rescale |= running.factor[i] != 1;
  }
}
CUTAWAY_LADDER(take_in, (float* scores, int64_t keys, int64_t queries, Running& running),
               (scores, keys, queries, running))

// values [rows][queries] *= factors [queries]
template <int width>
CUTAWAY_INLINE void scale_columns_body(float* values, int64_t rows, int64_t queries, const float* factors) {
  using S = Simd<width>;
  typename S::Vec v, factor;
  for (int64_t q = 0; q < queries; q += width) {
    S::load(factor, factors + q);
    for (int64_t r = 0; r < rows; ++r) {
      S::load(v, values + r * queries + q);
      S::store(v * factor, values + r * queries + q);
    }
  }
}
CUTAWAY_LADDER(scale_columns, (float* values, int64_t rows, int64_t queries, const float* factors),
               (values, rows, queries, factors))

// Keys and values of all heads as rows for the kernel, which takes them in whole tiles. Keys lie right
// already, but for the last few of each head, which need zeros behind them; values are turned over,
// [d][keys]. In bf16 both are made of pairs.
struct HeadRows {
  GemmKernel kernel;
  int64_t together;  // terms in the place of one float: 2 bf16, or 1
  const float* k;
  int64_t keys, d, d_rows;
  int64_t v_stride;
  std::shared_ptr<float> key_pairs, last_keys, v;

  HeadRows(const Tensor& k_heads, const Tensor* v_heads)
      : kernel(gemm_kernel()),
        together(current_precision() == Precision::bf16 && has_bf16_product() ? 2 : 1),
        k(k_heads.data()),
        keys(k_heads.shape()[2]),
        d(k_heads.shape()[3]),
        d_rows(round_up(d, kernel.rows)),
        v_stride(round_up(keys, 16) + 16) {
    const int64_t heads = k_heads.count() / (keys * d);
    if (together == 2) {
      kernel.run = gemm_tile_bf16;
      key_pairs = allocate_floats(heads * keys * pairs_stride());
    }
    last_keys = allocate_floats(heads * kernel.rows * key_stride());
    if (v_heads != nullptr) v = allocate_floats(heads * d_rows * v_stride);
    if (in_dry_run()) return;
    if (together == 2) pair_keys(heads);
    const int64_t whole = keys / kernel.rows * kernel.rows, stride = key_stride();
    for (int64_t head = 0; head < heads; ++head) {
      float* const to = last_keys.get() + head * kernel.rows * stride;
      std::fill(std::copy(k + (head * keys + whole) * stride, k + (head + 1) * keys * stride, to),
                to + kernel.rows * stride, 0.0F);
    }
    if (v_heads != nullptr) turn_values(*v_heads, heads);
  }

  /// Floats from one key to the next.
  int64_t key_stride() const { return together == 2 ? pairs_stride() : d; }
  const float* key_rows(int64_t head, int64_t key) const {
    return key + kernel.rows <= keys ? k + (head * keys + key) * key_stride()
                                     : last_keys.get() + head * kernel.rows * key_stride();
  }
  const float* value_rows(int64_t head, int64_t channel, int64_t key) const {
    return v.get() + (head * d_rows + channel) * v_stride + key / together;
  }

 private:
  int64_t pairs_stride() const { return (d + 1) / 2; }

  void pair_keys(int64_t heads) {
    in_pieces(heads * keys, heads * keys * d, [&](int64_t begin, int64_t end) {
      std::vector<float> row(static_cast<size_t>(round_up(d, 16) + 16));
      for (int64_t i = begin; i < end; ++i) {
        rows_to_pairs(k + i * d, 0, 1, d, row.data(), 0);
        std::copy_n(row.data(), pairs_stride(), key_pairs.get() + i * pairs_stride());
      }
    });
    k = key_pairs.get();
  }

  void turn_values(const Tensor& v_heads, int64_t heads) {
    constexpr int64_t side = 64;
    const int64_t blocks = (keys + side - 1) / side;
    in_pieces(heads * blocks, v_heads.count(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t head = i / blocks, key = i % blocks * side, some = std::min(side, keys - key);
        float* const to = v.get() + head * d_rows * v_stride + key;
        transpose(v_heads.data() + (head * keys + key) * d, d, some, d, to, v_stride);
        for (int64_t c = d; c < d_rows; ++c) std::fill_n(to + c * v_stride, some, 0.0F);
      }
    });
    if (together == 1) return;
    in_pieces(heads * d_rows, v_heads.count(), [&](int64_t begin, int64_t end) {
      float* const rows = v.get() + begin * v_stride;
      rows_to_pairs(rows, v_stride, end - begin, keys, rows, v_stride);
    });
  }
};

// A panel of queries of one head: [first, first + count).
struct Queries {
  int64_t n, h, head;  // head counts those of all images
  int64_t first, count;
  int64_t width;  // count, made up to whole vectors
};

class TiledAttention {
 public:
  TiledAttention(const Tensor& q, const Tensor& k, const Tensor* v, const AttentionOptions& options)
      : rows_(k, v), q_(q), options_(options), length_(q.shape()[2]) {
    panel_ = rows_.kernel.panel_for(length_);
    panels_ = (length_ + panel_ - 1) / panel_;
  }

  int64_t panels() const { return q_.shape()[0] * q_.shape()[1] * panels_; }
  /// Panels of one head that go through the keys together, so that each block of keys and values is fetched
  /// once for all of them.
  int64_t groups() const { return q_.shape()[0] * q_.shape()[1] * groups_per_head(); }
  int64_t scratch_floats() const {
    return panel_ * (most_together * (rows_.d + rows_.d_rows) +
                     std::max(block_keys, round_up(rows_.keys, rows_.kernel.rows)));
  }

  // result[query, :] = sum over keys of weight * value / sum of weights
  void attend(int64_t group, float* scratch, float* result) const {
    const int64_t head = group / groups_per_head(), first = group % groups_per_head() * most_together;
    const int64_t together = std::min(most_together, panels_ - first);
    Working w[most_together];
    float* const scores = scratch + most_together * panel_ * (rows_.d + rows_.d_rows);
    int64_t seen = rows_.keys;
    for (int64_t i = 0; i < together; ++i) {
      w[i] = begin(head * panels_ + first + i, scratch + i * panel_ * (rows_.d + rows_.d_rows));
      if (options_.causal) seen = std::min(rows_.keys, w[i].queries.first + w[i].queries.count);
    }
    for (int64_t key = 0; key < seen; key += block_keys) {
      for (int64_t i = 0; i < together; ++i) take_in_block(w[i], key, scores);
    }
    for (int64_t i = 0; i < together; ++i) finish(w[i], result);
  }

  // result[query, :] = the weights themselves
  void weigh(int64_t panel, float* scratch, float* result) const {
    const Queries b = queries(panel);
    float* const q = scratch;
    float* const scores = q + rows_.d * b.width;
    scale_queries(b, q);
    score(b, q, 0, rows_.keys, scores);
    float* const to = result + (b.head * length_ + b.first) * rows_.keys;
    transpose(scores, b.width, rows_.keys, b.count, to, rows_.keys);
    for (int64_t r = 0; r < b.count; ++r) {
      softmax_row(to + r * rows_.keys, to + r * rows_.keys, rows_.keys);
    }
  }

 private:
  // A panel on its way through the keys.
  struct Working {
    Queries queries;
    float *q, *values;
    Running running;
  };

  int64_t groups_per_head() const { return (panels_ + most_together - 1) / most_together; }

  Working begin(int64_t panel, float* scratch) const {
    Working w{};
    w.queries = queries(panel);
    w.q = scratch;
    w.values = scratch + rows_.d * w.queries.width;
    std::fill_n(w.running.largest, most_queries, minus_infinity);
    scale_queries(w.queries, w.q);
    return w;
  }

  void take_in_block(Working& w, int64_t key, float* scores) const {
    const int64_t keys = std::min(block_keys, rows_.keys - key), width = w.queries.width;
    score(w.queries, w.q, key, keys, scores);
    take_in(scores, keys, width, w.running);
    if (key > 0 && w.running.rescale) scale_columns(w.values, rows_.d, width, w.running.factor);
    add_values(w.queries, key, keys, scores, w.values);
  }

  void finish(Working& w, float* result) const {
    const Queries& b = w.queries;
    for (int64_t i = 0; i < b.width; ++i) w.running.factor[i] = 1 / w.running.sum[i];
    scale_columns(w.values, rows_.d, b.width, w.running.factor);
    transpose(w.values, b.width, rows_.d, b.count, result + (b.head * length_ + b.first) * rows_.d, rows_.d);
  }

  Queries queries(int64_t panel) const {
    const int64_t head = panel / panels_, first = panel % panels_ * panel_;
    const int64_t count = std::min(panel_, length_ - first);
    return {head / q_.shape()[1], head % q_.shape()[1], head, first, count, rows_.kernel.padded(count)};
  }

  // Turned over, [d][queries], with zeros behind the last.
  void scale_queries(const Queries& b, float* q) const {
    const int64_t d = rows_.d;
    const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(d)));
    transpose(q_.data() + (b.head * length_ + b.first) * d, d, b.count, d, q, b.width);
    for (int64_t c = 0; c < d; ++c) {
      float* const row = q + c * b.width;
      for (int64_t i = 0; i < b.count; ++i) row[i] *= scale;
      std::fill(row + b.count, row + b.width, 0.0F);
    }
    if (rows_.together == 2) panel_to_pairs(q, d, b.width, q);
  }

  // scores[j, i] = k[key + j] . q[i] + mask, -infinity where it may not be seen
  void score(const Queries& b, const float* q, int64_t key, int64_t keys, float* scores) const {
    const GemmKernel& kernel = rows_.kernel;
    for (int64_t j = 0; j < keys; j += kernel.rows) {
      kernel.run({rows_.key_rows(b.head, key + j), rows_.key_stride(), q, terms(rows_.d),
                  b.width / kernel.width, scores + j * b.width, b.width, false});
    }
    if (options_.mask != nullptr) add_mask(b, key, keys, scores);
    if (!options_.causal) return;
    for (int64_t j = 0; j < keys; ++j) {
      const int64_t hidden = std::clamp<int64_t>(key + j - b.first, 0, b.width);
      std::fill_n(scores + j * b.width, hidden, minus_infinity);
    }
  }

  void add_mask(const Queries& b, int64_t key, int64_t keys, float* scores) const {
    const Shape& shape = options_.mask->shape();
    const int64_t n = shape[0] == 1 ? 0 : b.n, h = shape[1] == 1 ? 0 : b.h;
    const float* mask = options_.mask->data() + ((n * shape[1] + h) * shape[2] + b.first) * shape[3] + key;
    for (int64_t i = 0; i < b.count; ++i) {
      for (int64_t j = 0; j < keys; ++j) scores[j * b.width + i] += mask[i * shape[3] + j];
    }
  }

  void add_values(const Queries& b, int64_t key, int64_t keys, float* weights, float* values) const {
    const GemmKernel& kernel = rows_.kernel;
    if (rows_.together == 2) panel_to_pairs(weights, keys, b.width, weights);
    for (int64_t c = 0; c < rows_.d; c += kernel.rows) {
      kernel.run({rows_.value_rows(b.head, c, key), rows_.v_stride, weights, terms(keys),
                  b.width / kernel.width, values + c * b.width, b.width, key > 0});
    }
  }

  /// As many as the kernel counts.
  int64_t terms(int64_t count) const { return (count + rows_.together - 1) / rows_.together; }

  const HeadRows rows_;
  const Tensor& q_;
  const AttentionOptions& options_;
  const int64_t length_;
  int64_t panel_, panels_;
};

// Calls work(turn, scratch) for each turn, spread over threads.
template <class Work>
void in_turns(const TiledAttention& attention, int64_t turns, int64_t products, const Work& work) {
  constexpr int64_t products_worth_a_team = 200000;
  const int threads = products > products_worth_a_team ? omp_get_max_threads() : 1;
  const int64_t floats = attention.scratch_floats();
  const std::shared_ptr<float> scratch = allocate_floats(threads * floats);
  if (in_dry_run()) return;
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
  for (int64_t turn = 0; turn < turns; ++turn) {
    work(turn, scratch.get() + omp_get_thread_num() * floats);
  }
}

}  // namespace

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options) {
  Tensor result(q.shape());
  float* const y = result.mutable_data();
  const TiledAttention tiled(q, k, &v, options);
  in_turns(tiled, tiled.groups(), q.count() * k.shape()[2],
           [&](int64_t group, float* scratch) { tiled.attend(group, scratch, y); });
  return result;
}

Tensor attention_probs(const Tensor& q, const Tensor& k, const AttentionOptions& options) {
  Tensor result(q.shape().with(3, k.shape()[2]));
  float* const probs = result.mutable_data();
  const TiledAttention tiled(q, k, nullptr, options);
  in_turns(tiled, tiled.panels(), q.count() * k.shape()[2],
           [&](int64_t panel, float* scratch) { tiled.weigh(panel, scratch, probs); });
  return result;
}

}  // namespace cutaway::fast
