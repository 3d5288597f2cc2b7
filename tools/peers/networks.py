"""The networks of Stable Diffusion 1.5 at full size, and the demo model's, in PyTorch: what peers are timed with.

The code is that with which the demo model was trained (tools/train_demo/model.py). Full-size weights are random.
"""
import json
import sys
from pathlib import Path

import numpy
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools/train_demo"))
import model as networks  # noqa: E402

UNET = {"in_channels": 4, "out_channels": 4, "block_out_channels": [320, 640, 1280, 1280], "layers_per_block": 2,
        "cross_attention_dim": 768, "attention_head_dim": 8, "norm_num_groups": 32}
VAE = {"in_channels": 3, "out_channels": 3, "latent_channels": 4, "block_out_channels": [128, 256, 512, 512],
       "layers_per_block": 2, "norm_num_groups": 32}
CLIP = {"vocab_size": 49408, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
        "num_attention_heads": 12, "max_position_embeddings": 77}
DEMO_STEPS = 20


class Decoder(torch.nn.Module):
    """A VAE whose forward pass is to decode."""

    def __init__(self, vae):
        super().__init__()
        self.vae = vae

    def forward(self, z):
        return self.vae.decode(z)


class Encoder(Decoder):
    """A VAE whose forward pass is to encode: mean and log-variance, one after the other in the channels."""

    def forward(self, x):
        return self.vae.quant_conv(self.vae.encoder(x))


def filled(network):
    """Random weights that keep values in an ordinary range: subnormal numbers would take longer."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.uniform_(-0.02, 0.02)
        for part in network.modules():
            if isinstance(part, (torch.nn.GroupNorm, torch.nn.LayerNorm)):
                part.weight.fill_(1)
    return network.eval()


def full_size(name):
    """unet, vae-decode, vae-encode or clip."""
    torch.nn.Module.reset_parameters = lambda self: None  # filled() does it, and once is enough
    if name == "unet":
        return filled(networks.UNet(UNET))
    if name == "vae-decode":
        return filled(Decoder(networks.VAE(VAE)))
    if name == "vae-encode":
        return filled(Encoder(networks.VAE(VAE)))
    return filled(networks.ClipText(CLIP))


def inputs(name, batch, height, width):
    """What a network is called with; height and width are those of the latent."""
    torch.manual_seed(2)
    if name == "unet":
        return (torch.randn(batch, 4, height, width), torch.full((batch,), 500), torch.randn(batch, 77, 768))
    if name == "vae-decode":
        return (torch.randn(batch, 4, height, width),)
    if name == "vae-encode":
        return (torch.randn(batch, 3, 8 * height, 8 * width),)
    return (torch.randint(0, 49408, (batch, 77)),)


def read_safetensors(file):
    """name -> tensor, of a file in float16."""
    content = file.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    found = {}
    for name, entry in json.loads(content[8:begin]).items():
        if name == "__metadata__":
            continue
        numbers = numpy.frombuffer(content[begin + entry["data_offsets"][0]:begin + entry["data_offsets"][1]], "<f2")
        found[name] = torch.from_numpy(numbers.astype(numpy.float32)).reshape(entry["shape"])
    return found


def demo():
    """text encoder, UNet and decoder of weights/demo."""
    loaded = []
    for part, kind in (("text_encoder", networks.ClipText), ("unet", networks.UNet), ("vae", networks.VAE)):
        folder = ROOT / "weights/demo" / part
        network = kind(json.loads((folder / "config.json").read_text()))
        network.load_state_dict(read_safetensors(next(folder.glob("*.safetensors"))))
        loaded.append(network.eval())
    text_encoder, unet, vae = loaded
    return text_encoder, unet, Decoder(vae).eval()


def demo_inputs():
    torch.manual_seed(3)
    return torch.randint(0, 1400, (1, 24)), torch.randn(1, 4, 16, 16)


def demo_picture(text_encoder, unet, decoder, ids, noise):
    """From token ids to a picture; the empty prompt is encoded as well, as the program does."""
    import diffusion
    latent = diffusion.sample(unet, text_encoder(ids), text_encoder(ids), noise, steps=DEMO_STEPS)
    return decoder(latent / 0.18215)


def demo_steps():
    """DDIM as numbers: [time step, p, q] of each step, which takes x to p x + q v (v: what the UNet predicts)."""
    import diffusion
    kept = diffusion.alphas_cumprod()
    steps = []
    for t in diffusion.ddim_timesteps(DEMO_STEPS):
        before = t - diffusion.STEPS // DEMO_STEPS
        a, b = kept[t], kept[before] if before >= 0 else kept[0]
        p = b.sqrt() * a.sqrt() + (1 - b).sqrt() * (1 - a).sqrt()
        q = (1 - b).sqrt() * a.sqrt() - b.sqrt() * (1 - a).sqrt()
        steps.append([int(t), float(p), float(q)])
    return steps
