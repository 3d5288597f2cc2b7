"""The half of the debugger's helpers that needs no debugger: what is believed, statistics, files, names."""
import array
import io
import json
import math
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools/gdb"))
from cutaway_debug import drawing, files, names, numbers, objects  # noqa: E402


class FakeMemory:
    """One stretch of memory; remembers the furthest read."""

    def __init__(self, start, content, table=0x1000):
        self.start, self.content, self.table = start, content, table
        self.largest = 0

    def read(self, address, size):
        at = address - self.start
        if at < 0 or size < 0 or at + size > len(self.content):
            return None
        self.largest = max(self.largest, size)
        return self.content[at:at + size]

    def symbol(self, address):
        return "vtable for std::_Sp_counted_deleter<float*, ...>" if address == self.table else ""


def tensor_bytes(shape, data, control):
    extents = list(shape) + [0] * (4 - len(shape))
    return objects.SHAPE.pack(*extents, len(shape), math.prod(shape)) + objects.POINTERS.pack(data, data, control)


def good_tensor(values, shape):
    """(the bytes of a Tensor, its memory)"""
    size = -(-4 * len(values) // 64) * 64
    block = array.array("f", values).tobytes().ljust(size, b"\0")
    control = objects.CONTROL.pack(0x1000, 1, 1, size, 0x8000)
    return tensor_bytes(shape, 0x8000, 0x8000 + size), FakeMemory(0x8000, block + control)


class Believing(unittest.TestCase):
    def test_a_good_tensor(self):
        raw, memory = good_tensor([1, 2, 3, 4, 5, 6], (2, 3))
        self.assertEqual(numbers.line(objects.tensor_of(raw, memory), memory),
                         "Tensor [2, 3] f32  min 1 max 6 mean 3.5 std 1.708 nan 0  {1, 2, 3, 4, 5, 6}")

    def test_random_damage_is_noticed_and_never_raises(self):
        chance = random.Random(1)
        for _ in range(20000):
            raw, memory = good_tensor([1, 2, 3, 4, 5, 6], (2, 3))
            damaged = bytearray(raw)
            for _ in range(chance.randint(1, 4)):
                word = chance.randrange(9)
                value = chance.choice((0, 1, 2, 3, 4, 6, -1, 0x8000, 0x8004, 0x8040, 1 << 40, chance.getrandbits(63)))
                damaged[8 * word:8 * word + 8] = struct.pack("<q", value)
            text = numbers.line(objects.tensor_of(bytes(damaged), memory), memory)
            self.assertLessEqual(memory.largest, 64, "more was read than the block has")
            if text.startswith("Tensor [") and bytes(damaged[:72]) != raw:
                # What still passes must be a tensor that could be: same block, no more numbers than it has.
                shape = objects.shape_of(bytes(damaged))
                self.assertLessEqual(math.prod(shape), 16)

    def test_a_block_that_was_given_back(self):
        raw, memory = good_tensor([1, 2], (2,))
        memory.table = 0x2000
        self.assertIn("given back", numbers.line(objects.tensor_of(raw, memory), memory))

    def test_random_weights_never_raise(self):
        chance = random.Random(2)
        memory = FakeMemory(0x8000, bytes(64))
        for _ in range(5000):
            raw = bytes(chance.choice((0, 0, 0, 1, 2, 0x80, chance.getrandbits(8))) for _ in range(objects.WEIGHT_SIZE))
            self.assertTrue(numbers.line(objects.weight_of(raw, memory), memory).startswith("Weight"))
        for size in (0, 3, objects.WEIGHT_SIZE + 1):
            self.assertIn("not to be read", numbers.line(objects.weight_of(bytes(size), memory), memory))


class Statistics(unittest.TestCase):
    def test_against_the_definitions(self):
        chance = random.Random(3)
        values = array.array("f", (chance.gauss(100, 1e-3) for _ in range(1000)))  # a mean far from 0
        found = numbers.statistics(values)
        mean = math.fsum(values) / 1000
        self.assertAlmostEqual(found.mean, mean, places=9)
        self.assertAlmostEqual(found.std, math.sqrt(math.fsum((x - mean) ** 2 for x in values) / 1000), places=9)
        self.assertEqual((found.min, found.max, found.nan, found.inf), (min(values), max(values), 0, 0))

    def test_what_is_not_finite_is_counted_and_left_out(self):
        found = numbers.statistics(array.array("f", [1, math.nan, 3, math.inf, -math.inf, math.nan]))
        self.assertEqual(found, numbers.Statistics(1, 3, 2, 1, 2, 2))
        self.assertEqual(numbers.statistics(array.array("f", [math.nan])).nan, 1)

    def test_stored_types(self):
        self.assertEqual(list(numbers.to_floats(struct.pack("<2H", 0x3c00, 0xc000), "f16")), [1, -2])
        self.assertEqual(list(numbers.to_floats(struct.pack("<2H", 0x3f80, 0x4049), "bf16")), [1, 3.140625])

    def test_packed_blocks_are_read_from_anywhere(self):
        blocks = struct.pack("<e32b", 0.5, *range(32)) + struct.pack("<e32b", -2, *range(-16, 16))
        weight = objects.Numbers("Weight", "w", (2, 32), "q8_0", 0x2000)
        memory = FakeMemory(0x2000, blocks)
        self.assertEqual(list(numbers.read(weight, memory, 30, 4)), [15, 15.5, 32, 30])
        self.assertEqual(len(numbers.read(weight, memory)), 64)
        self.assertIsNone(numbers.read(objects.Numbers("Weight", "w", (3, 32), "q8_0", 0x2000), memory))

    def test_difference(self):
        x, y = array.array("f", [1, 2, 3, 4]), array.array("f", [1, 2, 3.5, 4])
        found = numbers.difference(x, y)
        self.assertEqual((found.max_abs, found.relative, found.worst, found.equal), (0.5, 0.125, 2, False))
        self.assertAlmostEqual(found.cosine, 31.5 / math.sqrt(30 * 33.25))
        same = array.array("f", [math.nan, 1])
        self.assertTrue(numbers.difference(same, same).equal)
        broken = numbers.difference(array.array("f", [1, 9]), array.array("f", [math.nan, 1]))
        self.assertEqual((broken.max_abs, broken.worst), (math.inf, 0))
        self.assertEqual(numbers.index_of(23, (2, 3, 4)), [1, 2, 3])


class Files(unittest.TestCase):
    def test_npy_there_and_back(self):
        with tempfile.TemporaryDirectory() as folder:
            path = folder + "/x.npy"
            for shape in ((), (3,), (2, 3), (1, 2, 3, 4)):
                values = array.array("f", range(math.prod(shape)))
                files.write(path, files.npy(values, shape))
                content = pathlib.Path(path).read_bytes()
                self.assertEqual((len(content) - values.itemsize * len(values)) % 64, 0)
                self.assertEqual(files.read_npy(path), (values, shape))
            for garbage in (b"", b"\x93NUMPY", b"\x93NUMPY\1\0\5\0hello", content[:-1]):
                pathlib.Path(path).write_bytes(garbage)
                self.assertRaises(ValueError, files.read_npy, path)

    def test_png_holds_the_pixels(self):
        content = files.png(bytes(range(12)), 2, 2, 3)
        self.assertEqual(content[:8], b"\x89PNG\r\n\x1a\n")
        stream, chunks = io.BytesIO(content[8:]), {}
        while header := stream.read(8):
            size, kind = struct.unpack(">I4s", header)
            chunks[kind] = stream.read(size)
            self.assertEqual(struct.unpack(">I", stream.read(4))[0], zlib.crc32(kind + chunks[kind]))
        self.assertEqual(chunks[b"IHDR"], struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0))
        self.assertEqual(zlib.decompress(chunks[b"IDAT"]), b"\0" + bytes(range(6)) + b"\0" + bytes(range(6, 12)))

    def test_safetensors(self):
        with tempfile.TemporaryDirectory() as folder:
            path = folder + "/x.safetensors"
            header = json.dumps({"a": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}}).encode()
            good = struct.pack("<Q", len(header)) + header + struct.pack("<2H", 0x3c00, 0xc000)
            pathlib.Path(path).write_bytes(good)
            self.assertEqual(files.read_safetensors(path, "a"), (array.array("f", [1, -2]), (2,)))
            self.assertRaisesRegex(ValueError, "no tensor b", files.read_safetensors, path, "b")
            for garbage in (b"", good[:12], good[:-1], b"\xff" * 40):
                pathlib.Path(path).write_bytes(garbage)
                self.assertRaises(ValueError, files.read_safetensors, path, "a")

    def test_no_half_file_is_left(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertRaises(OSError, files.write, folder + "/none/x.npy", b"123")
            pathlib.Path(folder, "taken").mkdir()
            self.assertRaises(OSError, files.write, folder + "/taken", b"123")
            self.assertEqual([path.name for path in pathlib.Path(folder).iterdir()], ["taken"])


class Drawing(unittest.TestCase):
    def test_heat_map(self):
        lines = drawing.heat_map(array.array("f", [0, 1, 2, 3]), 2, 2, colour=False)
        self.assertEqual(lines[:2], ["|  --|", "|**@@|"])
        self.assertIn("from 0 to 3", lines[2])
        self.assertEqual(drawing.heat_map(array.array("f", [math.nan, 1]), 1, 2, colour=False)[0], "|??  |")
        in_colour = drawing.heat_map(array.array("f", [-2, 0, 2]), 1, 3, colour=True)[0]
        self.assertEqual(re.findall(r"48;5;(\d+)m", in_colour), ["51", "16", "214"])
        self.assertEqual(drawing.heat_map(array.array("f", [2, 2]), 1, 2, colour=False)[0], "|    |")

    def test_large_planes_become_means(self):
        small, rows, columns = drawing.shrunk(array.array("f", range(64 * 128)), 64, 128)
        self.assertEqual((rows, columns), (drawing.MOST_ROWS, drawing.MOST_COLUMNS))
        self.assertEqual(small[0], (0 + 1 + 128 + 129) / 4)

    def test_contact_sheet(self):
        sheet, height, width = drawing.contact_sheet([0, 0, 1, 1, 2, 2], 3, 1, 2, 0, 2)
        self.assertEqual(len(sheet), height * width)
        self.assertEqual(sum(sheet.count(grey) for grey in (0, 128)), 4)


FAKE_CMAKE = """#!/bin/sh
echo "cmake $*" >>"$LOG"
case "$*" in
  --version) echo "cmake version 3.25.1" ;;
  *"--target help"*) printf '%s: phony\\n' cutaway_nn test_nn test_tensor ;;
  *"--target "*) mkdir -p build/step/tests; touch build/step/tests/test_nn ;;
esac
"""


class Debug(unittest.TestCase):
    """tools/debug, with programs that only say how they were called in place of cmake and gdb."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name).resolve()
        for name in ("tools", "build/step", "bin"):
            (self.root / name).mkdir(parents=True)
        for name in ("debug", "setup.sh"):
            shutil.copy(ROOT / "tools" / name, self.root / "tools")
        (self.root / "build/step/build.ninja").touch()
        for name, text in (("cmake", FAKE_CMAKE), ("gdb", "#!/bin/sh\necho \"$*\"\n"), ("dpkg-query", "#!/bin/sh\necho installed\n")):
            (self.root / "bin" / name).write_text(text)
            (self.root / "bin" / name).chmod(0o755)

    def debug(self, *arguments):
        """What gdb starts (or the message), and the targets that were built."""
        log = self.root / "log"
        log.write_text("")
        done = subprocess.run([self.root / "tools/debug", *arguments], cwd=self.root, capture_output=True, text=True, check=False,
                              env=os.environ | {"PATH": f"{self.root}/bin:{os.environ['PATH']}", "LOG": str(log)})
        built = re.findall(r"--target (?!help)(\S+)", log.read_text())
        return (done.stdout.partition("--args ")[2].strip() if done.returncode == 0 else done.stderr), built

    def test_the_program_that_is_named_is_built_and_started(self):
        test = f"{self.root}/build/step/tests/test_nn"
        for name in ("build/step/tests/test_nn", test, "test_nn"):  # not there; there, so perhaps out of date
            self.assertEqual(self.debug(name, "-tc=*ResBlock*"), (f"{test} -tc=*ResBlock*", ["test_nn"]))
        self.assertEqual(self.debug("generate", "--seed", "3"), (f"{self.root}/build/step/cutaway generate --seed 3", ["cutaway"]))
        self.assertEqual(self.debug(), (f"{self.root}/build/step/cutaway", ["cutaway"]))
        self.assertEqual(self.debug("/bin/true", "x"), (f"{os.path.realpath('/bin/true')} x", []))

    def test_a_program_that_is_none(self):
        for name in ("build/step/tests/test_no", "test_no"):
            said, built = self.debug(name)
            self.assertIn("build/step has no program test_no. Its tests are build/step/tests/test_nn build/step/tests/test_tensor", said)
            self.assertEqual(built, [])
        self.assertIn("there is no program", self.debug("build/ci/tests/test_nn")[0])

    def test_the_editor_builds_what_it_starts(self):
        launch, tasks = (json.loads((ROOT / ".vscode" / name).read_text()) for name in ("launch.json", "tasks.json"))
        commands = {task["label"]: task["command"] for task in tasks["tasks"]}
        folders = next(choice["options"] for choice in launch["inputs"] if choice["id"] == "tests")
        self.assertEqual(sorted(folders), sorted(path.name for path in (ROOT / "tests").iterdir()
                                                 if path.name != "tools" and any(path.rglob("test_*.cpp"))))
        for each in launch["configurations"]:
            program = each["program"].removeprefix("${workspaceFolder}/build/step/").rpartition("/")[2]
            for name in [program.replace("${input:tests}", folder) for folder in folders]:
                self.assertIn(name, commands[each["preLaunchTask"]].partition("--target ")[2].split())


class Names(unittest.TestCase):
    def test_files_from_the_root(self):
        self.assertEqual(names.short_file("/elsewhere/tensor/dispatch/dry_run.cpp"), "tensor/dispatch/dry_run.cpp")
        self.assertEqual(names.short_file(str(ROOT / "nn/resblock.h")), "nn/resblock.h")
        self.assertEqual(names.short_file("/usr/include/c++/12/vector"), "12/vector")

    def test_lists_are_no_boxes(self):
        weights = ["down_blocks.0.resnets.0.conv1.weight", "down_blocks.0.resnets.0.conv1.bias", "conv_in.weight"]
        self.assertEqual(names.layers_of(weights, "unet"),
                         ["unet", "unet.down_blocks.0", "unet.down_blocks.0.resnets.0",
                          "unet.down_blocks.0.resnets.0.conv1", "unet.conv_in"])

    def test_demo_model(self):
        paths = names.paths_of_model(str(ROOT / "weights/demo"))
        self.assertEqual(names.matching("unet.skips.*", paths), [f"unet.skips.{i}" for i in range(12)])
        self.assertEqual(names.matching("unet.mid_block", paths), ["unet.mid_block"])
        self.assertEqual(len(names.matching("unet.*.attn2", paths)), 16)
        self.assertIn("unet.mid_block", names.nearest("unet.midblock", paths))

    def test_model_folder(self):
        self.assertEqual(names.model_folder(["generate", "--model", "a b"]), "a b")
        self.assertEqual(names.model_folder(["--model=x"]), "x")
        self.assertEqual(names.model_folder(["--model"]), "weights/demo")
        self.assertEqual(names.paths_of_model("/nowhere"), [])


if __name__ == "__main__":
    unittest.main()
