#include "models/pipeline/parallel.h"

#include "tensor/dispatch/row_bands.h"

namespace cutaway {
namespace {

// Self-attention on a band is known by having as many keys as queries (tensor/dispatch/row_bands.h), so at no
// level may a band have as many pixels as the prompt has tokens. Where one has, the prompt is said twice:
// attention is an average, and that of all tokens twice is the same.
Tensor told_from_pixels(const Tensor& prompt, const std::vector<int64_t>& rows, int64_t width,
                        int64_t lowest_scale) {
  const auto is_a_band = [&](int64_t tokens) {
    for (int64_t scale = 1; scale <= lowest_scale; scale *= 2) {
      for (const int64_t band : rows) {
        if (band / scale * ((width + scale - 1) / scale) == tokens) return true;
      }
    }
    return false;
  };
  Tensor context = prompt;
  while (is_a_band(context.shape()[1])) context = concat(context, prompt, 1);
  return context;
}

}  // namespace

Predict with_partner(const Predict& predict, const GuidancePartner& partner) {
  return [=](const Tensor& x, float t, const Tensor& prompt) {
    const int64_t batch = x.shape()[0] / 2, begin = partner.has_prompt ? batch : 0;
    const Tensor mine = predict(slice(x, 0, begin, begin + batch), t, slice(prompt, 0, begin, begin + batch));
    const Tensor other = partner.exchange(mine);
    return partner.has_prompt ? concat(other, mine, 0) : concat(mine, other, 0);
  };
}

Predict in_bands_of_rows(const Predict& predict, Neighbours& neighbours, int64_t scale) {
  return [=, &neighbours](const Tensor& x, float t, const Tensor& prompt) {
    const std::vector<int64_t> rows = even_bands(x.shape()[2], scale, neighbours.count());
    const Tensor context = told_from_pixels(prompt, rows, x.shape()[3], scale);
    const Bands bands(neighbours, rows, context.shape()[1]);
    return bands.whole(predict(bands.cut(x), t, context));
  };
}

}  // namespace cutaway
