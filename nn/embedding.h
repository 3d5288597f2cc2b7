// Embedding: a table with one row for each token (or each position).
#pragma once

#include "nn/module.h"
#include "tensor/ops.h"
#include "tensor/trace.h"

namespace cutaway {

/// CompVis, transformers: torch.nn.Embedding.
struct Embedding : Module {
  Weight weight;  // [rows, width]

  Embedding(int64_t rows, int64_t width) : weight({rows, width}) {}

  template <class V>
  void each(V&& visit) {
    visit("weight", weight);
  }

  // ids: [N, T]   ->   [N, T, width]
  Tensor operator()(const TokenIds& ids) const {
    Scope scope(path);
    return scope.out(embedding(ids, weight));
  }
};

}  // namespace cutaway
