"""Files that are made to cost time and memory: each ends within 2 seconds of the processor's time, in memory of the file's
size and 64 MB more than the program needs for a good file."""
import json
import os
import struct
import subprocess
import unittest

from program import DEMO, PROGRAM, ProgramTest

MB = 1 << 20


def safetensors(header, data=b""):
    return struct.pack("<Q", len(header)) + header + data


def zip_of(entries):
    """entries: (name, bytes); stored, as PyTorch writes them."""
    file, directory = [], []
    at = 0
    for name, data in entries:
        sizes = struct.pack("<II", len(data), len(data))
        common = bytes(8) + sizes + struct.pack("<HH", len(name), 0)
        local = b"PK\3\4" + struct.pack("<HHH", 20, 0, 0) + common + name + data
        directory.append(b"PK\1\2" + struct.pack("<HHHH", 20, 20, 0, 0) + common + bytes(10) + struct.pack("<I", at) + name)
        file.append(local)
        at += len(local)
    entries_as_bytes = b"".join(directory)
    count = min(len(directory), 0xFFFF)
    return b"".join(file) + entries_as_bytes + b"PK\5\6" + bytes(4) + struct.pack(
        "<HHIIH", count, count, len(entries_as_bytes), at, 0)


def checkpoint(pickle):
    return zip_of([(b"a/data.pkl", b"\x80\x02" + pickle + b"."), (b"a/data/0", bytes(24))])


TENSOR = (b"ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
          b"0X\3\0\0\0cpuK\6tQK\0K\2K\3\x86K\3K\1\x86\x89ccollections\nOrderedDict\n)RtR")


def dict_of_tensors(name, count):
    """A dict with one tensor under many numbers, below a name."""
    items = b"".join(b"M" + struct.pack("<H", i) + b"h\0" for i in range(1, count))
    return b"}X" + struct.pack("<I", len(name)) + name + b"}K\0" + TENSOR + b"q\0s(" + items + b"us"


def tower(item):
    """Dicts in dicts, each of which stands 60 times in the next."""
    all_levels = b"}q\0" + item
    for level in range(1, 8):
        all_levels += b"0}q" + bytes([level])
        all_levels += b"".join(b"K" + bytes([i]) + b"h" + bytes([level - 1]) + b"s" for i in range(60))
    return all_levels


def gguf(tensors=0, pairs=0, rest=b""):
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, pairs) + rest


def gguf_text(value):
    return struct.pack("<Q", len(value)) + value


