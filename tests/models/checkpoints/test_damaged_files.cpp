// Tiny files of every format that is read, cut at every byte and with every bit of their headers turned: each
// of some 20,000 files is read, or refused with one sentence, in no time and in little memory.
#include <ctime>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "models/checkpoints/config.h"
#include "models/checkpoints/tensor_set.h"
#include "models/prompt/cleaning.h"
#include "models/prompt/tokenizer.h"
#include "tensor/files/json.h"
#include "tests/memory_file.h"
#include "tests/tensor/files/broken_files.h"
#include "tests/tensor/files/gguf_bytes.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool sanitized = true;
#elif defined(__has_feature)
constexpr bool sanitized = __has_feature(address_sanitizer);
#else
constexpr bool sanitized = false;
#endif

// A sanitizer makes a file many times slower; its share is still some thousand. Odd, so that all bits come.
constexpr int every_nth = sanitized ? 5 : 1;

// The most memory that this program has had since forget_peak(), in bytes.
size_t peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) * 1024;
  }
  return 0;
}
void forget_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

int64_t files_tried = 0;

// `open` gets the bytes of a file and reads it, or throws Error with a message that names `path`.
class Sweep {
 public:
  Sweep(std::string path, std::function<void(const std::string&)> open)
      : path_(std::move(path)), open_(std::move(open)) {
    forget_peak();
    memory_before_ = peak_memory();
  }

  void attempt(const std::string& bytes) {
    if (number_++ % every_nth != 0) return;
    const std::clock_t begin = std::clock();
    std::string message;
    try {
      open_(bytes);
      ++read_;
    } catch (const Error& error) {
      message = error.what();
      ++refused_;
    }
    slowest_ = std::max(slowest_, std::clock() - begin);
    if (!message.empty()) check_sentence(message, path_);
    ++files_tried;
  }
  void cut(const std::string& good, size_t least_size, size_t step = 1) {
    for (size_t size = least_size; size < good.size(); size += step) attempt(good.substr(0, size));
  }
  /// Turns each bit of the first `bytes` bytes.
  void flip(const std::string& good, size_t bytes) {
    for (size_t bit = 0; bit < 8 * std::min(bytes, good.size()); ++bit) {
      std::string flipped = good;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
      attempt(flipped);
    }
  }
  void check_bounds() const {
    CHECK(read_ > 0);  // a letter of a name does not matter
    CHECK(refused_ > 0);
    CHECK(slowest_ < 2 * CLOCKS_PER_SEC);
    if (!sanitized) CHECK(peak_memory() < memory_before_ + (64 << 20));  // sanitizers keep what is freed
  }

 private:
  std::string path_;
  std::function<void(const std::string&)> open_;
  int number_ = 0, read_ = 0, refused_ = 0;
  std::clock_t slowest_ = 0;
  size_t memory_before_ = 0;
};

void sweep_tensors(const std::string& good, size_t least_size, size_t header) {
  static MemoryFile file;
  Sweep sweep(file.path(), [](const std::string& bytes) {
    file.hold(bytes);
    const TensorFile opened = TensorFile::open(file.path());
    for (const StoredTensor& tensor : opened.tensors()) {
      CHECK(tensor.bytes.size() <= bytes.size());
      if (tensor.dtype == "F32" && tensor.shape.size() <= 4) tensor.to_floats();
    }
  });
  sweep.cut(good, least_size);
  sweep.flip(good, header);
  sweep.check_bounds();
}

std::string legacy_checkpoint() {
  const std::string magic = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."s;
  return magic + "\x80\x02" + integer(1001) + ".\x80\x02}" + text("little_endian") + "\x88s." +
         dict_of(TensorBytes{}.pickle()) + "\x80\x02](" + text("0") + "e." + little_endian(6) + six_floats();
}

// 256 letters for the bytes, inside a word and at its end, as GPT-2 has them; two merges; start and end.
std::string vocabulary() {
  std::string json = "{";
  int id = 0;
  const auto add = [&](const std::string& token) {
    json += (id == 0 ? "" : ",") + nlohmann::json(token).dump() + ":" + std::to_string(id);
    ++id;
  };
  for (const char* token : {"ca", "cat</w>", "<|startoftext|>", "<|endoftext|>"}) add(token);
  for (const char* end : {"", "</w>"}) {
    char32_t next = 0x100;
    for (char32_t byte = 0; byte < 256; ++byte) {
      const bool printed = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
      const char32_t letter = printed ? byte : next++;
      add(encode_utf8({&letter, 1}) + end);
    }
  }
  return json + "}";
}

void sweep_safetensors() {
  const std::string one = R"({"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}})";
  const std::string two =
      R"({"__metadata__":{"k":"v"},"w":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
      R"("\u0062":{"dtype":"F16","shape":[8],"data_offsets":[8,24]}}  )";
  for (const std::string& header : {one, two}) {
    sweep_tensors(safetensors(header, six_floats()), 1, 8 + header.size());
  }
}

