#include "tensor/files/torch_file.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <set>
#include <unordered_map>

#include "tensor/files/pickle.h"
#include "tensor/files/safetensors_header.h"
#include "tensor/files/text.h"
#include "tensor/files/zip_reader.h"

namespace cutaway {
namespace {

using Bytes = std::span<const std::byte>;
using Kind = PickleValue::Kind;

// The bytes of the storage with this key.
using Storages = std::function<Bytes(const std::string& key)>;

constexpr int deepest_dict = 8;

int64_t bytes_of(std::string_view dtype) { return safetensors_bits(dtype) / 8; }

// Walks the dicts of a pickle and lists the tensors in them.
class Collector {
 public:
  Collector(std::string path, const Storages& storages)
      : what_(std::move(path) + ": "), storages_(storages) {}

  std::vector<StoredTensor> collect(const PickleValue& root) {
    const PickleValue* state = root.at("state_dict");
    const PickleValue& start = state != nullptr && state->kind == Kind::dict ? *state : root;
    if (start.kind != Kind::dict) throw Error(what_ + "it holds no dict of tensors, which a checkpoint is");
    add(start, "", 0);
    if (tensors_.empty()) throw Error(what_ + "it holds no tensors");
    return std::move(tensors_);
  }

 private:
  void add(const PickleValue& dict, const std::string& front, int depth) {
    if (depth > deepest_dict)
      throw Error(what_ + "its dicts are nested deeper than " + std::to_string(deepest_dict));
    for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
      const PickleValue &key = *dict.items[i], &value = *dict.items[i + 1];
      // A dict may stand in many places, and each time all of it is looked through.
      if (++items_ > pickle_limits::instructions) throw Error(what_ + "its dicts hold too many items in all");
      if (value.kind != Kind::dict && value.kind != Kind::tensor) continue;  // notes, such as the step
      if (++visited_ > pickle_limits::tensors) throw Error(what_ + "it holds too many dicts and tensors");
      if (key.kind != Kind::text && key.kind != Kind::integer) continue;
      const std::string name =
          front + (key.kind == Kind::text ? std::string(key.text) : std::to_string(key.integer));
      if (name.size() > safetensors_limits::name)
        throw Error(what_ + "a name is too long: " + in_quotes(name));
      name_bytes_ += name.size();
      if (name_bytes_ > pickle_limits::name_bytes) throw Error(what_ + "its names are too long in all");
      if (value.kind == Kind::dict) {
        add(value, name + ".", depth + 1);
      } else {
        tensors_.push_back(described(value, name));
        if (!names_.insert(name).second)
          throw Error(what_ + "the tensor " + in_quotes(name) + " occurs twice");
      }
    }
  }

  StoredTensor described(const PickleValue& value, const std::string& name) const {
    const PickleValue& storage = *value.items[0];
    StoredTensor tensor;
    tensor.name = name;
    tensor.dtype = dtype_of_storage(storage.items[0]->text);
    tensor.shape = extents(*value.items[2], name);
    const std::vector<int64_t> strides = extents(*value.items[3], name);
    const int64_t size = bytes_of(tensor.dtype), numbers = storage.items[2]->integer;
    const Bytes bytes = storages_(std::string(storage.items[1]->text));
    if (numbers > std::numeric_limits<int64_t>::max() / size ||
        bytes.size() != static_cast<uint64_t>(numbers * size)) {
      throw Error(what_ + "the storage of the tensor " + in_quotes(name) + " has " +
                  std::to_string(bytes.size()) + " bytes where " + std::to_string(numbers) + " numbers of " +
                  tensor.dtype + " belong");
    }
    const int64_t count = checked_count(tensor, strides, numbers);
    const int64_t offset = value.items[1]->integer;
    if (offset < 0 || offset > numbers || count > numbers - offset) {
      throw Error(what_ + "the tensor " + in_quotes(name) + " of shape " + to_string(tensor.shape) +
                  " reaches beyond its storage of " + std::to_string(numbers) + " numbers");
    }
    tensor.bytes = bytes.subspan(static_cast<size_t>(offset * size), static_cast<size_t>(count * size));
    return tensor;
  }

  std::vector<int64_t> extents(const PickleValue& tuple, const std::string& name) const {
    std::vector<int64_t> extents;
    for (const PickleValue* item : tuple.items) {
      if (item->kind != Kind::integer || item->integer < 0 || extents.size() == safetensors_limits::extents) {
        throw Error(what_ + "the shape of the tensor " + in_quotes(name) +
                    " is not a short row of whole numbers");
      }
      extents.push_back(item->integer);
    }
    return extents;
  }

  // How many numbers the tensor has: at most as many as its storage.
  int64_t checked_count(const StoredTensor& tensor, const std::vector<int64_t>& strides, int64_t most) const {
    int64_t count = 1;
    if (strides.size() != tensor.shape.size()) {
      throw Error(what_ + "the tensor " + in_quotes(tensor.name) + " has " + std::to_string(strides.size()) +
                  " strides for the shape " + to_string(tensor.shape));
    }
    if (std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end()) return 0;
    for (size_t i = tensor.shape.size(); i-- > 0;) {
      if (tensor.shape[i] != 1 && strides[i] != count) {
        throw Error(what_ + "the numbers of the tensor " + in_quotes(tensor.name) + " of shape " +
                    to_string(tensor.shape) + " do not stand one after another (strides " +
                    to_string(strides) + "); save it again after .contiguous()");
      }
      if (tensor.shape[i] > most / count) {
        throw Error(what_ + "the tensor " + in_quotes(tensor.name) + " of shape " + to_string(tensor.shape) +
                    " reaches beyond its storage of " + std::to_string(most) + " numbers");
      }
      count *= tensor.shape[i];
    }
    return count;
  }

