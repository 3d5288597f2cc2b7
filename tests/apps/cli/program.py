"""Runs the program under test; reads and writes the few file formats that the tests look into."""
import json
import os
import shutil
import struct
import subprocess
import tempfile
import unittest
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = os.environ.get("CUTAWAY", str(ROOT / "build/ci/cutaway"))
DEMO = ROOT / "weights/demo"


class ProgramTest(unittest.TestCase):
    """Every test has an empty folder of its own."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="cutaway-cli-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def run_program(self, *arguments, **options):
        # What the program remembers for its user must be neither read nor written by a test.
        options["env"] = dict(options.get("env") or os.environ, XDG_CONFIG_HOME=str(self.folder / "settings"))
        return subprocess.run([PROGRAM, *map(str, arguments)], cwd=self.folder, capture_output=True, text=True,
                              timeout=300, **options)

    def run_well(self, *arguments, **options):
        result = self.run_program(*arguments, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def refuses(self, *arguments, says=(), **options):
        """Ends with code 2 and one sentence on stderr that holds each of `says`; writes nothing. Below the sentence
        may be a report, its lines indented: every weight that does not fit."""
        before = self.files()
        result = self.run_program(*arguments, **options)
        self.assertEqual(result.returncode, 2, f"{arguments}: {result.stdout}{result.stderr}")
        lines = [line for line in result.stderr.splitlines() if line and not line.startswith("  ")]
        self.assertEqual(len(lines), 1, f"{arguments} must be refused in one line: {result.stderr}")
        self.assertLess(len(lines[0]), 900, lines[0])
        for part in [says] if isinstance(says, str) else says:
            self.assertIn(part, lines[0])
        self.assertEqual(self.files(), before, f"{arguments} left something behind")
        return lines[0]

    def files(self):
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*"))

    def copy_of_demo(self, name="model"):
        model = self.folder / name
        shutil.copytree(DEMO, model)
        return model


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def write_png(path, width, height, pixel, texts=()):
    """RGB; pixel(x, y) -> three levels."""
    rows = b"".join(b"\0" + bytes(level for x in range(width) for level in pixel(x, y)) for y in range(height))
    chunks = [png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))]
    chunks += [png_chunk(b"tEXt", key.encode("latin-1") + b"\0" + text.encode("latin-1")) for key, text in texts]
    chunks += [png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def read_safetensors(path):
    """name -> (dtype, shape, bytes), and the metadata."""
    data = Path(path).read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    metadata = header.pop("__metadata__", {})
    tensors = {name: (entry["dtype"], entry["shape"],
                      data[8 + size + entry["data_offsets"][0]:8 + size + entry["data_offsets"][1]])
               for name, entry in header.items()}
    return tensors, metadata


def read_floats(path, name):
    data = read_safetensors(path)[0][name][2]
    return struct.unpack(f"<{len(data) // 4}f", data)


def change_weight(path, name, position, change):
    """Replaces one f16 number of a safetensors file by change(number)."""
    data = bytearray(Path(path).read_bytes())
    size = struct.unpack("<Q", data[:8])[0]
    begin = 8 + size + json.loads(data[8:8 + size])[name]["data_offsets"][0] + 2 * position
    data[begin:begin + 2] = struct.pack("<e", change(struct.unpack("<e", data[begin:begin + 2])[0]))
    Path(path).write_bytes(data)


def paeth(left, up, corner):
    guess = left + up - corner
    return min((left, up, corner), key=lambda byte: abs(guess - byte))


def rgb_of_png(path):
    """The picture's bytes, row by row, with the rows' filters undone (PNG specification, section 9)."""
    width, height, packed, _ = read_png(path)
    rows = zlib.decompress(packed)
    above, pixels, size = bytearray(3 * width), bytearray(), 3 * width + 1
    for y in range(height):
        kind, row = rows[y * size], bytearray(rows[y * size + 1:(y + 1) * size])
        for i, byte in enumerate(row):
            left, corner = (row[i - 3], above[i - 3]) if i >= 3 else (0, 0)
            row[i] = (byte + [0, left, above[i], (left + above[i]) // 2, paeth(left, above[i], corner)][kind]) % 256
        pixels += row
        above = row
    return pixels


def read_png(path):
    """width, height, the packed rows as they stand in the file (rgb_of_png unpacks them), text chunks."""
    data = Path(path).read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, pixels, texts, width, height = 8, b"", {}, 0, 0
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0] == zlib.crc32(kind + body)
        if kind == b"IHDR":
            width, height = struct.unpack(">II", body[:8])
        elif kind == b"IDAT":
            pixels += body
        elif kind == b"tEXt":
            key, value = body.split(b"\0", 1)
            texts[key.decode("latin-1")] = value.decode("latin-1")
        elif kind == b"iTXt":
            key, rest = body.split(b"\0", 1)
            texts[key.decode("latin-1")] = rest[2:].split(b"\0", 2)[2].decode("utf-8")
        at += 12 + length
    return width, height, pixels, texts