void sweep_zip() {
  const std::string pickle = dict_of(TensorBytes{}.pickle());
  const std::vector<ZipPart> parts = {{"a/data.pkl", pickle}, {"a/data/0", six_floats()}};
  for (const bool wide : {false, true}) {
    const std::string good = zip(parts, {.wide = wide});
    sweep_tensors(good, 1, good.size());
  }
}

void sweep_legacy() {
  const std::string good = legacy_checkpoint();
  sweep_tensors(good, 1, good.size() - 24);
}

void sweep_gguf() {
  const std::string texts = number_as(8, 4) + little_endian(2) + long_text("a") + long_text("b");
  const std::vector<std::string> pairs = {pair("general.name", 8, long_text("tiny")),
                                          pair("general.alignment", 4, number_as(32, 4)),
                                          pair("t", 9, texts)};
  for (const GgufBytes& bytes : {GgufBytes{.pairs = pairs}, GgufBytes{.version = 2}}) {
    const std::string good = bytes.file();
    sweep_tensors(good, 1, good.size() - 24);
  }
}

void sweep_index() {
  const TemporaryFolder folder;
  for (const std::string name : {"a", "b"}) {
    write_bytes(folder / name,
                safetensors("{\"" + name + R"(":{"dtype":"U8","shape":[],"data_offsets":[0,1]}})", "d"));
  }
  const std::string good = R"({"metadata":{"total_size":2},"weight_map":{"a":"a","b":"b"}})";
  Sweep sweep(folder.path(), [&](const std::string& bytes) {
    write_bytes(folder / "index.json", bytes);
    TensorSet::of_file(folder / "index.json");
  });
  sweep.attempt(good);
  sweep.cut(good, 0);
  sweep.flip(good, good.size());
  sweep.check_bounds();
}

void sweep_config() {
  MemoryFile file;
  Sweep sweep(file.path(), [&](const std::string& bytes) {
    file.hold(bytes);
    (void)unet_config(read_json_file(file.path()), file.path());
  });
  const std::string good =
      R"({"in_channels":4,"block_out_channels":[32,64],"layers_per_block":2,"norm_num_groups":8,"norm_eps":1e-5,)"
      R"("attention_head_dim":4,"down_block_types":["CrossAttnDownBlock2D","DownBlock2D"],)"
      R"("up_block_types":["UpBlock2D","CrossAttnUpBlock2D"]})";
  sweep.attempt(good);
  sweep.cut(good, 0);
  sweep.flip(good, good.size());
  sweep.check_bounds();
}

void sweep_scheduler() {
  MemoryFile file;
  Sweep sweep(file.path(), [&](const std::string& bytes) {
    file.hold(bytes);
    (void)scheduler_config(read_json_file(file.path()), file.path());
  });
  const std::string good =
      R"({"num_train_timesteps":1000,"beta_start":0.00085,"beta_end":0.012,"beta_schedule":"scaled_linear",)"
      R"("clip_sample":false,"set_alpha_to_one":false,"steps_offset":1,"prediction_type":"v_prediction"})";
  sweep.attempt(good);
  sweep.cut(good, 0);
  sweep.flip(good, good.size());
  sweep.check_bounds();
}

void sweep_tokenizer() {
  const TemporaryFolder folder;
  const std::pair<const char*, std::string> files[] = {
      {"vocab.json", vocabulary()},
      {"merges.txt", "#version: 0.2\nc a\nca t</w>\n"},
      {"tokenizer_config.json", R"({"model_max_length":77,"pad_token":{"content":"!"}})"},
      {"special_tokens_map.json", R"({"pad_token":"<|endoftext|>"})"}};
  for (const auto& [name, good] : files) write_bytes(folder / name, good);
  for (const auto& file : files) {
    const std::string path = folder / file.first;
    Sweep sweep(folder.path(), [&](const std::string& bytes) {
      write_bytes(path, bytes);
      (void)Tokenizer::load(folder.path()).encode_padded("a cat");
    });
    const bool large = file.second.size() > 1000;  // a vocabulary needs at least 512 tokens
    sweep.attempt(file.second);
    sweep.cut(file.second, 0, large ? 29 : 1);
    sweep.flip(file.second, large ? 60 : file.second.size());
    sweep.check_bounds();
    write_bytes(path, file.second);
  }
}

}  // namespace

TEST_CASE("20,000 files that are cut or have a bit turned are read or refused") {
  sweep_safetensors();
  sweep_zip();
  sweep_legacy();
  sweep_gguf();
  sweep_index();
  sweep_config();
  sweep_scheduler();
  sweep_tokenizer();
  CHECK(files_tried >= 20'000 / every_nth);
}
