#include "tensor/files/gguf.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "tensor/files/byte_reader.h"
#include "tensor/files/safetensors_header.h"
#include "tensor/files/text.h"

namespace cutaway {
namespace {

// How numbers are stored: `values` of them in `bytes`.
struct Layout {
  uint32_t type;
  const char* dtype;
  int64_t values, bytes;
};
constexpr Layout layouts[] = {
    {0, "F32", 1, 4},       {1, "F16", 1, 2},       {2, "Q4_0", 32, 18},      {3, "Q4_1", 32, 20},
    {6, "Q5_0", 32, 22},    {7, "Q5_1", 32, 24},    {8, "Q8_0", 32, 34},      {10, "Q2_K", 256, 84},
    {11, "Q3_K", 256, 110}, {12, "Q4_K", 256, 144}, {13, "Q5_K", 256, 176},   {14, "Q6_K", 256, 210},
    {15, "Q8_K", 256, 292}, {20, "IQ4_NL", 32, 18}, {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},
    {25, "I16", 1, 2},      {26, "I32", 1, 4},      {27, "I64", 1, 8},        {28, "F64", 1, 8},
    {30, "BF16", 1, 2},
};

constexpr uint32_t text_type = 8, array_type = 9;
constexpr uint64_t most_pairs = 100'000, longest_key = 65535, longest_kept_text = 1 << 20,
                   most_kept_text = 8 << 20;
constexpr int deepest_array = 4;

class Header {
 public:
  Header(const std::string& path, std::span<const std::byte> file)
      : file_(file), reader_(file, path + " is not a usable GGUF file: ") {}

  void read(std::vector<StoredTensor>& tensors, std::map<std::string, std::string>& metadata) {
    reader_.take(4, "its first bytes");
    const auto version = reader_.number<uint32_t>("its version");
    if (version != 2 && version != 3) {
      reader_.fail("its version is " + std::to_string(version) + ", but 2 and 3 are known" +
                   (version > 0xFFFF ? " (its numbers are big-endian)" : ""));
    }
    const auto count = reader_.number<uint64_t>("its counts"), pairs = reader_.number<uint64_t>("its counts");
    if (count > safetensors_limits::tensors)
      reader_.fail("it has too many tensors: " + std::to_string(count));
    if (pairs > most_pairs) reader_.fail("it has too many key-value pairs: " + std::to_string(pairs));
    for (uint64_t i = 0; i < pairs; ++i) read_pair(metadata);
    for (uint64_t i = 0; i < count; ++i) tensors.push_back(read_tensor());
    place(tensors);
    check(tensors);
  }

 private:
  std::string_view text(const char* of, uint64_t longest) {
    const auto size = reader_.number<uint64_t>(of);
    if (size > longest)
      reader_.fail(std::string(of) + " is longer than " + std::to_string(longest) + " bytes");
    return reader_.text(size, of);
  }

  void read_pair(std::map<std::string, std::string>& metadata) {
    const std::string_view view = text("a key", longest_key);
    const std::string key(view);
    if (!keys_.insert(view).second) reader_.fail("it has the key " + in_quotes(key) + " twice");
    const auto type = reader_.number<uint32_t>("a key's type");
    if (key == "general.alignment") {
      if (type != 4) reader_.fail("its general.alignment is no 32-bit number");
      alignment_ = reader_.number<uint32_t>("its alignment");
      if (alignment_ == 0 || alignment_ > 1 << 20 || (alignment_ & (alignment_ - 1)) != 0) {
        reader_.fail("its general.alignment is " + std::to_string(alignment_) + ", which is no power of two");
      }
    } else if (type == text_type) {
      const std::string_view value = text("a text", reader_.left());
      kept_text_ += key.size() + value.size();
      if (value.size() <= longest_kept_text && kept_text_ <= most_kept_text) metadata[key] = value;
    } else {
      skip(type, 0);
    }
  }

  // Sizes of the simple kinds of values, by number; 0 for text and array.
  uint64_t size_of(uint32_t type) const {
    static constexpr uint64_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    if (type >= std::size(sizes)) reader_.fail("a value has the unknown type " + std::to_string(type));
    return sizes[type];
  }

  void skip(uint32_t type, int depth) {
    if (type == text_type) {
      text("a text", reader_.left());
    } else if (type != array_type) {
      reader_.take(size_of(type), "a value");
    } else {
      if (depth == deepest_array) reader_.fail("its arrays are nested too deep");
      const auto inner = reader_.number<uint32_t>("an array");
      const auto count = reader_.number<uint64_t>("an array");
      const bool simple = inner != text_type && inner != array_type;
      if (count > reader_.left()) reader_.fail("an array reaches beyond the file");
      if (simple) {
        reader_.take(count * size_of(inner), "an array");
      } else {
        for (uint64_t i = 0; i < count; ++i) skip(inner, depth + 1);
      }
    }
  }

