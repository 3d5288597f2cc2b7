// One picture by several programs: each makes one of guidance's two predictions, or a band of rows.
// Doc: docs/larger-than-one-machine.md
#pragma once

#include <functional>

#include "models/pipeline/denoiser.h"

namespace cutaway {

class Neighbours;  // tensor/dispatch/row_bands.h

/// The other of two programs that draw the same picture together. They stay equal to the last bit.
struct GuidancePartner {
  bool has_prompt = true;  // this program predicts with the prompt, and decodes the picture
  std::function<Tensor(const Tensor& mine)> exchange = {};  // gives it away for the other's of the same step
};

/// Of what guidance asks, [without the prompt | with it], this program predicts its half, and gets the
/// partner's for it.
Predict with_partner(const Predict& predict, const GuidancePartner& partner);

/// Each neighbour predicts a band of rows of x, and all get the whole prediction. `scale`: the UNet's.
Predict in_bands_of_rows(const Predict& predict, Neighbours& neighbours, int64_t scale);

}  // namespace cutaway
