"""The debugged program as gdb sees it: its memory, its values, its open scopes."""
import functools
import struct

import gdb

from . import objects, sources


class Memory:
    """The `memory` of objects.py."""

    def read(self, address, size):
        if address <= 0 or size < 0:
            return None
        try:
            return gdb.selected_inferior().read_memory(address, size)
        except (gdb.error, OverflowError, MemoryError):
            return None

    def symbol(self, address):
        return _symbol(address, gdb.selected_inferior().pid)


@functools.lru_cache(maxsize=64)
def _symbol(address, _process):
    try:
        return gdb.execute(f"info symbol {address:#x}", to_string=True)
    except gdb.error:
        return ""


memory = Memory()


def plain(value):
    """Without references, typedefs and const."""
    if value.type.strip_typedefs().code in (gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF):
        value = value.referenced_value()
    return value


def type_name(value):
    kind = plain(value).type.strip_typedefs().unqualified()
    return kind.name or str(kind)


def bytes_of(value, size):
    """An object's bytes. What gdb holds itself, such as a function's result, is put together from its fields."""
    value = plain(value)
    if value.type.sizeof != size:
        return None
    if value.address is not None:
        return memory.read(int(value.address), size)
    shape = value["shape_"]
    extents = [int(shape["extents_"]["_M_elems"][i]) for i in range(4)]
    block = value["block_"]
    return (objects.SHAPE.pack(*extents, int(shape["rank_"]), int(shape["count_"])) +
            objects.POINTERS.pack(int(value["data_"]), int(block["_M_ptr"]), int(block["_M_refcount"]["_M_pi"])))


def find(value):
    """objects.Numbers or objects.Absent of a Tensor or Weight; never raises gdb.error."""
    kind = type_name(value).rpartition("::")[2]
    size, judge = ((objects.TENSOR_SIZE, objects.tensor_of) if kind == "Tensor"
                   else (objects.WEIGHT_SIZE, objects.weight_of))
    try:
        if plain(value).type.sizeof != size:
            return objects.Absent(kind, f"not to be read: it has {plain(value).type.sizeof} bytes instead of {size}")
        if declared_later(plain(value)):
            return objects.Absent(kind, "not made yet")
        return judge(bytes_of(value, size), memory)
    except (gdb.error, RuntimeError) as fault:  # gdb.MemoryError is a gdb.error
        return objects.Absent(kind, f"not to be read: {fault}")


# ---- Locals whose line is still to come


def declared_later(value):
    """Is this a local variable that the program has not come to yet? Its memory holds what was there before."""
    if value.address is None:
        return False
    address = int(value.address)
    frame = frame_around(address)
    symbol = frame and local_at(frame, address)
    if not symbol or symbol.is_argument:
        return False
    return frame.find_sal().line <= sources.last_line(symbol.symtab.fullname(), symbol.line)


def frame_around(address):
    """The frame whose part of the stack has this address, or None. The stack grows downwards."""
    selected = gdb.selected_frame()
    for frame in (selected, *frames()):
        older = frame.older()
        if frame.type() == gdb.NORMAL_FRAME and older and stack_pointer(frame) <= address < stack_pointer(older):
            return frame
        if frame != selected and address < stack_pointer(frame):
            return None
    return None


def frames():
    frame = gdb.newest_frame()
    while frame is not None:
        yield frame
        frame = frame.older()


def stack_pointer(frame):
    return int(frame.read_register("sp"))


def locals_of(frame):
    """The symbols of a frame, innermost block first."""
    try:
        block = frame.block()
    except RuntimeError:  # no debug information
        return
    while block is not None and not block.is_global and not block.is_static:
        yield from (symbol for symbol in block if symbol.is_variable or symbol.is_argument)
        if block.function:
            return
        block = block.superblock


def local_at(frame, address):
    for symbol in locals_of(frame):
        try:
            if symbol.value(frame).address == address:
                return symbol
        except gdb.error:  # optimised away
            continue
    return None


# ---- Scopes: the layers that are open now (tensor/trace.h)


class OpenScope:
    """A Scope object on the stack: the layer's path, and the scope around it."""

    def __init__(self, address):
        self.address = address

    def field(self, name):
        offset = scope_offsets().get(name)
        raw = memory.read(self.address + offset, 8) if offset is not None else None
        return struct.unpack("<Q", raw)[0] if raw is not None else 0

    @property
    def path(self):
        where = self.field("path_")
        raw = memory.read(where, objects.STRING_SIZE)
        return (objects.string_of(raw, memory) if raw is not None else None) or "?"

    @property
    def outer(self):
        address = self.field("outer_")
        return OpenScope(address) if address else None

    def chain(self):
        """This scope and those around it, innermost first."""
        scope, seen = self, 0
        while scope is not None and seen < 100:
            yield scope
            scope, seen = scope.outer, seen + 1


@functools.lru_cache(maxsize=1)
def scope_offsets():
    kind = gdb.lookup_type("cutaway::Scope")
    return {field.name: field.bitpos // 8 for field in kind.fields()}


def innermost():
    """The scope that was opened last on this thread, or None outside of all."""
    address = int(thread_variable("innermost"))
    return OpenScope(address) if address else None


def step():
    """The sampler's step, from 0; -1 outside of all steps."""
    return int(thread_variable("step_now"))


def thread_variable(name):
    symbol = trace_symbol(name)
    if symbol is None:
        raise gdb.GdbError("the program has no debug information about its scopes; use the preset `step`")
    try:
        return symbol.value()
    except gdb.error as fault:
        raise gdb.GdbError(f"the program's scopes cannot be read: {fault}") from None


_found = {}


def trace_symbol(name):
    """A variable that tensor/trace.cpp keeps to itself. Other files have some of the same name, and which of them gdb
    would take depends on what it has read so far: so the file must be the right one too."""
    if name not in _found or not _found[name].is_valid():
        _found.pop(name, None)
        for symbol in gdb.lookup_static_symbols("cutaway::(anonymous namespace)::" + name):
            if symbol.symtab.filename.endswith("tensor/trace.cpp"):
                _found[name] = symbol
    return _found.get(name)


def depth():
    scope = innermost()
    return sum(1 for _ in scope.chain()) if scope else 0
