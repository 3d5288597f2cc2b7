// Choosing the version of the operations, the instruction set, the way to compute and the number of threads.
#include <doctest/doctest.h>

#include "tensor/backend.h"
#include "tensor/error.h"
#include "tensor/trace.h"

using namespace cutaway;

namespace {
// Puts every choice back at the end of a test.
struct KeepChoices {
  std::string backend = chosen_backend();
  Isa isa = current_isa();
  int threads = current_threads();
  ~KeepChoices() {
    choose_backend(backend);
    choose_isa(to_string(isa));
    choose_threads(threads);
  }
};
}  // namespace

TEST_CASE("backend: one for everything") {
  const KeepChoices keep;
  choose_backend("ref");
  CHECK(current_backend() == Backend::ref);
  CHECK(backend_at("unet.conv_in") == Backend::ref);
  choose_backend("eigen");
  CHECK(current_backend() == Backend::eigen);
  choose_backend("fast");
  CHECK(current_backend() == Backend::fast);
  CHECK(chosen_backend() == "fast");
}

TEST_CASE("backend: the longest path that fits wins, in any order of writing") {
  const KeepChoices keep;
  const std::string sub = "unet.mid_block.attentions.0=eigen", whole = "unet.mid_block=ref";
  for (const std::string& text : {"fast," + whole + "," + sub, sub + "," + whole + ",fast"}) {
    choose_backend(text);
    CHECK(chosen_backend() == text);
    CHECK(backend_at("unet.mid_block") == Backend::ref);
    CHECK(backend_at("unet.mid_block.resnets.0.conv1") == Backend::ref);
    CHECK(backend_at("unet.mid_block.attentions.0") == Backend::eigen);
    CHECK(backend_at("unet.mid_block.attentions.0.norm") == Backend::eigen);
    CHECK(backend_at("unet.conv_in") == Backend::fast);
    CHECK(backend_at("") == Backend::fast);
  }
}

TEST_CASE("backend: a path is its whole names, not the start of one") {
  const KeepChoices keep;
  choose_backend("unet.down_blocks.1=ref");
  CHECK(backend_at("unet.down_blocks.1") == Backend::ref);
  CHECK(backend_at("unet.down_blocks.1.resnets.0") == Backend::ref);
  CHECK(backend_at("unet.down_blocks.10") == Backend::fast);
  CHECK(backend_at("vae.unet.down_blocks.1") == Backend::fast);
}

TEST_CASE("backend: the innermost open scope decides") {
  const KeepChoices keep;
  choose_backend("fast,unet.mid_block=ref");
  const std::string outer = "unet", inner = "unet.mid_block.resnets.0";
  CHECK(current_backend() == Backend::fast);
  {
    const Scope unet(outer);
    CHECK(current_backend() == Backend::fast);
    {
      const Scope resnet(inner);
      CHECK(current_backend() == Backend::ref);
    }
    CHECK(current_backend() == Backend::fast);
  }
}

TEST_CASE("backend: an unknown name is refused with the known ones, and changes nothing") {
  const KeepChoices keep;
  choose_backend("ref");
  for (const char* text : {"fsat", "fast,unet=cuda", "unet.conv_in=", "fast,,ref", "unet"}) {
    CAPTURE(std::string(text));
    CHECK_THROWS_AS(choose_backend(text), Error);
    CHECK(chosen_backend() == "ref");
    CHECK(current_backend() == Backend::ref);
  }
  CHECK_THROWS_WITH_AS(choose_backend("fsat"),
                       "there is no backend 'fsat'; known are ref, fast, eigen and shadow", Error);
}

TEST_CASE("instruction set: any up to the best of this processor") {
  const KeepChoices keep;
  for (const Isa isa : {Isa::generic, Isa::avx2, Isa::avx512}) {
    CAPTURE(std::string(to_string(isa)));
    if (isa <= best_isa()) {
      choose_isa(to_string(isa));
      CHECK(current_isa() == isa);
    } else {
      CHECK_THROWS_AS(choose_isa(to_string(isa)), Error);
    }
  }
  const Isa before = current_isa();
  CHECK_THROWS_WITH_AS(choose_isa("sse9"),
                       "there is no instruction set 'sse9'; known are generic, avx2 and avx512", Error);
  CHECK(current_isa() == before);
}

TEST_CASE("precision and convolution: an unknown name is refused with the known ones") {
  CHECK_THROWS_WITH_AS(choose_precision("f16"),
                       "products cannot be computed in 'f16'; known are f32 and bf16", Error);
  CHECK(current_precision() == Precision::f32);
  CHECK_THROWS_WITH_AS(choose_convolution("fft"),
                       "there is no convolution 'fft'; known are fastest and direct", Error);
  CHECK(current_convolution() == Convolution::fastest);
}

TEST_CASE("threads: from 1 to 1024") {
  const KeepChoices keep;
  choose_threads(3);
  CHECK(current_threads() == 3);
  for (const int threads : {0, -1, 1025}) CHECK_THROWS_AS(choose_threads(threads), Error);
  CHECK_THROWS_WITH_AS(choose_threads(0), "the number of threads must be from 1 to 1024, but 0 was given",
                       Error);
  CHECK(current_threads() == 3);
}
