"""Writes small inputs for the fuzzers to begin with: make_seeds.py FOLDER makes FOLDER/<target>/*.

Each target gets a few good files, what earlier runs have found worth keeping (corpus/<target>.zip), and the words that its
format is made of (FOLDER/<target>.dict)."""
import io
import json
import struct
import sys
import zipfile
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/apps/cli"))
import formats  # noqa: E402

FLOATS = struct.pack("<6f", 0, 1, 2, 3, 4, 5)
TENSORS = {"w": ("F32", [2, 3], FLOATS), "b": ("F16", [4], bytes(8))}


def safetensors():
    def file(header, data=b""):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + data

    yield file({"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}, FLOATS)
    yield file({"__metadata__": {"format": "pt"}, "a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
                "b": {"dtype": "BF16", "shape": [2, 1], "data_offsets": [4, 8]}}, b"12345678")
    yield file(b'{"\\u0061\xc3\xa9":{"dtype":"F64","shape":[],"data_offsets":[0,8]}}   ', bytes(8))
    yield file({"e": {"dtype": "I64", "shape": [0, 9], "data_offsets": [0, 0]}})


def zip_files():
    for protocol in (2, 4):
        out = io.BytesIO()
        formats.write_torch(out, {"state_dict": formats.as_torch(TENSORS), "step": 3}, protocol)
        yield out.getvalue()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/data.pkl", b"\x80\x02}." * 9)
    yield out.getvalue()


def pickles():
    tensor = formats.TorchTensor(formats.Storage("F32", "0", FLOATS), 0, [2, 3], [3, 1])
    for value in ({"w": tensor}, {"state_dict": {"a": {"b": tensor}}, "notes": [None, True, 1 << 70, 2.5, "x", b"y"]},
                  {"w": formats.TorchTensor(formats.Storage("F32", "0", FLOATS), 2, [2, 1], [1, 7])}):
        for protocol in (2, 3, 4, 5):
            yield formats.pickled(value, protocol)[0]


def legacy():
    path = Path(sys.argv[1]) / "legacy.tmp"
    for value in (formats.as_torch(TENSORS), {"state_dict": formats.as_torch({"w": TENSORS["w"]})}):
        formats.write_torch_legacy(path, value)
        yield path.read_bytes()
    path.unlink()


def gguf():
    path = Path(sys.argv[1]) / "gguf.tmp"
    array = struct.pack("<IQ", 8, 2) + 2 * (struct.pack("<Q", 1) + b"x")
    for pairs in ((), [("n", 9, struct.pack("<IQQ", 4, 1, 7)), ("t", 9, array), ("f", 6, bytes(4))]):
        for tensors in (TENSORS, {"q": ("Q8_0", [1, 32], bytes(34)), "e": ("I64", [0], b"")}):
            formats.write_gguf(path, tensors, pairs)
            yield path.read_bytes()
    path.unlink()


def index():
    for names in ({"a": "a", "b": "b"}, {"a": "a"}, {"a": "../a"}, {"a": "/etc/passwd"}, {"a": 7}, {}):
        yield json.dumps({"metadata": {"total_size": 8}, "weight_map": names}).encode()


def config():
    demo = ROOT / "weights/demo"
    for kind, path in enumerate(("unet/config.json", "vae/config.json", "text_encoder/config.json",
                                 "scheduler/scheduler_config.json")):
        yield b"%d" % kind + (demo / path).read_bytes()  # the digit 0 stands for the first kind, and so on
        yield b"%d{}" % kind


def tokenizer():
    letters, following = [], iter(range(0x100, 0x200))
    for byte in range(256):
        printed = 0x21 <= byte <= 0x7E or 0xA1 <= byte <= 0xAC or byte >= 0xAE
        letters.append(chr(byte if printed else next(following)))
    tokens = letters + [letter + "</w>" for letter in letters] + ["ca", "cat</w>", "<|startoftext|>", "<|endoftext|>"]
    yield b"0" + json.dumps({token: i for i, token in enumerate(tokens)}, ensure_ascii=False).encode()
    yield b"0{\"a\": 0, \"b\": 1}"
    yield b"1#version: 0.2\nc a\nca t</w>\n"
    yield b"1#version: 0.2\r\nc a\r\n"
    yield b'2{"model_max_length": 77, "pad_token": {"content": "!"}}'
    yield b'3{"pad_token": "<|endoftext|>"}'


def prompt():
    yield b"a (red:1.3) [cat] BREAK ((dog)), 3d"
    yield "caf\u00e9 &amp; &#65; \u732b \U0001f600 it's A\u0301".encode()
    yield "caf\u00c3\u00a9 \u201cquotes\u201d \ufb01 \uff21\x1b[31m\u03a3".encode()
    yield b"<|startoftext|>\\(x\\) (a:(b:0.5)"


def png():
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    def picture(depth, color, row, *extra, interlace=0, size=(2, 2)):
        head = struct.pack(">IIBBBBB", *size, depth, color, 0, 0, interlace)
        rows = zlib.compress(b"".join(b"\0" + row for _ in range(size[1])))
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(extra) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")

    yield picture(8, 2, b"abcdef")
    yield picture(8, 6, b"abcdefgh", chunk(b"tEXt", b"prompt\0a cat"))
    yield picture(8, 0, b"ab", chunk(b"iTXt", b"k\0\0\0\0\0" + "\u732b".encode()))
    yield picture(16, 0, b"abcd", chunk(b"zTXt", b"k\0\0" + zlib.compress(b"text")))
    yield picture(1, 3, b"@", chunk(b"PLTE", b"abcdef"), chunk(b"tRNS", b"\0"))


WORDS = {
    "safetensors": ['"__metadata__"', '"dtype"', '"shape"', '"data_offsets"', '"F32"', '"BF16"', '"F4"', "[0,0]", "{}",
                    "18446744073709551615", "9223372036854775807", "\\\\ud800", "\\\\u0000"],
    "index": ['"weight_map"', '"metadata"', '"a"', '"b"', '".."', '"../"', '"/"', "\\\\u0000", "\\\\"],
    "config": ['"block_out_channels"', '"layers_per_block"', '"attention_head_dim"', '"num_attention_heads"',
               '"down_block_types"', '"up_block_types"', '"CrossAttnDownBlock2D"', '"DownBlock2D"', '"UpBlock2D"',
               '"norm_num_groups"', '"in_channels"', '"trained_betas"', '"prediction_type"', '"beta_schedule"',
               '"hidden_size"', "1e308", "-1", "null", "true", "18446744073709551615"],
    "tokenizer": ['"pad_token"', '"model_max_length"', '"content"', "#version: 0.2\\x0a", "</w>", "<|endoftext|>",
                  "1e30", "-1"],
    "prompt": ["BREAK", "(", ")", "[", "]", ":1.3)", ":", "\\\\", "&amp;", "&#", ";", "&#x", "<|endoftext|>", "'s",
               "\\x1b[", "\\xc3\\x83\\xc2\\xa9", "\\xe2\\x80\\x9c", "\\xcc\\x81", "\\xef\\xac\\x81"],
    "gguf": ["GGUF", "general.alignment", "\\x09\\x00\\x00\\x00", "\\x08\\x00\\x00\\x00"],
    "zip": ["PK\\x01\\x02", "PK\\x03\\x04", "PK\\x05\\x06", "PK\\x06\\x06", "PK\\x06\\x07", "/data.pkl", "/data/0"],
    "pickle": ["ctorch._utils\\x0a_rebuild_tensor_v2\\x0a", "ctorch._utils\\x0a_rebuild_parameter\\x0a",
               "ccollections\\x0aOrderedDict\\x0a", "ctorch\\x0aFloatStorage\\x0a", "ctorch\\x0aSize\\x0a", "storage",
               "state_dict", "h\\x00", "q\\x00", "\\x85Q", ")R", "tR", "\\x8a\\x08"],
    "png": ["IHDR", "PLTE", "IDAT", "IEND", "tEXt", "zTXt", "iTXt", "tRNS", "acTL", "iCCP"],
}
WORDS["legacy"] = WORDS["pickle"] + ["\\x80\\x02\\x8a\\x0a\\x6c\\xfc\\x9c\\x46\\xf9\\x20\\x6a\\xa8\\x50\\x19."]
SEEDS = {"safetensors": safetensors, "zip": zip_files, "pickle": pickles, "legacy": legacy, "gguf": gguf,
         "index": index, "config": config, "tokenizer": tokenizer, "prompt": prompt, "png": png}


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for target, seeds in SEEDS.items():
        (out / target).mkdir(exist_ok=True)
        for i, seed in enumerate(seeds()):
            (out / target / f"seed{i}").write_bytes(seed)
        kept = ROOT / f"tests/fuzz/corpus/{target}.zip"
        if kept.exists():
            zipfile.ZipFile(kept).extractall(out / target)
        words = (word if "\\" in word else word.replace('"', '\\"') for word in WORDS[target])
        (out / f"{target}.dict").write_text("".join(f'"{word}"\n' for word in words))


if __name__ == "__main__":
    main()
