// A file cut at every byte and with every bit turned: each one is read or refused, never anything else.
#pragma once

#include <doctest/doctest.h>

#include <string>

#include "tensor/error.h"
#include "tensor/files/tensor_file.h"

namespace cutaway::test {

/// `open(bytes)` gives the TensorFile of a file with these bytes. Cuts begin at `least_size` bytes.
template <class Open>
void check_cut_and_flipped(const std::string& good, size_t least_size, const Open& open) {
  int read = 0, refused = 0;
  const auto attempt = [&](const std::string& bytes) {
    try {
      const TensorFile file = open(bytes);
      for (const StoredTensor& tensor : file.tensors()) {
        CHECK(tensor.bytes.size() <= bytes.size());
        if (tensor.dtype == "F32" && tensor.shape.size() <= 4) tensor.to_floats();
      }
      ++read;
    } catch (const Error&) {
      ++refused;
    }
  };
  for (size_t size = least_size; size < good.size(); ++size) attempt(good.substr(0, size));
  CHECK(read == 0);
  for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::string flipped = good;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    attempt(flipped);
  }
  CHECK(read > 0);
  CHECK(refused > static_cast<int>(good.size()));
}

}  // namespace cutaway::test