  StoredTensor read_tensor() {
    StoredTensor tensor;
    tensor.name = text("a tensor's name", safetensors_limits::name);
    const auto rank = reader_.number<uint32_t>("a tensor's shape");
    if (rank > 8)
      reader_.fail("the tensor " + in_quotes(tensor.name) + " has " + std::to_string(rank) + " extents");
    int64_t count = 1;
    for (uint32_t i = 0; i < rank; ++i) {
      const auto extent = reader_.number<uint64_t>("a tensor's shape");
      if (extent > static_cast<uint64_t>(int64_t{1} << 40) ||
          (extent != 0 && count > (int64_t{1} << 40) / static_cast<int64_t>(extent))) {
        reader_.fail("the tensor " + in_quotes(tensor.name) + " is too large");
      }
      count *= static_cast<int64_t>(extent);
      tensor.shape.insert(tensor.shape.begin(), static_cast<int64_t>(extent));
    }
    const auto type = reader_.number<uint32_t>("a tensor's type");
    const auto* layout = std::find_if(std::begin(layouts), std::end(layouts),
                                      [&](const Layout& known) { return known.type == type; });
    if (layout == std::end(layouts)) {
      reader_.fail("the tensor " + in_quotes(tensor.name) + " has the unknown type " + std::to_string(type));
    }
    tensor.dtype = layout->dtype;
    if (layout->values > 1 && (rank == 0 || tensor.shape.back() % layout->values != 0)) {
      reader_.fail("the rows of the tensor " + in_quotes(tensor.name) + " of shape " +
                   to_string(tensor.shape) + " are no multiple of " + std::to_string(layout->values) +
                   ", as " + layout->dtype + " needs");
    }
    offsets_.push_back(reader_.number<uint64_t>("a tensor's place"));
    sizes_.push_back(static_cast<uint64_t>(count / layout->values * layout->bytes));
    return tensor;
  }

  // The data start behind the header, at a multiple of the alignment; places count from there.
  void place(std::vector<StoredTensor>& tensors) const {
    const uint64_t start = (reader_.at() + alignment_ - 1) / alignment_ * alignment_;
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (offsets_[i] % alignment_ != 0) {
        reader_.fail("the tensor " + in_quotes(tensors[i].name) + " does not start at a multiple of " +
                     std::to_string(alignment_));
      }
      if (start > file_.size() || offsets_[i] > file_.size() - start ||
          sizes_[i] > file_.size() - start - offsets_[i]) {
        reader_.fail("the tensor " + in_quotes(tensors[i].name) +
                     " reaches beyond the file: was it cut short?");
      }
      tensors[i].bytes = file_.subspan(start + offsets_[i], sizes_[i]);
    }
  }

  void check(const std::vector<StoredTensor>& tensors) const {
    std::set<std::string_view> names;
    std::vector<const StoredTensor*> by_place;
    for (const StoredTensor& tensor : tensors) {
      if (!names.insert(tensor.name).second)
        reader_.fail("the tensor " + in_quotes(tensor.name) + " occurs twice");
      if (!tensor.bytes.empty()) by_place.push_back(&tensor);
    }
    std::sort(by_place.begin(), by_place.end(),
              [](const StoredTensor* a, const StoredTensor* b) { return a->bytes.data() < b->bytes.data(); });
    for (size_t i = 1; i < by_place.size(); ++i) {
      const StoredTensor &before = *by_place[i - 1], &tensor = *by_place[i];
      if (tensor.bytes.data() >= before.bytes.data() + before.bytes.size()) continue;
      reader_.fail("the tensors " + in_quotes(before.name) + " and " + in_quotes(tensor.name) +
                   " share bytes");
    }
  }

  std::span<const std::byte> file_;
  ByteReader reader_;
  uint64_t alignment_ = 32, kept_text_ = 0;
  std::vector<uint64_t> offsets_, sizes_;
  std::set<std::string_view> keys_;
};

}  // namespace

GgufFile GgufFile::open(const std::string& path) {
  GgufFile file;
  file.map_ = MappedFile::open(path);
  GgufHeader header = read_gguf_header(path, file.map_->bytes());
  file.tensors_ = std::move(header.tensors);
  file.metadata_ = std::move(header.metadata);
  return file;
}

GgufHeader read_gguf_header(const std::string& path, std::span<const std::byte> file) {
  GgufHeader header;
  Header(path, file).read(header.tensors, header.metadata);
  return header;
}

}  // namespace cutaway
