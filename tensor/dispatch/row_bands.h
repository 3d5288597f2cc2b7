// Bands: the rows of one picture, dealt out to programs that run the same network.
// Doc: docs/larger-than-one-machine.md#rows-of-one-picture
//
// Layers know nothing of it. tensor/ops.cpp asks here for what an operation needs of the other bands: rows
// across the border for a convolution, statistics for a GroupNorm, keys and values for self-attention. All
// else is done by each program with what it has, or refused.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/ops.h"

namespace cutaway {

/// Reaches the programs that have the other bands. All of them call the same functions in the same order. In
/// a dry run (tensor/dispatch/dry_run.h) each is alone: nothing is sent, and only shapes must be right.
class Neighbours {
 public:
  virtual ~Neighbours() = default;

  virtual int place() const = 0;  // of this program's band; 0 is the top
  virtual int count() const = 0;  // of all bands

  struct Borders {
    Tensor above, below;  // empty at the picture's own border, and where no rows are asked for
  };
  /// Gives `first` to the band above and `last` to the one below; gets the last rows of the one and the first
  /// of the other. Either may be empty, then it is so everywhere.
  virtual Borders swap(const Tensor& first, const Tensor& last) = 0;
  /// What everyone gives, in the order of the bands. `shapes` are theirs, and that of `mine` among them.
  virtual std::vector<Tensor> gather(const Tensor& mine, const std::vector<Shape>& shapes) = 0;
  /// The same for numbers, as many from each, one after the other.
  virtual std::vector<double> gather(const std::vector<double>& mine) = 0;
};

/// `rows` dealt out as evenly as whole units can be, the larger parts on top. Throws Error unless the rows
/// are whole units and each band gets one.
std::vector<int64_t> even_bands(int64_t rows, int64_t unit, int count);

/// While one of these lives, on this thread, images are bands: operations take and give the rows of this
/// program's band only. Everything else, such as prompts and time steps, is whole.
class Bands {
 public:
  /// rows: of each band of the network's input, from the top. Deeper levels have a fraction of them.
  /// prompt_tokens: how many keys a cross-attention has.
  Bands(Neighbours& neighbours, std::vector<int64_t> rows, int64_t prompt_tokens);
  ~Bands();
  Bands(const Bands&) = delete;
  Bands& operator=(const Bands&) = delete;

  /// The innermost that lives on this thread, or null.
  static const Bands* now();

  /// [N, C, H, W]   ->   this band's rows of it
  Tensor cut(const Tensor& picture) const;
  /// Rows of all bands: [N, C, h, W]   ->   [N, C, H, W], or tokens: [N, heads, t, d]   ->   [N, heads, T, d]
  Tensor whole(const Tensor& band) const;

  Neighbours& neighbours() const { return neighbours_; }
  const std::vector<int64_t>& rows() const { return rows_; }
  int64_t own_rows() const;
  int64_t prompt_tokens() const { return prompt_tokens_; }

 private:
  Neighbours& neighbours_;
  std::vector<int64_t> rows_;
  int64_t prompt_tokens_;
  const Bands* outer_;
};

// ---- For tensor/ops.cpp. Where there are no bands, these give back what they are given, and refuse nothing.
namespace bands {

struct Conv2dInput {
  Tensor x;
  Conv2dOptions options;
};
/// x with the rows of other bands that the kernel reaches, and the zeros only at the picture's own borders.
/// Throws Error unless the result is the band at 1 / stride of the rows.
Conv2dInput reached_by_kernel(const char* operation, const Tensor& x, int64_t kernel_rows,
                              const Conv2dOptions& options);

/// GroupNorm's statistics over all bands, as the weights of a batch_norm of [1, N C, H, W]: each channel of
/// each image has the mean and the variance of its group.
struct Statistics {
  Weight weight, bias, mean, variance;  // [N C]
};
Statistics group_statistics(const Tensor& x, const Weight& weight, const Weight& bias, int64_t groups,
                            float eps);

/// The keys or values of all bands, if k are the picture's: as many as the queries of this band. A
/// cross-attention has as many as the prompt has tokens. Throws Error where that tells nothing.
Tensor reached_by_queries(const char* operation, const Tensor& q, const Tensor& k,
                          const AttentionOptions& options);

// What cannot be done on a band. Throw Error.
void need_whole_rows(const char* operation);
void need_other_axis(const char* operation, const Tensor& x, int axis);  // than that of the rows
void need_groups_of_rows(const char* operation, const Tensor& x, int64_t rows);

}  // namespace bands
}  // namespace cutaway
