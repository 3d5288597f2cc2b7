#include "tensor/files/pickle.h"

#include <algorithm>
#include <unordered_map>

#include "tensor/files/text.h"

namespace cutaway {
namespace {

using Kind = PickleValue::Kind;

constexpr std::string_view ordered_dict = "collections OrderedDict",
                           rebuild_tensor = "torch._utils _rebuild_tensor_v2",
                           rebuild_parameter = "torch._utils _rebuild_parameter", size_tuple = "torch Size",
                           // Holds the rows of a textual inversion as its inventors wrote it.
    parameter_dict = "torch.nn.modules.container ParameterDict";

struct Storage {
  std::string_view name, dtype;
};
constexpr Storage storages[] = {
    {"torch DoubleStorage", "F64"},    {"torch FloatStorage", "F32"}, {"torch HalfStorage", "F16"},
    {"torch BFloat16Storage", "BF16"}, {"torch LongStorage", "I64"},  {"torch IntStorage", "I32"},
    {"torch ShortStorage", "I16"},     {"torch CharStorage", "I8"},   {"torch ByteStorage", "U8"},
    {"torch BoolStorage", "BOOL"},
};
// Stand in the training's notes of older checkpoints, as keys. They are texts here and cannot be called.
constexpr std::string_view inert[] = {
    "pytorch_lightning.callbacks.model_checkpoint ModelCheckpoint",
    "pytorch_lightning.callbacks ModelCheckpoint",
};
// Numbers of numpy among the notes. Calling one gives None here: nobody asks for their values.
constexpr std::string_view numpy[] = {"numpy dtype", "numpy.core.multiarray scalar",
                                      "numpy._core.multiarray scalar", "_codecs encode"};

// The same text, but one that stays; "" when it is not among the known ones.
std::string_view known_name(std::string_view name) {
  for (const std::string_view known :
       {ordered_dict, rebuild_tensor, rebuild_parameter, size_tuple, parameter_dict, inert[0], inert[1]}) {
    if (known == name) return known;
  }
  for (const std::string_view known : numpy) {
    if (known == name) return known;
  }
  for (const Storage& storage : storages) {
    if (storage.name == name) return storage.name;
  }
  return "";
}

const char* kind_text(Kind kind) {
  static constexpr const char* texts[] = {
      "None",    "a truth value", "a number", "a long number", "a fraction", "text",    "bytes",
      "a tuple", "a list",        "a dict",   "a name",        "a storage",  "a tensor"};
  return texts[static_cast<size_t>(kind)];
}

// The instructions, by Python's names for them (pickletools.py).
enum Code : uint8_t {
  MARK = '(',
  STOP = '.',
  POP = '0',
  POP_MARK = '1',
  BINFLOAT = 'G',
  BININT = 'J',
  BININT1 = 'K',
  BININT2 = 'M',
  NONE = 'N',
  BINPERSID = 'Q',
  REDUCE = 'R',
  BINSTRING = 'T',
  SHORT_BINSTRING = 'U',
  BINUNICODE = 'X',
  APPEND = 'a',
  BUILD = 'b',
  GLOBAL = 'c',
  DICT = 'd',
  APPENDS = 'e',
  BINGET = 'h',
  LONG_BINGET = 'j',
  LIST = 'l',
  BINPUT = 'q',
  LONG_BINPUT = 'r',
  SETITEM = 's',
  TUPLE = 't',
  SETITEMS = 'u',
  EMPTY_TUPLE = ')',
  EMPTY_LIST = ']',
  EMPTY_DICT = '}',
  BINBYTES = 'B',
  SHORT_BINBYTES = 'C',
  PROTO = 0x80,
  NEWOBJ = 0x81,
  TUPLE1 = 0x85,
  TUPLE2 = 0x86,
  TUPLE3 = 0x87,
  NEWTRUE = 0x88,
  NEWFALSE = 0x89,
  LONG1 = 0x8a,
  LONG4 = 0x8b,
  SHORT_BINUNICODE = 0x8c,
  BINUNICODE8 = 0x8d,
  BINBYTES8 = 0x8e,
  STACK_GLOBAL = 0x93,
  MEMOIZE = 0x94,
  FRAME = 0x95,
};

}  // namespace

std::string_view dtype_of_storage(std::string_view name) {
  for (const Storage& storage : storages) {
    if (storage.name == name) return storage.dtype;
  }
  return "";
}

const PickleValue* PickleValue::at(std::string_view key) const {
  for (size_t i = 0; kind == Kind::dict && i + 1 < items.size(); i += 2) {
    if (items[i]->kind == Kind::text && items[i]->text == key) return items[i + 1];
  }
  return nullptr;
}

class PickleMachine {
 public:
  PickleMachine(ByteReader& reader, Pickle& pickle) : reader_(reader), pickle_(pickle) {}

