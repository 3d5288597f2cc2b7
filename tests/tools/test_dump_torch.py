"""tools/dump_torch.py: the names of CompVis' modules, and a PyTorch model recorded and compared layer by layer.

The second half needs PyTorch (Debian: python3-torch) and is skipped without it."""
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from dump_torch import Dump, compvis_unet_path, compvis_vae_path  # noqa: E402

try:
    import torch
except ImportError:
    torch = None

DEMO = ROOT / "weights/demo"


class Names(unittest.TestCase):
    def test_every_name_of_the_real_checkpoint(self):
        rows = json.loads((ROOT / "tests/reference/names/diffusers_to_compvis.json").read_text())["map"]
        checked = 0
        for _, ours, theirs, *_ in rows:
            for prefix, path in (("model.diffusion_model.", compvis_unet_path), ("first_stage_model.", compvis_vae_path)):
                if not theirs.startswith(prefix):
                    continue
                module = theirs[len(prefix):].rsplit(".", 1)[0]
                if ".mid.attn_1." in module and not module.endswith("norm"):
                    self.assertIsNone(path(module))  # works on images there, on tokens here
                else:
                    self.assertEqual(path(module), ours.rsplit(".", 1)[0], module)
                    checked += 1
        self.assertGreater(checked, 900)


def demo_weights(part):
    data = (DEMO / part / "diffusion_pytorch_model.safetensors").read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    weights = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            values = torch.frombuffer(bytearray(data[8 + size + begin:8 + size + end]), dtype=torch.float16)
            weights[name] = values.float().reshape(entry["shape"])
    return weights


@unittest.skipIf(torch is None, "PyTorch is not installed, so nothing is recorded")
class Recorded(unittest.TestCase):
    """The beginning of the demo model's UNet, written anew in PyTorch: time embedding, conv_in, the first ResBlock."""

    def modules(self):
        nn = torch.nn

        class TimeEmbedding(nn.Module):
            def __init__(self):
                super().__init__()
                self.linear_1, self.linear_2 = nn.Linear(32, 128), nn.Linear(128, 128)

            def forward(self, waves):
                return self.linear_2(nn.functional.silu(self.linear_1(waves)))

        class ResBlock(nn.Module):
            def __init__(self):
                super().__init__()
                self.norm1, self.norm2 = nn.GroupNorm(8, 32, 1e-5), nn.GroupNorm(8, 32, 1e-5)
                self.conv1, self.conv2 = nn.Conv2d(32, 32, 3, padding=1), nn.Conv2d(32, 32, 3, padding=1)
                self.time_emb_proj = nn.Linear(128, 32)

            def forward(self, x, temb):
                silu = nn.functional.silu
                h = self.conv1(silu(self.norm1(x))) + self.time_emb_proj(silu(temb))[:, :, None, None]
                return x + self.conv2(silu(self.norm2(h)))

        class Beginning(nn.Module):
            def __init__(self):
                super().__init__()
                self.time_embedding, self.conv_in = TimeEmbedding(), nn.Conv2d(4, 32, 3, padding=1)
                self.down_blocks = nn.ModuleList([nn.Module()])
                self.down_blocks[0].resnets = nn.ModuleList([ResBlock()])

            def forward(self, sample, t):
                waves = torch.exp(-torch.log(torch.tensor(1e4)) * torch.arange(16) / 16) * t
                temb = self.time_embedding(torch.cat([waves.cos(), waves.sin()])[None])
                return self.down_blocks[0].resnets[0](self.conv_in(sample), temb)

        model = Beginning()
        weights = demo_weights("unet")
        model.load_state_dict({name: weights[name] for name in model.state_dict()})
        return model

    def compare(self, spoil=lambda model: None):
        torch.manual_seed(0)
        inputs = {"sample": torch.randn(1, 4, 16, 16), "timestep": torch.tensor([501.0]),
                  "encoder_hidden_states": torch.randn(1, 24, 128)}
        model = self.modules()
        with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
            spoil(model)
            with Dump(f"{folder}/torch.safetensors", network="unet", inputs=inputs) as dump:
                for name, module in model.named_children():
                    dump.watch(module, f"unet.{name}")  # not the whole: its result is not that of a whole UNet
                model(inputs["sample"], inputs["timestep"])
            result = subprocess.run([os.environ["CUTAWAY"], "compare", f"{folder}/torch.safetensors", "--model", str(DEMO),
                                     "--as", "json"], capture_output=True, text=True, timeout=120)
        self.assertIn(result.returncode, (0, 1), result.stderr)
        return json.loads(result.stdout)

    def test_equal_layer_by_layer(self):
        verdict = self.compare()
        self.assertIsNone(verdict["first_diverging"], verdict)
        self.assertGreater(verdict["compared"], 20)

    def test_names_the_layers_that_differ(self):
        def spoil(model):
            model.conv_in.weight[3, 2, 1, 1] += 0.5
            model.down_blocks[0].resnets[0].norm2.eps = 1e-1

        verdict = self.compare(spoil)
        self.assertEqual(verdict["first_diverging"], "unet.conv_in")
        self.assertEqual(verdict["wrong_layers"], ["unet.conv_in", "unet.down_blocks.0.resnets.0.norm2"])


if __name__ == "__main__":
    unittest.main()
