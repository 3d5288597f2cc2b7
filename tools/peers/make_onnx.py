#!/usr/bin/python3
"""The networks as ONNX graphs, with an input and PyTorch's output of a small case: make_onnx.py FOLDER unet|vae-decode|clip|demo

Weights above 2 GB lie beside the graph, in a file each. Batch, height and width are left open in the graph; the peer
fixes them before it optimises. Heights and widths of the small case differ, so that a size that the graph has by
mistake shows.
"""
import json
import sys
import warnings
from pathlib import Path

import torch

import networks

NAMES = {"unet": ["sample", "t", "context"], "vae-decode": ["sample"], "clip": ["ids"]}
OPEN = {"sample": {0: "batch", 2: "height", 3: "width"}, "t": {0: "batch"}, "context": {0: "batch"}}


def store(folder, name, tensor):
    tensor.detach().contiguous().numpy().tofile(folder / name)
    return {"file": str(folder / name), "type": "int64" if tensor.dtype == torch.int64 else "float32",
            "shape": list(tensor.shape)}


def write(folder, kind, network, arguments):
    """graph.onnx and check.json"""
    folder.mkdir(parents=True, exist_ok=True)
    names = NAMES[kind]
    with torch.no_grad():
        expected = network(*arguments)
        torch.onnx.export(network, arguments, str(folder / "graph.onnx"), opset_version=17, input_names=names,
                          output_names=["result"], dynamic_axes={name: OPEN[name] for name in names if name in OPEN})
    check = {"inputs": {name: store(folder, f"check.{name}", value) for name, value in zip(names, arguments)},
             "expected": store(folder, "check.result", expected)}
    (folder / "check.json").write_text(json.dumps(check))


def write_demo(folder):
    text_encoder, unet, decoder = networks.demo()
    ids, noise = networks.demo_inputs()
    with torch.no_grad():
        text = text_encoder(ids)
        write(folder / "text_encoder", "clip", text_encoder, (ids,))
        write(folder / "unet", "unet", unet, (torch.cat([noise, noise]), torch.tensor([500, 500]), torch.cat([text, text])))
        write(folder / "decoder", "vae-decode", decoder, (noise,))
        picture = networks.demo_picture(text_encoder, unet, decoder, ids, noise)
    check = {"inputs": {"ids": store(folder, "check.ids", ids), "sample": store(folder, "check.sample", noise)},
             "steps": networks.demo_steps(), "expected": store(folder, "check.result", picture)}
    (folder / "check.json").write_text(json.dumps(check))


def main():
    folder, name = Path(sys.argv[1]), sys.argv[2]
    warnings.simplefilter("ignore")
    if name == "demo":
        write_demo(folder)
    else:
        write(folder, name, networks.full_size(name), networks.inputs(name, 2 if name == "unet" else 1, 16, 24))


if __name__ == "__main__":
    main()
