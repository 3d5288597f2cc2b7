// Bands: the rows of one picture, dealt out to programs that run the same network.
// Doc: docs/larger-than-one-machine.md#rows-of-one-picture
//
// Layers and kernels know nothing of it. Here are versions of the operations that need something of the other
// bands: rows across the border for a convolution, statistics for a GroupNorm, keys and values for
// self-attention. tensor/dispatch/run.h takes them in place of the usual ones. All else is done by each
// program with what it has, or refused.
#pragma once

#include <cstdint>
#include <string>
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

// ---- For tensor/dispatch/run.h
namespace bands {

// Versions for a band, with the signatures of tensor/ops.h: they take what they need of the other bands, then
// run the version that is chosen. Throw Error for what cannot be done on a band.

/// The result must be the band at 1 / stride of the rows.
Tensor conv2d(const Tensor& x, const Weight& weight, const std::optional<Weight>& bias,
              const Conv2dOptions& options);
/// x [N, C, H, W] only.
Tensor group_norm(const Tensor& x, const Weight& weight, const Weight& bias, int64_t groups, float eps);
/// Keys are the picture's if they are as many as the queries of this band, and the prompt's if they are as
/// many as the prompt has tokens. It must be one of the two.
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options);
Tensor attention_probs(const Tensor& q, const Tensor& k, const AttentionOptions& options);

/// What cannot be done on a band at all. Throws Error.
void need_possible(const std::string& operation);
/// That, and what cannot be done as it is asked for: by the first tensor and all whole numbers of a call.
void need_possible(const std::string& operation, const Shape& x, const std::vector<int64_t>& numbers);

}  // namespace bands
}  // namespace cutaway