  void run() {
    for (size_t done = 0; done < pickle_limits::instructions; ++done) {
      const auto code = reader_.number<uint8_t>("its pickle");
      if (code == STOP) {
        pickle_.root_ = pop();
        return;
      }
      if (!push_plain(code) && !move(code) && !gather(code) && !call(code)) {
        fail("the instruction " + std::to_string(code) + " is not one that checkpoints of tensors use");
      }
    }
    fail("it has more than " + std::to_string(pickle_limits::instructions) + " instructions");
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    reader_.fail("in its pickle, before byte " + std::to_string(reader_.at()) + ", " + problem);
  }

  // ---- Stack

  PickleValue* make(Kind kind) {
    if (pickle_.values_.size() == pickle_limits::values) {
      fail("it has more than " + std::to_string(pickle_limits::values) + " values");
    }
    pickle_.values_.emplace_back();
    pickle_.values_.back().kind = kind;
    return &pickle_.values_.back();
  }
  PickleValue* push(PickleValue* value) {
    stack_.push_back(value);
    return value;
  }
  PickleValue* push(Kind kind) { return push(make(kind)); }
  void push_integer(int64_t value) { push(Kind::integer)->integer = value; }
  void push_text(Kind kind, uint64_t size) { push(kind)->text = reader_.text(size, "a text of its pickle"); }

  // What lies below a mark is out of reach until the mark is taken away.
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  PickleValue* top() {
    if (stack_.size() <= floor()) fail("a value is taken from an empty stack");
    return stack_.back();
  }
  PickleValue* pop() {
    PickleValue* value = top();
    stack_.pop_back();
    return value;
  }
  PickleValue* pop(Kind kind) { return need(pop(), kind); }
  PickleValue* need(PickleValue* value, Kind kind) const {
    if (value->kind != kind)
      fail(std::string(kind_text(value->kind)) + " stands where " + kind_text(kind) + " belongs");
    return value;
  }
  std::vector<const PickleValue*> pop_to_mark() {
    if (marks_.empty()) fail("a mark is missing");
    const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<const PickleValue*> values(first, stack_.end());
    stack_.erase(first, stack_.end());
    marks_.pop_back();
    return values;
  }

  // ---- Instructions that make one value

  bool push_plain(uint8_t code) {
    const char* of = "its pickle";
    switch (code) {
      case NONE:
        push(Kind::none);
        return true;
      case NEWTRUE:
      case NEWFALSE:
        push(Kind::boolean)->integer = code == NEWTRUE;
        return true;
      case BININT:
        push_integer(reader_.number<int32_t>(of));
        return true;
      case BININT1:
        push_integer(reader_.number<uint8_t>(of));
        return true;
      case BININT2:
        push_integer(reader_.number<uint16_t>(of));
        return true;
      case LONG1:
        push_long(reader_.number<uint8_t>(of));
        return true;
      case LONG4:
        push_long(reader_.number<uint32_t>(of));
        return true;
      case BINFLOAT:  // never part of a tensor
        push(Kind::real);
        reader_.take(8, of);
        return true;
      case BINUNICODE:
        push_text(Kind::text, reader_.number<uint32_t>(of));
        return true;
      case SHORT_BINUNICODE:
        push_text(Kind::text, reader_.number<uint8_t>(of));
        return true;
      case BINUNICODE8:
        push_text(Kind::text, reader_.number<uint64_t>(of));
        return true;
      case BINSTRING:  // Python 2's text
        push_text(Kind::text, reader_.number<uint32_t>(of));
        return true;
      case SHORT_BINSTRING:
        push_text(Kind::text, reader_.number<uint8_t>(of));
        return true;
      case BINBYTES:
        push_text(Kind::bytes, reader_.number<uint32_t>(of));
        return true;
      case SHORT_BINBYTES:
        push_text(Kind::bytes, reader_.number<uint8_t>(of));
        return true;
      case BINBYTES8:
        push_text(Kind::bytes, reader_.number<uint64_t>(of));
        return true;
      case EMPTY_TUPLE:
        push(Kind::tuple);
        return true;
      case EMPTY_LIST:
        push(Kind::list);
        return true;
      case EMPTY_DICT:
        push(Kind::dict);
        return true;
      default:
        return false;
    }
  }

