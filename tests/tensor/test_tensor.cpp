// Tensor and the memory below it: sharing, writing, and blocks that are used again.
#include <doctest/doctest.h>
#include <algorithm>

#include <array>
#include <cstdint>
#include <limits>
#include <vector>

#include "tensor/error.h"
#include "tensor/memory.h"
#include "tensor/tensor.h"

using namespace cutaway;

namespace {
constexpr std::array<float, 6> one_to_six = {1, 2, 3, 4, 5, 6};

#if defined(__SANITIZE_ADDRESS__)
constexpr bool keeps_blocks = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr bool keeps_blocks = false;
#else
constexpr bool keeps_blocks = true;
#endif
#else
constexpr bool keeps_blocks = true;
#endif
}  // namespace

TEST_CASE("Tensor: made of values, row-major") {
  const Tensor x({2, 3}, one_to_six);
  CHECK(x.count() == 6);
  CHECK_FALSE(x.empty());
  CHECK(x.values().size() == 6);
  CHECK(x.data()[1 * 3 + 2] == 6);
  CHECK_THROWS_WITH_AS(Tensor({2, 2}, one_to_six),
                       "a tensor of shape [2, 2] needs 4 values, but 6 were given", Error);
}

TEST_CASE("Tensor: a single number has shape []") {
  const Tensor x = Tensor::filled({}, 2.5F);
  CHECK(x.count() == 1);
  CHECK(x.data()[0] == 2.5F);
}

TEST_CASE("Tensor: before it is made it is empty") {
  const Tensor x;
  CHECK(x.empty());
  CHECK(x.count() == 0);
  CHECK(x.values().empty());
  CHECK_THROWS_AS(x.reshaped({1}), Error);
}

TEST_CASE("Tensor: copies share one block, and only a sole owner may write") {
  Tensor x({2, 3}, one_to_six);
  CHECK_NOTHROW(x.mutable_data()[0] = 7);
  {
    Tensor copy = x;
    CHECK(copy.data() == x.data());
    CHECK_THROWS_WITH_AS(
        x.mutable_data(),
        "a tensor of shape [2, 3] is shared and cannot be written to: only the function that made a "
        "tensor may fill it",
        Error);
    CHECK_THROWS_AS(copy.mutable_data(), Error);
  }
  CHECK_NOTHROW(x.mutable_data()[0] = 8);  // the copy is gone
  const Tensor moved = std::move(x);
  CHECK(moved.data()[0] == 8);
}

TEST_CASE("Tensor: reshaped keeps the numbers and shares the block") {
  Tensor x({2, 3}, one_to_six);
  const Tensor y = x.reshaped({3, 1, 2});
  CHECK(y.shape() == Shape{3, 1, 2});
  CHECK(y.data() == x.data());
  CHECK(x.shape() == Shape{2, 3});
  CHECK_THROWS_AS(x.mutable_data(), Error);
  CHECK_THROWS_WITH_AS(x.reshaped({7}),
                       "a tensor of shape [2, 3] cannot be seen as [7]: the numbers of values differ", Error);
}

TEST_CASE("Tensor: numbers outlive the tensor they were shared from") {
  Tensor kept;
  {
    const Tensor x({2, 3}, one_to_six);
    kept = x.reshaped({6});
  }
  CHECK(kept.data()[5] == 6);
}

TEST_CASE("Tensor: too large for any machine is an Error, not a crash") {
  CHECK_THROWS_AS(Tensor(Shape{std::numeric_limits<int64_t>::max()}), Error);
  CHECK_THROWS_AS(Tensor(Shape{int64_t{1} << 60}), Error);
  const MemoryUse before = memory_use();
  CHECK_THROWS_AS(Tensor(Shape{int64_t{1} << 45}), Error);  // 128 TiB: more than is addressed
  CHECK(memory_use().live_bytes == before.live_bytes);
}

TEST_CASE("memory: blocks are aligned to 64 bytes") {
  for (const int64_t count : {1, 3, 17, 1000, 600000}) {
    const Tensor x(Shape{count});
    CHECK(reinterpret_cast<uintptr_t>(x.data()) % 64 == 0);
  }
}

TEST_CASE("memory: live, peak and kept bytes") {
  release_kept_memory();
  const MemoryUse start = memory_use();
  CHECK(start.kept_bytes == 0);
  {
    const Tensor x(Shape{1000});  // 4000 bytes, in steps of 64
    const Tensor y = x;           // shares: costs nothing
    CHECK(memory_use().live_bytes == start.live_bytes + 4032);
    CHECK(memory_use().peak_bytes >= start.live_bytes + 4032);
  }
  CHECK(memory_use().live_bytes == start.live_bytes);
  CHECK(memory_use().kept_bytes == (keeps_blocks ? 4032 : 0));
  release_kept_memory();
  CHECK(memory_use().kept_bytes == 0);
}

TEST_CASE("memory: the peak stays when its tensors have gone") {
  const int64_t count = (memory_use().peak_bytes - memory_use().live_bytes) / 4 + 100000;
  const int64_t live = memory_use().live_bytes;
  { const Tensor x(Shape{count}); }
  const MemoryUse use = memory_use();
  CHECK(use.peak_bytes >= live + count * 4);
  CHECK(use.peak_bytes < live + count * 4 + 64);
  CHECK(use.live_bytes == live);
  release_kept_memory();
}

TEST_CASE("memory: a block of the same size is used again") {
  release_kept_memory();
  const float* first = nullptr;
  {
    const Tensor x(Shape{12345});
    first = x.data();
  }
  const int64_t kept = memory_use().kept_bytes;
  CHECK((kept > 0) == keeps_blocks);  // sanitizers see each block given back
  const Tensor same(Shape{12345});
  CHECK(memory_use().kept_bytes == 0);
  if (keeps_blocks) CHECK(same.data() == first);
  const Tensor other(Shape{12345});  // the first is in use again, so this one must be another
  CHECK(other.data() != first);
}

TEST_CASE("memory: a hundred sizes that are never asked for again do not pile up") {
  release_kept_memory();
  for (int64_t count = 50000; count < 50100; ++count) {
    const Tensor once(Shape{(count - 49999) * 50000});  // 200 kB, 400 kB, ... 20 MB: a gigabyte in all
  }
  const MemoryUse use = memory_use();
  CHECK(use.kept_bytes + use.live_bytes <= std::max<int64_t>(32 << 20, use.peak_bytes / 4 * 5));
  release_kept_memory();
}

TEST_CASE("memory: a block may be up to twice as large as was asked for") {
  release_kept_memory();
  const float* first = nullptr;
  {
    const Tensor x(Shape{20000});
    first = x.data();
  }
  const Tensor half_of_it(Shape{10000});
  if (keeps_blocks) CHECK(half_of_it.data() == first);
  { const Tensor x(Shape{20000}); }
  const Tensor less(Shape{9000});
  CHECK(memory_use().kept_bytes == (keeps_blocks ? 80000 : 0));
}

TEST_CASE("memory: a frugal free list never makes the peak higher") {
  release_kept_memory();
  keep_memory_frugally(true);
  const int64_t count = (memory_use().peak_bytes - memory_use().live_bytes) / 4 + 100000;
  { const Tensor high(Shape{count}); }
  const int64_t peak = memory_use().peak_bytes;
  std::vector<Tensor> together;
  int64_t most = 0;
  for (int64_t i = 0; i < 10; ++i) {
    together.emplace_back(Shape{count / 10 - i * 16});
    most = std::max(most, memory_use().live_bytes + memory_use().kept_bytes);
  }
  CHECK(most <= peak);
  keep_memory_frugally(false);
  release_kept_memory();
}
