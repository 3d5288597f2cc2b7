"""The files that the tensor commands write and read: .png, .npy, .safetensors."""
import array
import ast
import json
import math
import os
import struct
import zlib

from .numbers import to_floats


def write(path, content):
    """All of it or nothing: a file of half a tensor would look like a tensor."""
    part = path + ".tmp"
    try:
        with open(part, "wb") as file:
            file.write(content)
        os.replace(part, path)
    except OSError:
        if os.path.exists(part):
            os.remove(part)
        raise


def png(pixels, height, width, channels):
    """The bytes of a PNG file; 1 channel is grey, 3 are red, green, blue."""
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    stride = width * channels
    rows = b"".join(b"\0" + pixels[y * stride:(y + 1) * stride] for y in range(height))  # 0: no filter
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 6)) +
            chunk(b"IEND", b""))


def npy(values, shape):
    """The bytes of a .npy file of f32, version 1.0."""
    extents = "".join(f"{extent}, " for extent in shape)
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({extents}), }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"  # the numbers begin at a multiple of 64
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + values.tobytes()


def read_npy(path):
    """(array('f'), shape) of an f32, f16 or f64 .npy file. ValueError says what else it is."""
    with open(path, "rb") as file:
        content = file.read()
    if content[:6] != b"\x93NUMPY" or len(content) < 12:
        raise ValueError(f"{path} is not a .npy file")
    size, begin = (2, 10) if content[6] == 1 else (4, 12)
    length = int.from_bytes(content[8:8 + size], "little")
    try:
        header = ast.literal_eval(content[begin:begin + length].decode("latin-1"))
        kind, shape = header["descr"], tuple(header["shape"])
    except (ValueError, SyntaxError, KeyError, TypeError):
        raise ValueError(f"{path} has no header that makes sense") from None
    raw = content[begin + length:]
    if header.get("fortran_order") or kind not in ("<f4", "<f2", "<f8"):
        raise ValueError(f"{path} holds {kind} numbers; float numbers in C order are needed")
    check_size(raw, int(kind[2:]), shape, path)
    if kind == "<f8":
        return array.array("f", array.array("d", raw)), shape
    return to_floats(raw, "f32" if kind == "<f4" else "f16"), shape


def read_header(path):
    """The header of a .safetensors file, and where its numbers begin."""
    with open(path, "rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(100 << 20, os.path.getsize(path)):
            raise ValueError(f"{path} is not a .safetensors file")
        try:
            return json.loads(file.read(length)), 8 + length
        except ValueError:
            raise ValueError(f"{path} is not a .safetensors file") from None


def read_safetensors(path, name):
    """(array('f'), shape) of one tensor."""
    header, begin = read_header(path)
    if name not in header:
        raise ValueError(f"{path} has no tensor {name}")
    entry = header[name]
    dtype = {"F32": "f32", "F16": "f16", "BF16": "bf16"}.get(entry["dtype"])
    if dtype is None:
        raise ValueError(f"{name} in {path} holds {entry['dtype']} numbers; F32, F16 or BF16 are needed")
    first, end = entry["data_offsets"]
    with open(path, "rb") as file:
        file.seek(begin + first)
        raw = file.read(max(end - first, 0))
    check_size(raw, 4 if dtype == "f32" else 2, entry["shape"], f"{name} in {path}")
    return to_floats(raw, dtype), tuple(entry["shape"])


def check_size(raw, width, shape, what):
    needed = math.prod(shape) * width
    if len(raw) != needed:
        raise ValueError(f"{what} has {len(raw)} bytes of numbers, but its shape {list(shape)} needs {needed}")