  // A number of any length in two's complement, little-endian.
  void push_long(uint64_t size) {
    if (size > 64) fail("a number of " + std::to_string(size) + " bytes is too long");
    const std::string_view bytes = reader_.text(size, "a number of its pickle");
    if (size > 8) {
      push(Kind::big_integer)->text = bytes;
      return;
    }
    uint64_t value = size > 0 && (static_cast<uint8_t>(bytes.back()) & 0x80U) != 0 ? ~uint64_t{0} : 0;
    for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[i]);
    push_integer(static_cast<int64_t>(value));
  }

  // ---- Instructions that move values

  bool move(uint8_t code) {
    const char* of = "its pickle";
    switch (code) {
      case PROTO:
        if (const auto version = reader_.number<uint8_t>(of); version > 5) {
          fail("its version " + std::to_string(version) + " is not known");
        }
        return true;
      case FRAME:
        reader_.number<uint64_t>(of);  // how much is worth reading at once; nothing depends on it
        return true;
      case MARK:
        marks_.push_back(stack_.size());
        return true;
      case POP:
        pop();
        return true;
      case POP_MARK:
        pop_to_mark();
        return true;
      case BINPUT:
        remember(reader_.number<uint8_t>(of));
        return true;
      case LONG_BINPUT:
        remember(reader_.number<uint32_t>(of));
        return true;
      case MEMOIZE:
        remember(static_cast<uint32_t>(memo_.size()));
        return true;
      case BINGET:
        recall(reader_.number<uint8_t>(of));
        return true;
      case LONG_BINGET:
        recall(reader_.number<uint32_t>(of));
        return true;
      default:
        return false;
    }
  }

  void remember(uint32_t place) {
    if (memo_.size() == pickle_limits::values) fail("it remembers too many values");
    memo_[place] = top();
  }
  void recall(uint32_t place) {
    const auto found = memo_.find(place);
    if (found == memo_.end()) fail("it recalls a value that it never remembered");
    push(found->second);
  }

  // ---- Instructions that put values together

  bool gather(uint8_t code) {
    switch (code) {
      case TUPLE1:
      case TUPLE2:
      case TUPLE3:
        push_tuple(static_cast<size_t>(code - TUPLE1 + 1));
        return true;
      case TUPLE:
      case LIST: {
        auto items = pop_to_mark();
        push(code == TUPLE ? Kind::tuple : Kind::list)->items = std::move(items);
        return true;
      }
      case DICT: {
        auto items = pop_to_mark();
        set_items(push(Kind::dict), items);
        return true;
      }
      case APPEND: {
        const PickleValue* item = pop();
        need(top(), Kind::list)->items.push_back(item);
        return true;
      }
      case APPENDS: {
        const auto items = pop_to_mark();
        auto& list = need(top(), Kind::list)->items;
        list.insert(list.end(), items.begin(), items.end());
        return true;
      }
      case SETITEM: {
        const PickleValue* value = pop();
        const PickleValue* key = pop();
        set_items(need(top(), Kind::dict), {key, value});
        return true;
      }
      case SETITEMS: {
        const auto items = pop_to_mark();
        set_items(need(top(), Kind::dict), items);
        return true;
      }
      default:
        return false;
    }
  }

  void push_tuple(size_t count) {
    std::vector<const PickleValue*> items(count);
    for (size_t i = count; i-- > 0;) items[i] = pop();
    push(Kind::tuple)->items = std::move(items);
  }

  void set_items(PickleValue* dict, const std::vector<const PickleValue*>& items) const {
    if (items.size() % 2 != 0) fail("a dict has a key without a value");
    dict->items.insert(dict->items.end(), items.begin(), items.end());
  }

  // ---- Instructions that in Python would run something

