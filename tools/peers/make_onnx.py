#!/usr/bin/python3
"""A network as an ONNX graph, with an input and PyTorch's output of a small case:

    make_onnx.py FOLDER unet|vae-decode|vae-encode|clip|demo fused|plain

fused: every attention of the UNet and of the text encoder is one node, com.microsoft::MultiHeadAttention, which ONNX
Runtime computes without its table of scores; plain: it is the products and the softmax that PyTorch knows. The VAE's
attention is plain in both.

Weights above 2 GB lie beside the graph, in a file each. Batch, height and width are left open in the graph; the peer
fixes them before it optimises. Heights and widths of the small case differ, so that a size that the graph has by
mistake shows.
"""
import contextlib
import json
import sys
import warnings
from pathlib import Path
from unittest import mock

import torch

import networks

NAMES = {"unet": ["sample", "t", "context"], "vae-decode": ["sample"], "vae-encode": ["sample"], "clip": ["ids"]}
OPEN = {"sample": {0: "batch", 2: "height", 3: "width"}, "t": {0: "batch"}, "context": {0: "batch"}}


class OneNode(torch.autograd.Function):
    """softmax(q k^T / sqrt(d)) v of (batch, tokens, heads * d); causal: no token sees a later one."""

    @staticmethod
    def forward(context, q, k, v, heads, causal):
        return torch.zeros_like(q)  # the graph alone is wanted; the values expected come from the network as it is

    @staticmethod
    def symbolic(graph, q, k, v, heads, causal):
        return graph.op("com.microsoft::MultiHeadAttention", q, k, v, num_heads_i=heads,
                        unidirectional_i=int(causal)).setType(q.type())


def attention_in_one(self, x, context=None):
    context = x if context is None else context
    return self.to_out[0](OneNode.apply(self.to_q(x), self.to_k(context), self.to_v(context), self.heads, False))


def text_attention_in_one(self, x, mask):
    return self.out_proj(OneNode.apply(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.heads, True))


@contextlib.contextmanager
def fused():
    """Within it the networks' attention is one node."""
    with mock.patch.object(networks.networks.Attention, "forward", attention_in_one), \
            mock.patch.object(networks.networks.ClipAttention, "forward", text_attention_in_one):
        yield


def store(folder, name, tensor):
    tensor.detach().contiguous().numpy().tofile(folder / name)
    return {"file": str(folder / name), "type": "int64" if tensor.dtype == torch.int64 else "float32",
            "shape": list(tensor.shape)}


def write(folder, kind, form, network, arguments):
    """graph.onnx and check.json"""
    folder.mkdir(parents=True, exist_ok=True)
    names = NAMES[kind]
    with torch.no_grad():
        expected = network(*arguments)
        in_one = form == "fused" and not kind.startswith("vae")
        with fused() if in_one else contextlib.nullcontext():
            torch.onnx.export(network, arguments, str(folder / "graph.onnx"), opset_version=17, input_names=names,
                              output_names=["result"], custom_opsets={"com.microsoft": 1} if in_one else None,
                              dynamic_axes={name: OPEN[name] for name in names if name in OPEN})
    check = {"inputs": {name: store(folder, f"check.{name}", value) for name, value in zip(names, arguments)},
             "pixels": 1 if kind == "vae-encode" else 8, "expected": store(folder, "check.result", expected)}
    (folder / "check.json").write_text(json.dumps(check))


def write_demo(folder, form):
    text_encoder, unet, decoder = networks.demo()
    ids, noise = networks.demo_inputs()
    with torch.no_grad():
        text = text_encoder(ids)
        write(folder / "text_encoder", "clip", form, text_encoder, (ids,))
        write(folder / "unet", "unet", form, unet,
              (torch.cat([noise, noise]), torch.tensor([500, 500]), torch.cat([text, text])))
        write(folder / "decoder", "vae-decode", form, decoder, (noise,))
        picture = networks.demo_picture(text_encoder, unet, decoder, ids, noise)
    check = {"inputs": {"ids": store(folder, "check.ids", ids), "sample": store(folder, "check.sample", noise)},
             "steps": networks.demo_steps(), "expected": store(folder, "check.result", picture)}
    (folder / "check.json").write_text(json.dumps(check))


def main():
    folder, name, form = Path(sys.argv[1]), *sys.argv[2:]
    warnings.simplefilter("ignore")
    if name == "demo":
        write_demo(folder, form)
    else:
        write(folder, name, form, networks.full_size(name), networks.inputs(name, 2 if name == "unet" else 1, 16, 24))


if __name__ == "__main__":
    main()
