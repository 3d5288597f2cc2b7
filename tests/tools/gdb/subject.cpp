// A program for the debuggers' tests: tensors and weights in every state they can be found in, good and bad.
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <vector>

#include "tensor/tensor.h"
#include "tensor/weight.h"

namespace cutaway {
namespace {

volatile int sink = 0;

// The place for breakpoints: everything above it in `states` is made.
[[gnu::noinline]] void stop_here(int round) { sink = round; }

Weight stored_as(DType dtype, const std::vector<uint16_t>& bits) {
  Weight weight(Shape{static_cast<int64_t>(bits.size())});
  weight.name = "conv_in.bias";
  weight.dtype = dtype;
  auto owned = std::make_shared<std::vector<uint16_t>>(bits);
  weight.data = owned->data();
  weight.owner = owned;
  return weight;
}

// Memory the size of a T that no constructor has seen, as the stack has it.
template <class T>
struct Unmade {
  alignas(T) unsigned char bytes[sizeof(T)];
  explicit Unmade(int fill) { std::memset(bytes, fill, sizeof bytes); }
  T& as() { return *reinterpret_cast<T*>(bytes); }
};

// A copy of a tensor's bytes with the 64-bit word at `word` replaced: what a stray write does.
Unmade<Tensor> corrupted(const Tensor& tensor, size_t word, int64_t value) {
  Unmade<Tensor> copy(0);
  std::memcpy(copy.bytes, static_cast<const void*>(&tensor), sizeof copy.bytes);
  std::memcpy(copy.bytes + 8 * word, &value, sizeof value);
  return copy;
}

void states() {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  const Tensor small({2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6});
  const Tensor broken({5}, std::vector<float>{1, nan, 3, inf, -inf});
  const Tensor near({2, 3}, std::vector<float>{1, 2, 3, 4, 5.5, 6});
  const Tensor one(Shape{}, std::vector<float>{7});
  const Tensor large = Tensor::filled({1, 8, 1024, 1024}, 2);
  const Tensor empty;
  Tensor given({2, 2}, std::vector<float>{1, 2, 3, 4});
  const Tensor taken = std::move(given);
  const std::optional<Tensor> maybe = small;
  const Shape shape{1, 320, 64, 64};

  Tensor ramp({2, 3, 4, 5});
  for (int64_t i = 0; i < ramp.count(); ++i) ramp.mutable_data()[i] = static_cast<float>(i) / 119 * 2 - 1;

  const Weight half = stored_as(DType::f16, {0x3c00, 0xc000, 0x3800});    // 1, -2, 0.5
  const Weight brain = stored_as(DType::bf16, {0x3f80, 0xc000, 0x4049});  // 1, -2, 3.140625
  Weight packed(Shape{1, 32});  // one block: 0.5 times 0, 1, ..., 31
  packed.name = "proj.weight";
  packed.dtype = DType::q8_0;
  const auto block = std::make_shared<std::array<unsigned char, 34>>();
  for (size_t i = 2; i < block->size(); ++i) (*block)[i] = static_cast<unsigned char>(i - 2);
  (*block)[1] = 0x38;
  packed.data = block->data();
  packed.owner = block;
  const Weight plain = Weight::of(small, "conv_in.weight");
  const Weight unloaded(Shape{320, 4, 3, 3});

  Unmade<Tensor> filled(0xa5), zeros(0);
  const Tensor& uninitialised = filled.as();
  const Tensor& zeroed = zeros.as();
  Unmade<Tensor> wide = corrupted(small, 1, 3'000'000), shifted = corrupted(small, 6, 0x10);
  Unmade<Tensor> deep = corrupted(small, 4, 17), longer = corrupted(small, 0, 2000);
  const int64_t matching_count = 6000;
  std::memcpy(longer.bytes + 40, &matching_count, sizeof matching_count);  // [2000, 3] in a block of 6
  const Tensor& wrong_count = wide.as();
  const Tensor& wrong_pointer = shifted.as();
  const Tensor& wrong_rank = deep.as();
  const Tensor& too_long = longer.as();
  Unmade<Tensor> gone(0);
  {
    const Tensor short_lived({64}, std::vector<float>(64, 1.0F));
    std::memcpy(gone.bytes, static_cast<const void*>(&short_lived), sizeof gone.bytes);
  }
  const Tensor& given_back = gone.as();
  Unmade<Weight> noise(0x5a);
  const Weight& unmade_weight = noise.as();

  for (int round = 0; round < 2; ++round) {
    stop_here(round);
    const Tensor later =
        Tensor::filled({3}, 1);  // in the second round its memory still holds the first round's
    sink = static_cast<int>(later.count());
  }
  sink = static_cast<int>(taken.count() + one.count() + near.count() + broken.count() + empty.count() +
                          large.count() + maybe->count() + shape.count() + half.shape.count() +
                          brain.shape.count() + packed.shape.count() + plain.shape.count() +
                          unloaded.shape.count());
  for (const void* used : {static_cast<const void*>(&uninitialised), static_cast<const void*>(&zeroed),
                           static_cast<const void*>(&wrong_count), static_cast<const void*>(&wrong_pointer),
                           static_cast<const void*>(&wrong_rank), static_cast<const void*>(&too_long),
                           static_cast<const void*>(&given_back), static_cast<const void*>(&unmade_weight)})
    sink = used != nullptr;
}

}  // namespace
}  // namespace cutaway

int main() {
  cutaway::states();
  std::puts("done");
}
