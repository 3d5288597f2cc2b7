// The format: PKWARE's APPNOTE.TXT, sections 4.3 to 4.5.
#include "tensor/files/zip_reader.h"

#include <algorithm>
#include <optional>

#include "tensor/files/byte_reader.h"
#include "tensor/files/text.h"

namespace cutaway {
namespace {

constexpr uint32_t local_magic = 0x04034b50, directory_magic = 0x02014b50, end_magic = 0x06054b50,
                   end64_magic = 0x06064b50, locator64_magic = 0x07064b50;
constexpr size_t end_size = 22, locator64_size = 20, longest_comment = 0xFFFF;
constexpr uint64_t most_entries = 65'536, longest_name = 512;

using Bytes = std::span<const std::byte>;

class Directory {
 public:
  Directory(const std::string& path, Bytes file) : what_(path + " is not a usable zip file: "), file_(file) {}

  std::vector<ZipEntry> read() {
    find_end();
    if (count_ > most_entries) fail("it has more than " + std::to_string(most_entries) + " entries");
    if (start_ > file_.size() || size_ > file_.size() - start_)
      fail("its directory lies outside of the file");
    ByteReader directory = reader(file_.subspan(start_, size_));
    std::vector<ZipEntry> entries;
    for (uint64_t i = 0; i < count_; ++i) entries.push_back(read_entry(directory));
    if (directory.left() != 0) fail("its directory is longer than its entries");
    check_names(entries);
    check_overlap(entries);
    return entries;
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const { throw Error(what_ + problem); }
  ByteReader reader(Bytes bytes) const { return ByteReader(bytes, what_); }

  template <class Number>
  Number number_at(uint64_t place) const {
    if (place > file_.size()) fail("its directory lies outside of the file");
    return reader(file_.subspan(place)).template number<Number>("the end of the directory");
  }

  // The end record is the last thing in the file, before a comment of any length.
  void find_end() {
    if (file_.size() < end_size) fail("it is too short");
    const size_t first = file_.size() - end_size;
    for (size_t back = 0; back <= std::min(first, longest_comment); ++back) {
      const size_t at = first - back;
      if (number_at<uint32_t>(at) != end_magic || number_at<uint16_t>(at + 20) != back) continue;
      if (number_at<uint16_t>(at + 4) != 0 || number_at<uint16_t>(at + 6) != 0)
        fail("it is one of several volumes");
      count_ = number_at<uint16_t>(at + 10);
      size_ = number_at<uint32_t>(at + 12);
      start_ = number_at<uint32_t>(at + 16);
      if (at >= locator64_size && number_at<uint32_t>(at - locator64_size) == locator64_magic) {
        read_end64(number_at<uint64_t>(at - locator64_size + 8));
      }
      return;
    }
    fail("it has no directory at its end: was it cut short?");
  }

  void read_end64(uint64_t at) {
    if (at > file_.size() || number_at<uint32_t>(at) != end64_magic)
      fail("its 64-bit directory is not where it says");
    count_ = number_at<uint64_t>(at + 32);
    size_ = number_at<uint64_t>(at + 40);
    start_ = number_at<uint64_t>(at + 48);
  }

  ZipEntry read_entry(ByteReader& directory) const {
    const char* of = "an entry of its directory";
    if (directory.number<uint32_t>(of) != directory_magic) fail("its directory is damaged");
    directory.take(4, of);  // versions
    const auto flags = directory.number<uint16_t>(of);
    const auto method = directory.number<uint16_t>(of);
    directory.take(8, of);  // time, date, checksum
    uint64_t packed = directory.number<uint32_t>(of), size = directory.number<uint32_t>(of);
    const auto name_size = directory.number<uint16_t>(of);
    const auto extra_size = directory.number<uint16_t>(of);
    const auto comment_size = directory.number<uint16_t>(of);
    directory.take(8, of);  // volume, attributes
    uint64_t header = directory.number<uint32_t>(of);
    ZipEntry entry;
    entry.name = directory.text(name_size, of);
    if (name_size == 0 || name_size > longest_name) fail("an entry has no name or one that is too long");
    const Bytes extra = directory.take(extra_size, of);
    directory.take(comment_size, of);
    widen(extra, size, packed, header);
    if ((flags & 1U) != 0) fail("its entry " + in_quotes(entry.name) + " is encrypted");
    if (method != 0 || packed != size) {
      fail("its entry " + in_quotes(entry.name) +
           " is compressed; only stored entries are read, as PyTorch writes them");
    }
    entry.bytes = data_of(entry.name, header, size);
    return entry;
  }

  // Sizes that do not fit 32 bits stand in the extra field of kind 1, in this order.
  void widen(Bytes extra, uint64_t& size, uint64_t& packed, uint64_t& header) const {
    ByteReader fields = reader(extra);
    while (fields.left() >= 4) {
      const auto kind = fields.number<uint16_t>("an extra field");
      const Bytes bytes = fields.take(fields.number<uint16_t>("an extra field"), "an extra field");
      if (kind != 1) continue;
      ByteReader field = reader(bytes);
      for (uint64_t* value : {&size, &packed, &header}) {
        if (*value == 0xFFFFFFFFU) *value = field.number<uint64_t>("a 64-bit size");
      }
      return;
    }
  }

  // An entry's own header stands before its bytes, and has extra fields of its own.
  Bytes data_of(const std::string& name, uint64_t header, uint64_t size) const {
    if (header > file_.size()) fail("its entry " + in_quotes(name) + " lies outside of the file");
    ByteReader local = reader(file_.subspan(header));
    const char* of = "an entry's header";
    if (local.number<uint32_t>(of) != local_magic) fail("its entry " + in_quotes(name) + " has no header");
    local.take(22, of);
    const auto name_size = local.number<uint16_t>(of);
    const auto extra_size = local.number<uint16_t>(of);
    if (local.text(name_size, of) != name)
      fail("its entry " + in_quotes(name) + " has another name in its header");
    local.take(extra_size, of);
    if (header + local.at() + size > start_ || size > local.left()) {
      fail("its entry " + in_quotes(name) + " reaches into the directory or beyond the file");
    }
    return local.take(size, "an entry");
  }

  void check_names(const std::vector<ZipEntry>& entries) const {
    std::vector<std::string_view> names;
    for (const ZipEntry& entry : entries) names.push_back(entry.name);
    std::sort(names.begin(), names.end());
    const auto twin = std::adjacent_find(names.begin(), names.end());
    if (twin != names.end()) fail("its entry " + in_quotes(*twin) + " occurs twice");
  }

  void check_overlap(const std::vector<ZipEntry>& entries) const {
    std::vector<Bytes> all;
    for (const ZipEntry& entry : entries) {
      if (!entry.bytes.empty()) all.push_back(entry.bytes);
    }
    std::sort(all.begin(), all.end(), [](Bytes a, Bytes b) { return a.data() < b.data(); });
    for (size_t i = 1; i < all.size(); ++i) {
      if (all[i].data() < all[i - 1].data() + all[i - 1].size()) fail("two of its entries share bytes");
    }
  }

  std::string what_;
  Bytes file_;
  uint64_t count_ = 0, size_ = 0, start_ = 0;
};

}  // namespace

std::vector<ZipEntry> read_zip_directory(const std::string& path, std::span<const std::byte> file) {
  return Directory(path, file).read();
}

}  // namespace cutaway
