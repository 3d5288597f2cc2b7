"""The paths of a model's layers, for completion and for "no layer has that path".

A breakpoint is set before the program has loaded anything, so the names come from the files that it will load:
every weight's name without its last part is a layer, and so is what stands before any dot, except where a list
is meant (`down_blocks` is no box; `down_blocks.0` is).
"""
import difflib
import fnmatch
import os
import re

from .files import read_header

PARTS = ("text_encoder", "unet", "vae")
FILES = ("diffusion_pytorch_model.safetensors", "model.safetensors")
NOT_WEIGHTS = ("__metadata__", "text_model.embeddings.position_ids")


def layers_of(weights, part):
    """Paths in the order of the weights, each box before what is inside it."""
    children = {}
    for weight in weights:
        names = [part] + weight.split(".")
        for i in range(1, len(names) - 1):
            children.setdefault(".".join(names[:i]), []).append(names[i])
        children.setdefault(".".join(names[:-1]), []).append("a weight")
    return [path for path, inside in children.items() if not all(name.isdigit() for name in inside)]


def inner_values(layers):
    """The values inside the UNet that have names of their own: see UNet::operator() in models/unets/unet_sd.h."""
    skips = sum(bool(re.fullmatch(r"unet\.up_blocks\.\d+\.resnets\.\d+", path)) for path in layers)
    return ["unet.time_proj"] + [f"unet.skips.{i}" for i in range(skips)] if skips else []


def paths_of_model(folder):
    """Of a model folder in diffusers layout; [] when there is none."""
    paths = []
    for part in PARTS:
        for name in FILES:
            try:
                header, _ = read_header(os.path.join(folder, part, name))
            except (OSError, ValueError):
                continue
            paths += layers_of([weight for weight in header if weight not in NOT_WEIGHTS], part)
            break
    return paths + inner_values(paths)


def model_folder(arguments):
    """The folder that the program's arguments name, else the one it takes without."""
    for i, argument in enumerate(arguments):
        if argument == "--model" and i + 1 < len(arguments):
            return arguments[i + 1]
        if argument.startswith("--model="):
            return argument.partition("=")[2]
    return os.path.join("weights", "demo")


def matching(pattern, paths):
    """`*` also goes over dots, as in every other glob of the program: unet.*.conv1 finds all conv1 of the UNet."""
    return fnmatch.filter(paths, pattern)


def nearest(pattern, paths):
    return difflib.get_close_matches(pattern, paths, n=3, cutoff=0.6)


def label(path):
    """What the picture of the UNet calls its blocks: d1 to d4, m, u1 to u4."""
    if path == "unet.mid_block":
        return "m"
    match = re.fullmatch(r"unet\.(down|up)_blocks\.(\d+)", path)
    return f"{match[1][0]}{int(match[2]) + 1}" if match else ""


ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".."))


def short_file(path):
    """From the root of the repository, wherever the program was built; of any other file the last two parts."""
    parts = path.replace("\\", "/").split("/")
    inside = [i for i in range(len(parts) - 1) if os.path.isfile(os.path.join(ROOT, *parts[i:]))]
    return "/".join(parts[inside[0] if inside else -2:])
