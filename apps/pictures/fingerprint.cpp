#include "apps/pictures/fingerprint.h"

#include <algorithm>
#include <cstdio>

#include "nn/formula_weights.h"
#include "tensor/files/mapped_files.h"

namespace cutaway::pictures {
namespace {

constexpr int64_t sample = 8;  // numbers from the beginning, the middle and the end of a weight

std::string digits(uint64_t hash) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

void append(std::string& bytes, const float* values, int64_t count) {
  bytes.append(reinterpret_cast<const char*>(values), static_cast<size_t>(count) * sizeof(float));
}

}  // namespace

std::string fingerprint(StableDiffusion& model) {
  std::string bytes;
  int weights = 0;
  const auto add = [&](const std::string& path, const Weight& weight) {
    // The pages that are looked at would count as memory that the run takes.
    if (++weights % 16 == 0) let_go_of_files();
    const int64_t count = weight.shape.count(), taken = std::min(sample, count);
    float values[sample];
    bytes += path + to_string(weight.shape);
    for (const int64_t from : {int64_t{0}, (count - taken) / 2, count - taken}) {
      weight.read(from, taken, values);
      append(bytes, values, taken);
    }
  };
  for_each_weight(model, "", add);
  let_go_of_files();
  return digits(fnv1a64(bytes));
}

std::string fingerprint(const Tensor& tensor) {
  std::string bytes = to_string(tensor.shape());
  append(bytes, tensor.data(), tensor.count());
  return digits(fnv1a64(bytes));
}

}  // namespace cutaway::pictures
