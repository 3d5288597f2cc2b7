#include "tensor/dispatch/row_bands.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <numeric>
#include <string>
#include <utility>

#include "tensor/dispatch/checks.h"
#include "tensor/dispatch/run.h"
#include "tensor/eigen/ops.h"
#include "tensor/error.h"
#include "tensor/fast/ops.h"
#include "tensor/fast/parallel.h"
#include "tensor/ref/ops.h"

namespace cutaway {
namespace {

constexpr int rows_axis = 2;  // of images [N, C, H, W], and of tokens in heads [N, heads, T, d]

thread_local const Bands* innermost = nullptr;

int64_t sum(const std::vector<int64_t>& rows) {
  return std::accumulate(rows.begin(), rows.end(), int64_t{0});
}

}  // namespace

std::vector<int64_t> even_bands(int64_t rows, int64_t unit, int count) {
  const int64_t units = rows / unit;
  if (rows % unit != 0 || units < count) {
    throw Error(std::to_string(rows) + " rows cannot be dealt out to " + std::to_string(count) +
                " bands in multiples of " + std::to_string(unit));
  }
  std::vector<int64_t> bands;
  for (int64_t i = 0; i < count; ++i) bands.push_back((units / count + (i < units % count ? 1 : 0)) * unit);
  return bands;
}

Bands::Bands(Neighbours& neighbours, std::vector<int64_t> rows, int64_t prompt_tokens)
    : neighbours_(neighbours),
      rows_(std::move(rows)),
      prompt_tokens_(prompt_tokens),
      outer_(std::exchange(innermost, this)) {}

Bands::~Bands() { innermost = outer_; }

const Bands* Bands::now() { return innermost; }

int64_t Bands::own_rows() const { return rows_.at(static_cast<size_t>(neighbours_.place())); }

Tensor Bands::cut(const Tensor& picture) const {
  const int64_t begin = std::accumulate(rows_.begin(), rows_.begin() + neighbours_.place(), int64_t{0});
  return fast::slice(picture, rows_axis, begin, begin + own_rows());
}

Tensor Bands::whole(const Tensor& band) const {
  // At every level a band has the same part of all rows, or of all tokens.
  std::vector<Shape> shapes;
  for (const int64_t rows : rows_)
    shapes.push_back(band.shape().with(rows_axis, band.shape()[rows_axis] * rows / own_rows()));
  return fast::concat(neighbours_.gather(band, shapes), rows_axis);
}

namespace bands {
namespace {

[[noreturn]] void refuse(const std::string& operation, const std::string& why) {
  throw Error(
      checks::sentence(operation.c_str(), why + ", which cannot be done on a band of a picture's rows"));
}

Tensor with_borders(const Bands& bands, const Tensor& band, int64_t above, int64_t below) {
  if (above == 0 && below == 0) return band;
  const int64_t rows = band.shape()[rows_axis];
  // What this band lacks below, the one above lacks as well: it gets the first rows of this one.
  const Tensor first = below > 0 ? fast::slice(band, rows_axis, 0, below) : Tensor();
  const Tensor last = above > 0 ? fast::slice(band, rows_axis, rows - above, rows) : Tensor();
  const Neighbours::Borders borders = bands.neighbours().swap(first, last);
  std::vector<Tensor> parts;
  for (const Tensor& part : {borders.above, band, borders.below}) {
    if (!part.empty()) parts.push_back(part);
  }
  return fast::concat(parts, rows_axis);
}

// Mean, and the sum of squares around it, in one pass: the first number is taken from all, so that numbers
// far from 0 keep their digits.
struct Spread {
  double mean, squares;
};
Spread spread_of(const float* x, int64_t count) {
  double total = 0, squares = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double d = static_cast<double>(x[i]) - x[0];
    total += d;
    squares += d * d;
  }
  const double mean = total / static_cast<double>(count);
  return {x[0] + mean, squares - total * mean};
}

// Of each group of each image, over all bands. Everyone adds up in the order of the bands, so that all have
// the same bits.
struct Moments {
  double mean, variance;
};
std::vector<Moments> group_moments(const Bands& bands, const Tensor& x, int64_t all_groups) {
  const int64_t per_group = x.count() / all_groups;
  std::vector<double> own(static_cast<size_t>(2 * all_groups));
  fast::in_pieces(all_groups, x.count(), [&](int64_t begin, int64_t end) {
    for (int64_t group = begin; group < end; ++group) {
      const Spread spread = spread_of(x.data() + group * per_group, per_group);
      own[static_cast<size_t>(2 * group)] = spread.mean;
      own[static_cast<size_t>(2 * group + 1)] = spread.squares;
    }
  });
  const std::vector<double> all = bands.neighbours().gather(own);
  const auto whole = static_cast<double>(sum(bands.rows()));
  std::vector<Moments> moments;
  for (size_t group = 0; group < own.size() / 2; ++group) {
    const auto mean_of = [&](size_t band) { return all.at(band * own.size() + 2 * group); };
    const auto squares_of = [&](size_t band) { return all.at(band * own.size() + 2 * group + 1); };
    const auto part_of = [&](size_t band) { return static_cast<double>(bands.rows()[band]) / whole; };
    double mean = 0, variance = 0;
    for (size_t band = 0; band < bands.rows().size(); ++band) mean += part_of(band) * mean_of(band);
    for (size_t band = 0; band < bands.rows().size(); ++band) {
      // A band's squares are around its own mean; the way from there to the mean of all is added.
      const double away = mean_of(band) - mean;
      const double numbers = static_cast<double>(per_group) * static_cast<double>(bands.rows()[band]) /
                             static_cast<double>(bands.own_rows());
      variance += part_of(band) * (squares_of(band) / numbers + away * away);
    }
    moments.push_back({mean, variance});
  }
  return moments;
}

// As the weights of a batch_norm of [1, N C, H, W]: each channel of each image has the mean and the variance
// of its group.
struct Statistics {
  Weight weight, bias, mean, variance;  // [N C]
};
Statistics group_statistics(const Tensor& x, const Weight& weight, const Weight& bias, int64_t groups,
                            float eps) {
  const int64_t channels = x.shape()[1], planes = x.shape()[0] * channels;
  const std::vector<Moments> moments = group_moments(*Bands::now(), x, x.shape()[0] * groups);
  Tensor w({planes}), b({planes}), means({planes}), variances({planes});
  if (!in_dry_run()) {
    const WeightValues weights = weight.f32(), biases = bias.f32();
    for (int64_t plane = 0; plane < planes; ++plane) {
      const Moments& m = moments[static_cast<size_t>(plane / (channels / groups))];
      const int64_t c = plane % channels;
      const auto mean = static_cast<float>(m.mean);
      w.mutable_data()[plane] = weights[c];
      means.mutable_data()[plane] = mean;
      variances.mutable_data()[plane] = static_cast<float>(m.variance);
      // The digits of the mean that a float has no place for go into the shift.
      b.mutable_data()[plane] =
          static_cast<float>(biases[c] - (m.mean - mean) / std::sqrt(m.variance + eps) * weights[c]);
    }
  }
  return {Weight::of(w), Weight::of(b), Weight::of(means), Weight::of(variances)};
}

// Are these the keys of a self-attention?
bool of_picture(const char* operation, const Tensor& q, const Tensor& k, const AttentionOptions& options) {
  const int64_t queries = q.shape()[rows_axis], keys = k.shape()[rows_axis],
                prompt_tokens = Bands::now()->prompt_tokens();
  const bool of_picture = keys == queries, of_prompt = keys == prompt_tokens;
  if (of_picture == of_prompt) {
    refuse(operation, "this band has " + std::to_string(queries) + " queries and " + std::to_string(keys) +
                          " keys, and the prompt has " + std::to_string(prompt_tokens) +
                          " tokens, so that self-attention looks like cross-attention (with another number "
                          "of bands or another size of the picture they may differ)");
  }
  if (options.causal || options.mask != nullptr) refuse(operation, "there is a mask");
  return of_picture;
}

}  // namespace

Tensor conv2d(const Tensor& x, const Weight& weight, const std::optional<Weight>& bias,
              const Conv2dOptions& options) {
  const char* name = "conv2d";
  const Neighbours& neighbours = Bands::now()->neighbours();
  const Padding& p = options.padding;
  const int64_t rows = x.shape()[rows_axis], stride = options.stride;
  const int64_t reach = options.dilation * (weight.shape[2] - 1);
  if (rows % stride != 0 || (rows + p.top + p.bottom - reach - 1) / stride + 1 != rows / stride)
    refuse(name, "it gives other rows than one for every " + std::to_string(stride));
  // The last window begins `stride` rows before the end of the padded band, and reaches so far beyond it:
  const int64_t below = std::max<int64_t>(0, reach - p.top - (stride - 1));
  if (p.top > rows || below > rows) refuse(name, "the kernel reaches farther than the next band");

  const Tensor reached = with_borders(*Bands::now(), x, p.top, below);
  Conv2dOptions how = options;  // zeros only at the picture's own borders
  if (neighbours.place() > 0) how.padding.top = 0;
  if (neighbours.place() + 1 < neighbours.count()) how.padding.bottom = 0;
  const Operation conv{name, ref::conv2d, fast::conv2d, eigen::conv2d};
  return run(conv.untold(), reached, weight, bias, how);
}

Tensor group_norm(const Tensor& x, const Weight& weight, const Weight& bias, int64_t groups, float eps) {
  checks::need_picture("group_norm", x);
  if (in_dry_run()) dry_run::read_all(weight, bias);
  const Statistics all = group_statistics(x, weight, bias, groups, eps);
  const Tensor planes = x.reshaped({1, x.shape()[0] * x.shape()[1], x.shape()[2], x.shape()[3]});
  const Operation norm{"group_norm", ref::batch_norm, fast::batch_norm};
  return run(norm.untold(), planes, all.weight, all.bias, all.mean, all.variance, eps).reshaped(x.shape());
}

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options) {
  const char* name = "attention";
  const bool gathers = of_picture(name, q, k, options);
  const Tensor keys = gathers ? Bands::now()->whole(k) : k, values = gathers ? Bands::now()->whole(v) : v;
  count_products(2 * q.count(), keys.shape()[2] - k.shape()[2]);  // beside those of this band's own keys
  const Operation attend{name, ref::attention, fast::attention, eigen::attention};
  return run(attend.untold(), q, keys, values, options);
}

