"""The bytes of a Tensor, Weight or Shape, checked before they are believed.

A local variable whose line has not run yet holds whatever the stack held before: it may look like a shape with
absurd extents, or point to memory that is gone. So nothing is followed that has not been checked, and no more
is read than the block has.

Plain Python, for gdb and LLDB alike. `memory` is their door to the debugged program:
    memory.read(address, size)  bytes, or None where the program has no such memory
    memory.symbol(address)      the name of what is at an address, or ""
"""
import struct
from typing import NamedTuple

# The layouts of tensor/shape.h, tensor/tensor.h and tensor/weight.h on 64-bit machines with libstdc++.
SHAPE = struct.Struct("<4q i 4x q")  # extents_, rank_, count_
POINTERS = struct.Struct("<3Q")      # Tensor: data_, then block_: the block again and its control block
WEIGHT_REST = struct.Struct("<i 4x Q 2Q")  # dtype, data, owner
# The control block of block_ (libstdc++'s, with tensor/memory.cpp's GiveBack): its functions, owners, weak owners,
# then GiveBack: the size in bytes and the pool's two pointers, then the numbers.
CONTROL = struct.Struct("<Q 2i Q 16x Q")
STRING_SIZE = 32
TENSOR_SIZE = SHAPE.size + POINTERS.size
WEIGHT_SIZE = STRING_SIZE + SHAPE.size + WEIGHT_REST.size
DTYPES = {0: "f32", 1: "f16", 2: "bf16", 3: "q8_0"}
UNITS = {"f32": (1, 4), "f16": (1, 2), "bf16": (1, 2), "q8_0": (32, 34)}  # so many numbers in so many bytes
LONGEST_NAME = 400


class Numbers(NamedTuple):
    """An object that is what it should be: `count` numbers at `address`."""
    kind: str  # "Tensor" or "Weight"
    name: str  # a Weight's
    shape: tuple
    dtype: str
    address: int

    @property
    def count(self):
        count = 1
        for extent in self.shape:
            count *= extent
        return count

    def place(self, begin, end):
        """Address and size of the whole units that hold numbers [begin, end), and how many stand before them."""
        numbers, size = UNITS[self.dtype]
        first, last = begin // numbers, (end + numbers - 1) // numbers
        return self.address + first * size, (last - first) * size, begin - first * numbers


class Absent(NamedTuple):
    """An object without numbers, and why."""
    kind: str
    why: str  # "not made yet", "empty", ...


def unsure(kind, why):
    return Absent(kind, "not made yet or damaged: " + why)


def shape_of(raw):
    """The extents that the bytes of a Shape hold, or a sentence on what is wrong with them."""
    *extents, rank, count = SHAPE.unpack(raw[:SHAPE.size])
    if not 0 <= rank <= 4:
        return f"its rank is {rank}"
    product = 1
    for extent in extents[:rank]:
        if extent < 1:
            return f"one of its extents is {extent}"
        product *= extent
    if any(extents[rank:]):
        return f"it has extents beyond its rank of {rank}"
    if product != count or product > 1 << 44:
        return f"its shape is {shape_text(extents[:rank])}, but its count {count}"
    return tuple(extents[:rank])


def shape_text(shape):
    return "[" + ", ".join(map(str, shape)) + "]"


def tensor_of(raw, memory):
    """Numbers or Absent from the TENSOR_SIZE bytes of a Tensor."""
    if raw is None or len(raw) != TENSOR_SIZE:
        return Absent("Tensor", "not to be read: the program has no such memory")
    shape = shape_of(raw)
    data, block, control = POINTERS.unpack(raw[SHAPE.size:])
    if isinstance(shape, str):
        return unsure("Tensor", shape)
    if data == block == control == 0:
        return Absent("Tensor", "empty") if shape == () else unsure("Tensor", "it has a shape, but no numbers")
    if data and not block and not control:
        return Absent("Tensor", f"moved away: its numbers, {shape_text(shape)}, belong to another Tensor now")
    if data != block or data % 4:
        return unsure("Tensor", "its data_ is not the block it owns")
    numbers = Numbers("Tensor", "", shape, "f32", data)
    fault = block_fault(numbers, control, memory)
    return unsure("Tensor", fault) if fault else numbers


def block_fault(numbers, control, memory):
    """What is wrong with a Tensor's block, or None. Its control block knows how many bytes it has."""
    head = memory.read(control, CONTROL.size)
    if head is None:
        return "its block has no owner"
    table, owners, _, size, block = CONTROL.unpack(head)
    kind = memory.symbol(table)
    if "_Sp_counted_" not in kind or owners < 1:
        return "its block has been given back"
    if "_Sp_counted_deleter" in kind and (block != numbers.address or numbers.count * 4 > size):
        return f"its shape is {shape_text(numbers.shape)}, but its block has {size} bytes"
    return readable_fault(numbers, memory)


def readable_fault(numbers, memory):
    ends = numbers.place(0, 1), numbers.place(numbers.count - 1, numbers.count)
    if any(memory.read(address, size) is None for address, size, _ in ends):
        return f"its {numbers.count} numbers are not in the program's memory"
    return None


def string_of(raw, memory):
    """A std::string from its 32 bytes, or None when it is none."""
    address, size = struct.unpack("<QQ", raw[:16])
    if size > LONGEST_NAME:
        return None
    text = memory.read(address, size) if size else b""
    try:
        return None if text is None else bytes(text).decode()
    except UnicodeDecodeError:
        return None


def weight_of(raw, memory):
    """Numbers or Absent from the WEIGHT_SIZE bytes of a Weight."""
    if raw is None or len(raw) != WEIGHT_SIZE:
        return Absent("Weight", "not to be read: the program has no such memory")
    name = string_of(raw, memory)
    shape = shape_of(raw[STRING_SIZE:])
    dtype, data, _, _ = WEIGHT_REST.unpack(raw[STRING_SIZE + SHAPE.size:])
    if isinstance(shape, str):
        return unsure("Weight", shape)
    if name is None or dtype not in DTYPES:
        return unsure("Weight", "its name or its dtype makes no sense")
    if data == 0:
        return Absent("Weight", f"not loaded; its layer needs {shape_text(shape)}")
    numbers = Numbers("Weight", name, shape, DTYPES[dtype], data)
    fault = readable_fault(numbers, memory)
    return unsure("Weight", fault) if fault else numbers
