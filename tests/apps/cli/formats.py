"""Writes checkpoints as other programs do: PyTorch's two layouts, by Python's own pickle, and GGUF.

tensors: name -> (dtype, shape, bytes), with safetensors' names for dtypes."""
import io
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict

STORAGES = {"F32": ("FloatStorage", 4), "F16": ("HalfStorage", 2), "BF16": ("BFloat16Storage", 2),
            "I64": ("LongStorage", 8), "F64": ("DoubleStorage", 8)}
GGUF_TYPES = {"F32": 0, "F16": 1, "Q8_0": 8, "BF16": 30, "I64": 27, "I32": 26, "Q4_0": 2}


def _torch():
    """As much of the module torch as pickle wants to see: names."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def rebuild(*arguments):
        raise NotImplementedError

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    rebuild.__name__ = rebuild.__qualname__
    utils._rebuild_tensor_v2 = rebuild
    torch._utils = utils
    for name, _ in STORAGES.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    sys.modules.setdefault("torch", torch)
    sys.modules.setdefault("torch._utils", utils)
    return sys.modules["torch"]


class Storage:
    def __init__(self, dtype, key, raw):
        self.dtype, self.key, self.raw = dtype, key, raw


class TorchTensor:
    """What torch.save makes of a tensor: a call of _rebuild_tensor_v2 on a storage."""

    def __init__(self, storage, offset, shape, stride):
        self.arguments = (storage, offset, tuple(shape), tuple(stride), False, OrderedDict())

    def __reduce__(self):
        return _torch()._utils._rebuild_tensor_v2, self.arguments


def strides(shape):
    steps = []
    for extent in reversed(shape):
        steps.insert(0, steps[0] * previous if steps else 1)
        previous = extent
    return steps


def _stand_in(module, name, function=False):
    """A class or function that pickle writes down as `module`.`name`."""
    parts = module.split(".")
    for i in range(len(parts)):
        sys.modules.setdefault(".".join(parts[:i + 1]), types.ModuleType(".".join(parts[:i + 1])))
    thing = (lambda *arguments: None) if function else type(name, (), {})
    thing.__module__, thing.__name__, thing.__qualname__ = module, name, name
    setattr(sys.modules[module], name, thing)
    return thing


def parameter_dict(parameters):
    """A torch.nn.ParameterDict."""
    _torch()
    made = _stand_in("torch.nn.modules.container", "ParameterDict")()
    made.__dict__.update(training=True, _parameters=OrderedDict(parameters), _buffers=OrderedDict())
    return made


def notes_of_a_training():
    """What PyTorch Lightning leaves in a checkpoint beside the weights."""
    scalar = _stand_in("numpy.core.multiarray", "scalar", function=True)
    dtype = _stand_in("numpy", "dtype")
    dtype.__reduce__ = lambda self: (dtype, ("f8", False, True), (3, "<", None, None, None, -1, -1, 0))

    class Score:
        def __reduce__(self):
            return scalar, (dtype(), b"12345678")
    storage = Storage("F32", "score", bytes(4))
    return {"epoch": 6, "global_step": 470000, "pytorch-lightning_version": "1.4.2", "lr_schedulers": [{"last_lr": [1e-4]}],
            "optimizer_states": [{"state": {0: {"exp_avg": TorchTensor(storage, 0, [], [])}}}],
            "callbacks": {_stand_in("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint"):
                          {"monitor": "val/loss_simple_ema", "best_model_score": Score(),
                           "current_score": TorchTensor(storage, 0, [], [])}}}


class Pickler(pickle.Pickler):
    def __init__(self, file, protocol, legacy):
        super().__init__(file, protocol)
        self.legacy, self.storages = legacy, {}

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        self.storages[value.key] = value
        name, size = STORAGES[value.dtype]
        identity = ("storage", getattr(_torch(), name), value.key, "cpu", len(value.raw) // size)
        return identity + (None,) if self.legacy else identity


def pickled(value, protocol=2, legacy=False):
    out = io.BytesIO()
    pickler = Pickler(out, protocol, legacy)
    pickler.dump(value)
    return out.getvalue(), pickler.storages


def as_torch(tensors):
    """A state dict: each tensor on a storage of its own."""
    state = OrderedDict()
    for i, (name, (dtype, shape, raw)) in enumerate(tensors.items()):
        state[name] = TorchTensor(Storage(dtype, str(i), raw), 0, shape, strides(shape))
    return state


def write_torch(path, value, protocol=2, archive="archive", compression=zipfile.ZIP_STORED):
    """The layout of PyTorch 1.6 and later."""
    data, storages = pickled(value, protocol)
    with zipfile.ZipFile(path, "w", compression) as out:
        out.writestr(f"{archive}/data.pkl", data)
        for key, storage in storages.items():
            out.writestr(f"{archive}/data/{key}", storage.raw)
        out.writestr(f"{archive}/version", "3\n")


def write_torch_legacy(path, value):
    """The layout before PyTorch 1.6."""
    data, storages = pickled(value, 2, legacy=True)
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    with open(path, "wb") as out:
        pickle.dump(0x1950a86a20f9469cfc6c, out, 2)
        pickle.dump(1001, out, 2)
        pickle.dump(machine, out, 2)
        out.write(data)
        pickle.dump(sorted(storages), out, 2)
        for key in sorted(storages):
            out.write(struct.pack("<q", len(storages[key].raw) // STORAGES[storages[key].dtype][1]) + storages[key].raw)


def q8_0(values, levels=127):
    """Blocks of 32: an f16 scale, and bytes. Fewer levels make the loss visible."""
    out = b""
    for at in range(0, len(values), 32):
        block = values[at:at + 32]
        scale = struct.unpack("<e", struct.pack("<e", max(map(abs, block)) / levels))[0]
        out += struct.pack("<e32b", scale, *(max(-127, min(127, round(v / scale))) if scale else 0 for v in block))
    return out


def write_gguf(path, tensors, pairs=(), alignment=32, version=3):
    """pairs: (key, type, packed value). Extents are written fastest first, and leading ones left out, as ggml does."""
    def text(value):
        return struct.pack("<Q", len(value.encode())) + value.encode()

    pairs = [("general.architecture", 8, text("sd1")), ("general.alignment", 4, struct.pack("<I", alignment)), *pairs]
    header = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs))
    for key, kind, value in pairs:
        header += text(key) + struct.pack("<I", kind) + value
    data = b""
    for name, (dtype, shape, raw) in tensors.items():
        extents = list(reversed(shape))
        while len(extents) > 1 and extents[-1] == 1:
            extents.pop()
        data += bytes(-len(data) % alignment)
        header += text(name) + struct.pack(f"<I{len(extents)}QIQ", len(extents), *extents, GGUF_TYPES[dtype], len(data))
        data += raw
    header += bytes(-len(header) % alignment)
    path.write_bytes(header + data)


def q8_0_by_ggml(values):
    """As ggml's quantize_row_q8_0_ref has it, in float32: the scale is rounded to f16 only for the file."""
    def f32(x):
        return struct.unpack("<f", struct.pack("<f", x))[0]
    out = b""
    for at in range(0, len(values), 32):
        block = values[at:at + 32]
        scale = f32(max(map(abs, block)) / 127)
        inverse = f32(1 / scale) if scale else 0.0
        scaled = [f32(v * inverse) for v in block]
        out += struct.pack("<e32b", scale, *(int(abs(v) + 0.5) * (1 if v >= 0 else -1) for v in scaled))
    return out


def read_gguf(path):
    """name -> (dtype, shape, bytes); shapes are turned around."""
    data, at = path.read_bytes(), 0
    sizes = {"F32": (1, 4), "F16": (1, 2), "BF16": (1, 2), "Q8_0": (32, 34)}

    def take(form):
        nonlocal at
        values = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return values if len(values) > 1 else values[0]

    def text():
        return take(f"{take('Q')}s").decode()
    assert take("4s") == b"GGUF" and take("I") == 3
    count, pairs = take("QQ")
    for _ in range(pairs):
        text()
        assert take("I") == 8
        text()
    rows = []
    for _ in range(count):
        name, rank = text(), take("I")
        shape = [take("Q") for _ in range(rank)][::-1]
        dtype = {number: known for known, number in GGUF_TYPES.items()}[take("I")]
        rows.append((name, dtype, shape, take("Q")))
    start = at + -at % 32
    tensors = {}
    for name, dtype, shape, offset in rows:
        size = 1
        for extent in shape:
            size *= extent
        numbers, unit = sizes[dtype]
        assert offset % 32 == 0
        tensors[name] = (dtype, shape, data[start + offset:start + offset + size // numbers * unit])
    return tensors
