"""Records a PyTorch model while it runs, as a reference for `cutaway compare` (docs/compare.md).

    from dump_torch import Dump

    with Dump("torch.safetensors", network="unet",
              inputs={"sample": x, "timestep": t, "encoder_hidden_states": c}) as dump:
        dump.watch(unet, "unet")
        unet(x, t, c)

Then: cutaway compare torch.safetensors --model DIR

Every module's result and inputs are kept under the module's path, "call/trace/unet.conv_in" and
"call/trace/unet.conv_in:in", the second input under ":in1". The paths of diffusers models are those of Cutaway; for a model of
CompVis/stable-diffusion give rename=compvis_unet_path or compvis_vae_path to watch(). Needs PyTorch 1.10 or later,
and nothing else.
"""
import inspect
import json
import os
import struct


class Dump:
    """Writes the file when its `with` block ends without an error.

    network: "unet", "vae-decode", "vae-encode" or "text_encoder": what `cutaway compare` has to run, with `inputs`
    (tensors by the names of the network's arguments)."""

    def __init__(self, path, network=None, inputs=None, metadata=None, call="call"):
        self.path, self.call = path, call
        self.metadata = {"format": "cutaway trace 1", "made by": "dump_torch", **(metadata or {})}
        if network:
            self.metadata["network"] = network
        self.tensors = {}
        self._hooks = []
        self._times = {}
        for name, tensor in (inputs or {}).items():
            self.tensors[f"{call}/in/{name}"] = _as_tensor(tensor)

    def watch(self, model, path, rename=None):
        """Records `model` and all modules inside it. `rename` turns a module's own path into another one, or into
        None for a module to leave out."""
        for name, module in model.named_modules():
            inner = rename(name) if rename and name else name
            if inner is None:
                continue
            self._watch_module(module, f"{path}.{inner}" if inner else path)

    def _watch_module(self, module, path):
        names = []  # of calls that have begun; a module may call itself

        def before(_, args, kwargs=None):
            turn = self._times.get(path, 0)
            self._times[path] = turn + 1
            name = f"{self.call}/trace/{path}" + (f"#{turn}" if turn else "")
            names.append(name)
            for i, tensor in enumerate(_inputs_in_order(module, args, kwargs or {})):
                self.tensors[f"{name}:in" + (str(i) if i else "")] = _as_tensor(tensor)

        def after(_, args, result):
            tensor = _first_tensor(result)
            name = names.pop()
            if tensor is not None:
                self.tensors[name] = _as_tensor(tensor)

        try:  # PyTorch 2 also tells of arguments that were given by name
            self._hooks.append(module.register_forward_pre_hook(before, with_kwargs=True))
        except TypeError:
            self._hooks.append(module.register_forward_pre_hook(before))
        self._hooks.append(module.register_forward_hook(after))

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        for hook in self._hooks:
            hook.remove()
        if kind is None:
            write_safetensors(self.path, self.tensors, self.metadata)


def _inputs_in_order(module, args, kwargs):
    """The tensors among a call's arguments, in the order of forward(). Time steps and masks of whole numbers are no
    inputs that a layer of Cutaway has."""
    try:
        given = inspect.signature(module.forward).bind(*args, **kwargs).arguments.values()
    except (TypeError, ValueError):
        given = [*args, *kwargs.values()]
    return [value for value in given if _is_values(value) and value.dim() >= 2]


def _is_values(value):
    return hasattr(value, "is_floating_point") and hasattr(value, "dim") and value.is_floating_point()


def _first_tensor(result):
    """Of a tuple, a dict or a dataclass the first tensor of floating-point numbers."""
    if _is_values(result):
        return result
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, (tuple, list)):
        return next((found for found in map(_first_tensor, result) if found is not None), None)
    if hasattr(result, "__dict__"):
        return _first_tensor(list(vars(result).values()))
    return None


def _as_tensor(tensor):
    """A copy that later in-place operations cannot change; of whole numbers as int64, of all else as float32."""
    import torch
    if not torch.is_tensor(tensor):
        tensor = torch.as_tensor(tensor)
    tensor = tensor.detach().to("cpu")
    tensor = tensor.to(torch.float32 if tensor.is_floating_point() else torch.int64)
    return tensor.contiguous().clone()