TENSOR_FILES = {
    "safetensors, 50,000 tensors of 32 extents": lambda: safetensors(
        b"{" + b",".join(b'"%d":{"dtype":"U8","shape":[0%s],"data_offsets":[0,0]}' % (i, b",1" * 31)
                         for i in range(50_000)) + b"}"),
    "safetensors, 15 MB of names": lambda: safetensors(
        b"{" + b",".join(b'"%04000d":{"dtype":"U8","shape":[],"data_offsets":[%d,%d]}' % (i, i, i + 1)
                         for i in range(3_900)) + b"}", bytes(3_900)),
    "safetensors, 30 MB of names": lambda: safetensors(
        b"{" + b",".join(b'"%04000d":{"dtype":"U8","shape":[],"data_offsets":[0,0]}' % i for i in range(7_500)) + b"}"),
    "safetensors, 10,000 notes": lambda: safetensors(
        b'{"__metadata__":{' + b",".join(b'"%d":"%01500d"' % (i, i) for i in range(10_000)) + b"}}"),
    "safetensors, a text of 4 MB": lambda: safetensors(b'{"__metadata__":{"k":"' + b"v" * (4 * MB - 9) + b'"}}'),
    "safetensors, a text of 20 MB": lambda: safetensors(b'{"__metadata__":{"k":"' + b"v" * (20 * MB) + b'"}}'),
    "safetensors, escapes": lambda: safetensors(b'{"__metadata__":{"k":"' + b"\\u00e9" * 600_000 + b'"}}'),
    "safetensors, spaces": lambda: safetensors(b'{"a":' + b" " * (20 * MB) + b"{}}"),
    "safetensors, brackets": lambda: safetensors(b'{"a":{"shape":' + b"[" * (10 * MB)),
    "pickle, as many values as there may be": lambda: checkpoint(b"}(" + b"]" * 149_990 + b"t"),
    "pickle, too many values": lambda: checkpoint(b"]" * 5_000_000),
    "pickle, one value a million times": lambda: checkpoint(b"]q\0(" + b"h\0" * 490_000 + b"t(" + b"h\0" * 490_000 + b"t"),
    "pickle, marks": lambda: checkpoint(b"(" * 5_000_000),
    "pickle, a big memory": lambda: checkpoint(b"]" + b"".join(b"r" + struct.pack("<I", i) for i in range(149_000))),
    "pickle, 50,000 tensors": lambda: checkpoint(dict_of_tensors(b"n", 49_990)),
    "pickle, long names": lambda: checkpoint(dict_of_tensors(b"n" * 4_000, 40_000)),
    "pickle, a tower of dicts": lambda: checkpoint(tower(b"")),
    "pickle, a tower of notes": lambda: checkpoint(tower(b"(" + b"K\0K\0" * 40_000 + b"u")),
    "pickle, the older layout, a tower": lambda: (
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.\x80\x02" + tower(b"") + b".\x80\x02]."),
    "pickle, the older layout, five times as many values": lambda: (
        (b"\x80\x02" + b"]" * 149_000 + b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.") + b"]" * 149_000 + b"M\xe9\x03." + (
            b"]" * 149_000 + b"}." + b"]" * 149_000 + b"}." + b"]" * 149_000 + b"].")),
    "zip, 65,000 entries": lambda: zip_of([(b"%0100d" % i, b"") for i in range(65_000)]),
    "zip, the end again and again": lambda: b"PK\3\4" + b"PK\5\6" * (4 * MB),
    "zip, extra fields": lambda: zip_with_extra_fields(),
    "gguf, 8 MB of keys": lambda: gguf(0, 8_000, b"".join(
        gguf_text(b"%01000d" % i) + struct.pack("<I", 8) + gguf_text(b"x") for i in range(8_000))),
    "gguf, 30 MB of texts": lambda: gguf(0, 30_000, b"".join(
        gguf_text(b"%d" % i) + struct.pack("<I", 8) + gguf_text(b"%01000d" % i) for i in range(30_000))),
    "gguf, 100,000 pairs": lambda: gguf(0, 100_000, b"".join(
        gguf_text(b"%d" % i) + struct.pack("<I", 8) + gguf_text(b"") for i in range(100_000))),
    "gguf, a list of empty texts": lambda: gguf(0, 1, gguf_text(b"k") + struct.pack("<IIQ", 9, 8, 2_000_000) + bytes(16 * MB)),
    "gguf, lists of lists": lambda: gguf(0, 1, gguf_text(b"k") + struct.pack("<IIQ", 9, 9, 1_000_000) + bytes(12_000_000)),
    "gguf, 50,000 tensors": lambda: gguf(50_000, 0, b"".join(
        gguf_text(b"%0200d" % i) + struct.pack("<I8QIQ", 8, *[0] * 8, 0, 0) for i in range(50_000))),
    "gguf, 15 MB of names": lambda: gguf(3_900, 0, b"".join(
        gguf_text(b"%04000d" % i) + struct.pack("<IQIQ", 1, 0, 0, 0) for i in range(3_900))),
}


def zip_with_extra_fields():
    """One entry with thousands of empty extra fields, in a directory of many such entries."""
    extra = struct.pack("<HH", 2, 0) * 16_000
    entry = b"PK\1\2" + bytes(24) + struct.pack("<HHH", 1, len(extra), 0) + bytes(12) + b"n" + extra
    directory = b"".join([entry] * 200)
    start = b"PK\3\4" + bytes(22) + struct.pack("<HH", 1, 0) + b"n"
    return start + directory + b"PK\5\6" + bytes(4) + struct.pack("<HHIIH", 200, 200, len(directory), len(start), 0)


JSON_FILES = {
    "a list of many numbers": lambda: b"[" + b"0," * (4 * MB - 2) + b"0]",
    "many empty lists": lambda: b"[" + b"[]," * 299_000 + b"0]",
    "an object of many": lambda: b"{" + b",".join(b'"%020d":0' % i for i in range(299_990)) + b"}",
    "a text of 8 MB": lambda: b'["' + b"x" * (8 * MB - 5) + b'"]',
    "a name of 8 MB": lambda: b'{"' + b"x" * (8 * MB - 9) + b'":0}',
    "a file of 40 MB": lambda: b"[" + b" " * (40 * MB) + b"]",
    "a file of brackets": lambda: b"[" * (8 * MB - 1),
}

