#include "tensor/dispatch/row_bands.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "tensor/error.h"
#include "tensor/fast/ops.h"
#include "tensor/fast/parallel.h"
#include "tensor/trace.h"

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

// "conv2d at unet.conv_in: ..."
[[noreturn]] void refuse(const char* operation, const std::string& why) {
  const std::string& path = Scope::current_path();
  throw Error(std::string(operation) + (path.empty() ? "" : " at " + path) + ": " + why +
              ", which cannot be done on a band of a picture's rows");
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

}  // namespace

Conv2dInput reached_by_kernel(const char* operation, const Tensor& x, int64_t kernel_rows,
                              const Conv2dOptions& options) {
  const Bands* bands = Bands::now();
  if (bands == nullptr) return {x, options};
  const Padding& p = options.padding;
  const int64_t rows = x.shape()[rows_axis], stride = options.stride;
  const int64_t reach = options.dilation * (kernel_rows - 1);
  if (rows % stride != 0 || (rows + p.top + p.bottom - reach - 1) / stride + 1 != rows / stride)
    refuse(operation, "it gives other rows than one for every " + std::to_string(stride));
  // The last window begins `stride` rows before the end of the padded band, and reaches so far beyond it:
  const int64_t below = std::max<int64_t>(0, reach - p.top - (stride - 1));
  if (p.top > rows || below > rows) refuse(operation, "the kernel reaches farther than the next band");
  Conv2dInput input{with_borders(*bands, x, p.top, below), options};
  if (bands->neighbours().place() > 0) input.options.padding.top = 0;
  if (bands->neighbours().place() + 1 < bands->neighbours().count()) input.options.padding.bottom = 0;
  return input;
}

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

Tensor reached_by_queries(const char* operation, const Tensor& q, const Tensor& k,
                          const AttentionOptions& options) {
  const Bands* bands = Bands::now();
  if (bands == nullptr) return k;
  const int64_t queries = q.shape()[rows_axis], keys = k.shape()[rows_axis];
  const bool of_picture = keys == queries, of_prompt = keys == bands->prompt_tokens();
  if (of_picture == of_prompt) {
    refuse(operation, "this band has " + std::to_string(queries) + " queries and " + std::to_string(keys) +
                          " keys, and the prompt has " + std::to_string(bands->prompt_tokens()) +
                          " tokens, so that self-attention looks like cross-attention (with another number "
                          "of bands or another size of the picture they may differ)");
  }
  if (options.causal || options.mask != nullptr) refuse(operation, "there is a mask");
  return of_picture ? bands->whole(k) : k;
}

void need_whole_rows(const char* operation) {
  if (Bands::now() != nullptr) refuse(operation, "it needs rows that are elsewhere");
}

void need_other_axis(const char* operation, const Tensor& x, int axis) {
  const bool rows = (x.shape().rank() == 4 && axis == 2) || (x.shape().rank() == 3 && axis == 1);
  if (rows && Bands::now() != nullptr)
    refuse(operation,
           "axis " + std::to_string(axis) + " of x " + to_string(x.shape()) + " is that of the rows");
}

void need_groups_of_rows(const char* operation, const Tensor& x, int64_t rows) {
  if (Bands::now() != nullptr && x.shape()[rows_axis] % rows != 0) need_whole_rows(operation);
}

}  // namespace bands
}  // namespace cutaway