def write_safetensors(path, tensors, metadata):
    """All or nothing: a file beside it first, then renamed."""
    header, offset = {"__metadata__": {key: str(value) for key, value in metadata.items()}}, 0
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        header[name] = {"dtype": "F32" if tensor.is_floating_point() else "I64", "shape": list(tensor.shape),
                        "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for tensor in tensors.values():
                file.write(tensor.numpy().tobytes())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise


# ---- The names of CompVis/stable-diffusion, told in those of diffusers and Cutaway

_RESBLOCK = {"in_layers.0": "norm1", "in_layers.2": "conv1", "emb_layers.1": "time_emb_proj", "out_layers.0": "norm2",
             "out_layers.3": "conv2", "skip_connection": "conv_shortcut"}


def _split(name, parts):
    pieces = name.split(".")
    return pieces[:parts], ".".join(pieces[parts:])


def _join(*parts):
    return ".".join(part for part in parts if part)


def _in_unet_block(rest, resnet, attention, resampler):
    """`rest` begins with the place in the list of an input or output block: 0 is the ResBlock (or a lone Downsample),
    then the Transformer or the Upsample."""
    (place,), inner = _split(rest, 1)
    if inner == "op" or inner.startswith("op."):
        return _join(resampler("downsamplers"), "conv" + inner[2:])
    if place == "0":
        return _join(resnet, _RESBLOCK[inner]) if inner in _RESBLOCK else (resnet if not inner else None)
    if inner == "conv" or place == "2":
        return _join(resampler("upsamplers"), inner)
    return _join(attention, inner)


def compvis_unet_path(name, layers_per_block=2):
    """The path of a module of CompVis' UNetModel; None for those without a counterpart (lists, activations)."""
    (first,), rest = _split(name, 1)
    if first == "time_embed":
        return {"": "time_embedding", "0": "time_embedding.linear_1", "2": "time_embedding.linear_2"}.get(rest)
    if first == "out":
        return {"0": "conv_norm_out", "2": "conv_out"}.get(rest)
    if first == "middle_block":
        if not rest:
            return "mid_block"
        (place,), inner = _split(rest, 1)
        if place == "1":
            return _join("mid_block.attentions.0", inner)
        resnet = "mid_block.resnets." + {"0": "0", "2": "1"}[place]
        return _join(resnet, _RESBLOCK[inner]) if inner in _RESBLOCK else (resnet if not inner else None)
    if first not in ("input_blocks", "output_blocks") or "." not in rest:
        return None
    (number,), rest = _split(rest, 1)
    n = int(number)
    if first == "input_blocks":
        if n == 0:
            return "conv_in" if rest == "0" else None
        level, i = divmod(n - 1, layers_per_block + 1)
        block = f"down_blocks.{level}"
    else:
        level, i = divmod(n, layers_per_block + 1)
        block = f"up_blocks.{level}"
    return _in_unet_block(rest, f"{block}.resnets.{i}", f"{block}.attentions.{i}", lambda kind: f"{block}.{kind}.0")


_VAE_LEAVES = {"norm_out": "conv_norm_out", "conv_in": "conv_in", "conv_out": "conv_out"}


def compvis_vae_path(name, levels=4):
    """The path of a module of CompVis' AutoencoderKL. Its attention works on images, ours on tokens: of it only the
    whole and its norm have a counterpart."""
    if name in ("quant_conv", "post_quant_conv", "encoder", "decoder"):
        return name
    (half, *more), rest = _split(name, 2)
    if half not in ("encoder", "decoder") or not more:
        return None
    if more[0] in _VAE_LEAVES:
        return f"{half}.{_VAE_LEAVES[more[0]]}" if not rest else None
    if more[0] == "mid":
        if not rest:
            return f"{half}.mid_block"
        (part,), inner = _split(rest, 1)
        if part == "attn_1":
            return {"": f"{half}.mid_block.attentions.0", "norm": f"{half}.mid_block.attentions.0.group_norm"}.get(inner)
        return _join(f"{half}.mid_block.resnets.{int(part[-1]) - 1}", inner.replace("nin_shortcut", "conv_shortcut"))
    if more[0] not in ("down", "up") or not rest:
        return None
    (number,), rest = _split(rest, 1)
    block = f"{half}.down_blocks.{number}" if more[0] == "down" else f"{half}.up_blocks.{levels - 1 - int(number)}"
    if not rest:
        return None  # a plain holder of parts, never called
    (kind,), rest = _split(rest, 1)
    if kind in ("downsample", "upsample"):
        return _join(f"{block}.{kind}rs.0", rest)
    if kind != "block" or not rest:
        return None
    (i,), inner = _split(rest, 1)
    return _join(f"{block}.resnets.{i}", inner.replace("nin_shortcut", "conv_shortcut"))