PROMPTS = {
    "open brackets": lambda: b"(a" * 500_000,
    "colons": lambda: b"(" + b":" * 1_000_000,
    "breaks": lambda: b"BREAK " * 30_000,
    "entities": lambda: b"&" + b"amp;" * 100_000,
    "one word": lambda: b"a" * 500_000,
    "accents": lambda: b"a" + b"\xcc\x81\xcc\xa3" * 50_000,
    "not UTF-8": lambda: b"\xff" * 300_000,
}


def in_a_process_of_its_own(action):
    """The system counts the memory of a program's parent as the program's, so nothing large may be made here."""
    child = os.fork()
    if child == 0:
        try:
            action()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0, "the file could not be made"


class Hostile(ProgramTest):
    def measured(self, *arguments, input_file=None):
        """Exit code, stderr, seconds of the processor, peak of memory in bytes."""
        with open(self.folder / "errors", "wb") as errors, open(input_file or os.devnull, "rb") as given:
            process = subprocess.Popen([PROGRAM, *map(str, arguments)], cwd=self.folder, stdin=given,
                                       stdout=subprocess.DEVNULL, stderr=errors)
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        return (process.returncode, (self.folder / "errors").read_text(errors="replace"), used.ru_utime + used.ru_stime,
                used.ru_maxrss * 1024)

    def check_each(self, files, name, *arguments, as_input=False):
        path = self.folder / name
        for what, make in files.items():
            with self.subTest(what):
                in_a_process_of_its_own(lambda: path.write_bytes(make()))
                size = path.stat().st_size
                code, errors, seconds, memory = self.measured(*arguments, input_file=path if as_input else None)
                self.assertIn(code, (0, 2), errors)
                if code == 2:
                    self.assertEqual(errors.count("\n"), 1, errors)
                    self.assertLess(len(errors), 900)
                    if not as_input:
                        self.assertIn(name, errors)
                self.assertLess(seconds, self.usual_seconds + 2, errors)
                self.assertLess(memory - self.usual_memory, size + 64 * MB, errors)

    def usual(self, *arguments):
        code, errors, self.usual_seconds, self.usual_memory = self.measured(*arguments)
        self.assertEqual(code, 0, errors)

    def test_files_of_tensors(self):
        self.usual("inspect", DEMO / "vae/diffusion_pytorch_model.safetensors")
        self.check_each(TENSOR_FILES, "file", "inspect", "file")

    def test_lists_of_shards(self):
        self.usual("inspect", DEMO / "vae/diffusion_pytorch_model.safetensors")
        self.check_each(JSON_FILES, "file.index.json", "inspect", "file.index.json")

    def test_vocabularies(self):
        self.usual("tokenize", "a cat")
        (self.folder / "tokenizer").mkdir()
        merges, vocabulary = self.folder / "tokenizer/merges.txt", self.folder / "tokenizer/vocab.json"
        merges.write_text("#version: 0.2\n")
        tokens = json.loads((DEMO / "tokenizer/vocab.json").read_text())
        many = {"as many tokens as there may be":
                lambda: json.dumps(tokens | {f"{i:040}": len(tokens) + i for i in range(131_072 - len(tokens))}).encode()}
        self.check_each(JSON_FILES | many, "tokenizer/vocab.json", "tokenize", "--tokenizer", "tokenizer", "a cat")
        vocabulary.write_bytes((DEMO / "tokenizer/vocab.json").read_bytes())
        self.check_each({"8 MB of one merge": lambda: b"#version: 0.2\n" + b"a b\n" * (2 * MB - 9),
                         "one line of 8 MB": lambda: b"#version: 0.2\n" + b"a" * (8 * MB - 20)},
                        "tokenizer/merges.txt", "tokenize", "--tokenizer", "tokenizer", "a cat")

    def test_prompts(self):
        self.usual("tokenize", "a cat")
        self.check_each(PROMPTS, "prompt", "tokenize", as_input=True)


if __name__ == "__main__":
    unittest.main()