  bool call(uint8_t code) {
    switch (code) {
      case GLOBAL: {
        const std::string_view module = line();
        const std::string_view name = line();
        push_name(module, name);
        return true;
      }
      case STACK_GLOBAL: {
        const PickleValue* name = pop(Kind::text);
        const PickleValue* module = pop(Kind::text);
        push_name(module->text, name->text);
        return true;
      }
      case REDUCE:
      case NEWOBJ: {
        const PickleValue* arguments = pop(Kind::tuple);
        const PickleValue* name = pop(Kind::name);
        push_called(name->text, arguments->items);
        return true;
      }
      case BUILD: {  // attributes; of an OrderedDict and of None none matters
        const PickleValue* attributes = pop();
        if (top()->kind == Kind::none) return true;
        const PickleValue* parameters = attributes->at("_parameters");
        PickleValue* dict = need(top(), Kind::dict);
        if (parameters != nullptr && parameters->kind == Kind::dict) set_items(dict, parameters->items);
        return true;
      }
      case BINPERSID:
        push_storage(pop(Kind::tuple)->items);
        return true;
      default:
        return false;
    }
  }

  std::string_view line() {
    const std::string_view rest = ByteReader(reader_).text(reader_.left(), "its pickle");
    const size_t end = rest.substr(0, 1024).find('\n');
    if (end == std::string_view::npos) fail("a name does not end");
    reader_.take(end + 1, "its pickle");
    return rest.substr(0, end);
  }

  void push_name(std::string_view module, std::string_view name) {
    const std::string_view known = known_name(std::string(module) + " " + std::string(name));
    if (known.empty()) {
      fail("it wants " + in_quotes(std::string(module) + "." + std::string(name)) +
           ", which is no part of a tensor: nothing of it is run, and the file is not read");
    }
    push(Kind::name)->text = known;
  }

  void push_called(std::string_view name, const std::vector<const PickleValue*>& arguments) {
    if ((name == ordered_dict || name == parameter_dict) && arguments.empty()) {
      push(Kind::dict);
    } else if (std::find(std::begin(numpy), std::end(numpy), name) != std::end(numpy)) {
      push(Kind::none);
    } else if (name == rebuild_tensor && arguments.size() >= 4) {
      PickleValue* tensor = make(Kind::tensor);
      for (size_t i = 0; i < 4; ++i) {
        static constexpr Kind kinds[] = {Kind::storage, Kind::integer, Kind::tuple, Kind::tuple};
        tensor->items.push_back(argument(arguments, i, kinds[i]));
      }
      push(tensor);
    } else if (name == rebuild_parameter && !arguments.empty()) {
      push(const_cast<PickleValue*>(argument(arguments, 0, Kind::tensor)));
    } else if (name == size_tuple && arguments.size() == 1) {
      push(const_cast<PickleValue*>(argument(arguments, 0, Kind::tuple)));
    } else {
      fail("a call of " + in_quotes(name) + " with " + std::to_string(arguments.size()) +
           " arguments describes no tensor");
    }
  }

  const PickleValue* argument(const std::vector<const PickleValue*>& arguments, size_t i, Kind kind) const {
    return need(const_cast<PickleValue*>(arguments[i]), kind);
  }

  // ("storage", FloatStorage, "0", "cpu", 9216), and in the old layout
  // a sixth that says of what it is a view.
  void push_storage(const std::vector<const PickleValue*>& id) {
    const bool fits = id.size() >= 5 && id[0]->kind == Kind::text && id[0]->text == "storage" &&
                      id[1]->kind == Kind::name && !dtype_of_storage(id[1]->text).empty() &&
                      id[2]->kind == Kind::text && id[4]->kind == Kind::integer && id[4]->integer >= 0;
    if (!fits) fail("a storage is not described as PyTorch does");
    if (id.size() > 5 && id[5]->kind != Kind::none) fail("a storage is a view of another, which is not read");
    push(Kind::storage)->items = {id[1], id[2], id[4]};
  }

  ByteReader& reader_;
  Pickle& pickle_;
  std::vector<PickleValue*> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint32_t, PickleValue*> memo_;
};

Pickle::Pickle(ByteReader& reader) { PickleMachine(reader, *this).run(); }

}  // namespace cutaway
