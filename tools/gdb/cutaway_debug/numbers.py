"""Numbers out of the debugged program, their statistics, and the one line that every printer shows.

No numpy: gdb's Python often has none. sum, min, max and map run in C and need about 0.1 s for a million numbers.
"""
import array
import math
import operator
import struct
from typing import NamedTuple

from . import objects

MOST = 1 << 22  # a line about a larger tensor is made from a sample, and says so
PIECES = 64
FIRST = 6


class Statistics(NamedTuple):
    """Over the finite numbers; min, max, mean and std are NaN when there are none."""
    min: float
    max: float
    mean: float
    std: float
    nan: int
    inf: int


def statistics(values):
    """Of an array('f'). std divides by n, as GroupNorm does."""
    nan = inf = 0
    total = sum(values)
    if not math.isfinite(total):  # in double, finite floats cannot add up to infinity
        finite = array.array("f", filter(math.isfinite, values))
        nan = sum(map(operator.ne, values, values))
        inf = len(values) - len(finite) - nan
        values, total = finite, sum(finite)
    n = len(values)
    if n == 0:
        return Statistics(math.nan, math.nan, math.nan, math.nan, nan, inf)
    mean = total / n
    variance = sum(map(operator.mul, values, values)) / n - mean * mean
    if variance < 1e-6 * mean * mean:  # the difference of two nearly equal numbers: take the exact way
        variance = sum((x - mean) ** 2 for x in values) / n
    return Statistics(min(values), max(values), mean, math.sqrt(variance), nan, inf)


def to_floats(raw, dtype):
    """Stored numbers as an array('f')."""
    if dtype == "f16":
        return array.array("f", struct.unpack(f"<{len(raw) // 2}e", raw))
    if dtype == "q8_0":  # blocks: an f16 scale, then 32 signed bytes
        return array.array("f", (block[0] * number for block in struct.iter_unpack("<e32b", raw) for number in block[1:]))
    values = array.array("f")
    if dtype == "bf16":  # the upper half of an f32
        halves = array.array("H", bytes(raw))
        raw = array.array("I", (half << 16 for half in halves)).tobytes()
    values.frombytes(raw)
    return values


def read(numbers, memory, begin=0, count=None):
    """Numbers [begin, begin + count) of a Tensor or Weight as an array('f'), or None where memory ends."""
    count = numbers.count - begin if count is None else count
    address, size, before = numbers.place(begin, begin + count)
    raw = memory.read(address, size)
    return None if raw is None else to_floats(raw, numbers.dtype)[before:before + count]


def sample(numbers, memory):
    """MOST numbers in evenly spaced pieces, the first and the last among them."""
    piece = MOST // PIECES
    values = array.array("f")
    for i in range(PIECES):
        part = read(numbers, memory, (numbers.count - piece) * i // (PIECES - 1), piece)
        if part is None:
            return None
        values.extend(part)
    return values


def number_text(x):
    return f"{x:.4g}"


def statistics_text(found):
    line = (f"min {number_text(found.min)} max {number_text(found.max)} mean {number_text(found.mean)} "
            f"std {number_text(found.std)} nan {found.nan}")
    return line + f" inf {found.inf}" if found.inf else line


def short(found):
    """For a place with no room: kind and shape."""
    if isinstance(found, objects.Absent):
        return f"{found.kind}, {found.why}"
    return f"{found.kind} {objects.shape_text(found.shape)}"


def line(found, memory):
    """The one line about a Tensor or Weight (objects.Numbers or objects.Absent)."""
    if isinstance(found, objects.Absent):
        return f"{found.kind}, {found.why}"
    values = read(found, memory) if found.count <= MOST else sample(found, memory)
    if values is None:
        return f"{found.kind}, not made yet or damaged: its numbers are not in the program's memory"
    text = found.kind + (f" {found.name}" if found.name else "")
    text += f" {objects.shape_text(found.shape)} {found.dtype}  {statistics_text(statistics(values))}"
    if found.count > MOST:
        text += f" (of {MOST} of its {found.count} numbers)"
    first = [number_text(x) for x in values[:FIRST]] + (["..."] if found.count > FIRST else [])
    return text + "  {" + ", ".join(first) + "}"


class Difference(NamedTuple):
    max_abs: float
    relative: float  # max_abs over the largest |y|
    cosine: float
    worst: int       # the first index where they differ most; a NaN in only one of them is worst of all
    equal: bool


def difference(x, y):
    """How far x is from y, both array('f') of the same length."""
    gaps = array.array("d", map(abs, map(operator.sub, x, y)))
    if not math.isfinite(sum(gaps)):  # NaN or infinity somewhere: as large as can be, unless both have the same
        gaps = array.array("d", (0.0 if a == b or (a != a and b != b) else math.inf if gap != gap else gap
                                 for a, b, gap in zip(x, y, gaps)))
    max_abs = max(gaps, default=0.0)
    largest = max(map(abs, filter(math.isfinite, y)), default=0.0)
    length = math.sqrt(sum(map(operator.mul, x, x))) * math.sqrt(sum(map(operator.mul, y, y)))
    cosine = sum(map(operator.mul, x, y)) / length if length else math.nan
    relative = 0.0 if max_abs == 0 else max_abs / largest if largest else math.inf
    return Difference(max_abs, relative, cosine, gaps.index(max_abs) if gaps else 0, max_abs == 0)


def index_of(flat, shape):
    """[n, c, h, w] of a flat index."""
    index = []
    for extent in reversed(shape):
        flat, at = divmod(flat, extent)
        index.append(at)
    return index[::-1]