Tensor attention_probs(const Tensor& q, const Tensor& k, const AttentionOptions& options) {
  const char* name = "attention_probs";
  const Tensor keys = of_picture(name, q, k, options) ? Bands::now()->whole(k) : k;
  const Operation attend{name, ref::attention_probs, fast::attention_probs, eigen::attention_probs};
  return run(attend.untold(), q, keys, options);
}

// ---- What cannot be done on a band
namespace {

bool is_one_of(const std::string& operation, std::initializer_list<const char*> names) {
  return std::find(names.begin(), names.end(), operation) != names.end();
}

[[noreturn]] void refuse_for_rows(const std::string& operation) {
  refuse(operation, "it needs rows that are elsewhere");
}

}  // namespace

void need_possible(const std::string& operation) {
  if (is_one_of(operation, {"matmul", "conv_transpose2d", "upsample_bilinear"})) refuse_for_rows(operation);
}

void need_possible(const std::string& operation, const Shape& x, const std::vector<int64_t>& numbers) {
  need_possible(operation);
  if ((is_one_of(operation, {"max_pool", "avg_pool"}) && x[rows_axis] % numbers[0] != 0) ||
      (operation == "upsample_nearest" && numbers[0] % x[rows_axis] != 0) ||
      (operation == "pad" && (numbers[2] > 0 || numbers[3] > 0))) {
    refuse_for_rows(operation);
  }
  // Along the rows of pictures [N, C, H, W] and of tokens [N, T, C].
  if (is_one_of(operation, {"softmax", "concat", "slice"}) &&
      ((x.rank() == 4 && numbers[0] == 2) || (x.rank() == 3 && numbers[0] == 1))) {
    refuse(operation,
           "axis " + std::to_string(numbers[0]) + " of x " + to_string(x) + " is that of the rows");
  }
}

}  // namespace bands
}  // namespace cutaway