  std::string what_;
  const Storages& storages_;
  std::vector<StoredTensor> tensors_;
  std::set<std::string> names_;
  size_t items_ = 0, visited_ = 0, name_bytes_ = 0;
};

// The bytes that one number takes in each storage, by its key. That stands in the pickle, where a tensor uses
// the storage; a dict that occurs many times is looked into once.
class StorageWidths {
 public:
  explicit StorageWidths(const PickleValue& root) { look_into(root, 0); }

  /// 0 when no tensor uses the storage.
  int64_t of(std::string_view key) const {
    const auto found = widths_.find(key);
    return found == widths_.end() ? 0 : found->second;
  }

 private:
  void look_into(const PickleValue& value, int depth) {
    if (value.kind == Kind::tensor) {
      const PickleValue& storage = *value.items[0];
      widths_[storage.items[1]->text] = bytes_of(dtype_of_storage(storage.items[0]->text));
    } else if (value.kind == Kind::dict && depth <= deepest_dict && seen_.insert(&value).second) {
      for (const PickleValue* item : value.items) look_into(*item, depth + 1);
    }
  }

  std::unordered_map<std::string_view, int64_t> widths_;
  std::set<const PickleValue*> seen_;
};

// ---- The two layouts

std::vector<StoredTensor> tensors_of_zip(const std::string& path, Bytes file) {
  std::unordered_map<std::string, Bytes> entries;
  std::string front;
  for (ZipEntry& entry : read_zip_directory(path, file)) {
    if (entry.name.ends_with("/data.pkl")) {
      if (!front.empty()) throw Error(path + " is no checkpoint of PyTorch: it holds two data.pkl");
      front = entry.name.substr(0, entry.name.size() - std::string("data.pkl").size());
    }
    entries[std::move(entry.name)] = entry.bytes;
  }
  if (front.empty()) throw Error(path + " is a zip file without data.pkl, so no checkpoint of PyTorch");
  if (const auto order = entries.find(front + "byteorder"); order != entries.end()) {
    const Bytes text = order->second;
    if (std::string_view(reinterpret_cast<const char*>(text.data()), text.size()) != "little") {
      throw Error(path + " holds big-endian numbers, which are not read");
    }
  }
  const Bytes pickle = entries.at(front + "data.pkl");
  if (pickle.size() > pickle_limits::bytes) throw Error(path + ": its data.pkl is too long");
  ByteReader reader(pickle, path + " is not a usable checkpoint: ");
  const Pickle result(reader);
  const Storages storages = [&](const std::string& key) {
    const auto found = entries.find(front + "data/" + key);
    if (found == entries.end()) throw Error(path + ": the storage " + in_quotes(key) + " is missing");
    return found->second;
  };
  return Collector(path, storages).collect(result.root());
}

// Before PyTorch 1.6: a magic number, a version, notes about the machine, the tensors, the storages' keys,
// each a pickle; then for each key how many numbers there are, and the numbers.
std::vector<StoredTensor> tensors_of_row(const std::string& path, Bytes file) {
  const std::string what = path + " is not a usable checkpoint: ";
  // The pickles stand first and are small; the storages after them may be of any size.
  ByteReader reader(file, what);
  static constexpr std::string_view magic("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);
  if (const Pickle first(reader); first.root().kind != Kind::big_integer || first.root().text != magic) {
    reader.fail("it is a pickle, but not one that PyTorch wrote");
  }
  if (const Pickle version(reader); version.root().kind != Kind::integer || version.root().integer != 1001)
    reader.fail("its version is not 1001");
  {
    const Pickle machine(reader);
    const PickleValue* little = machine.root().at("little_endian");
    if (little != nullptr && little->integer == 0)
      reader.fail("it holds big-endian numbers, which are not read");
  }
  const Pickle tensors(reader), keys(reader);
  if (keys.root().kind != Kind::list) reader.fail("it has no list of storages");

  const StorageWidths widths(tensors.root());
  std::unordered_map<std::string, Bytes> storages;
  for (const PickleValue* key : keys.root().items) {
    if (key->kind != Kind::text) reader.fail("a storage's key is no text");
    const auto count = reader.number<int64_t>("a storage");
    const int64_t width = widths.of(key->text);
    if (width == 0) reader.fail("it has the storage " + in_quotes(key->text) + ", which no tensor uses");
    if (count < 0 || static_cast<uint64_t>(count) > reader.left())
      reader.fail("a storage reaches beyond the file");
    storages[std::string(key->text)] = reader.take(static_cast<uint64_t>(count * width), "a storage");
  }
  const Storages find = [&](const std::string& key) {
    const auto found = storages.find(key);
    if (found == storages.end()) throw Error(path + ": the storage " + in_quotes(key) + " is missing");
    return found->second;
  };
  return Collector(path, find).collect(tensors.root());
}

}  // namespace

bool TorchFile::looks_like_one(std::string_view first_bytes) {
  return first_bytes.starts_with("PK\x03\x04") || first_bytes.starts_with("\x80\x02\x8a\x0a");
}

TorchFile TorchFile::open(const std::string& path) {
  TorchFile file;
  file.map_ = MappedFile::open(path);
  file.tensors_ = read_torch_tensors(path, file.map_->bytes());
  return file;
}

std::vector<StoredTensor> read_torch_tensors(const std::string& path, Bytes file) {
  const bool zip = file.size() > 2 && file[0] == std::byte{'P'};
  return zip ? tensors_of_zip(path, file) : tensors_of_row(path, file);
}

}  // namespace cutaway
