"""Every kind of file that `cutaway inspect` tells apart, with all the names and shapes of the real ones. The files are
sparse: gigabytes long and with nothing stored, so whoever read their numbers would be seen by the time it takes."""
import json
import re
import time
import unittest

import formats
from program import ProgramTest
from test_inspect import manifest, write_sparse


def renamed(tensors, rules):
    for pattern, new in rules:
        tensors = {re.sub(pattern, new, name): entry for name, entry in tensors.items()}
    return tensors


def numbers(shapes):
    return {name: ("F16", shape) for name, shape in shapes.items()}


def lora(naming, rank=4):
    """A LoRA on every attention's projections of the UNet and on the text encoder's, as each program names it."""
    tensors = {}
    unet = [(name, entry) for name, entry in manifest("sd15_unet").items() if re.search(r"attn\d\.to_.*weight", name)]
    text = [(name, entry) for name, entry in manifest("sd15_clip_text").items() if re.search(r"_proj\.weight", name)]
    for part, weights in (("unet", unet), ("text_encoder", text)):
        for name, (_, shape) in weights:
            layer = name.removesuffix(".weight")
            down, up = [rank, shape[1]], [shape[0], rank]
            if naming == "kohya":
                layer = ("lora_unet_" if part == "unet" else "lora_te_") + layer.replace(".", "_")
                tensors.update({layer + ".lora_down.weight": down, layer + ".lora_up.weight": up, layer + ".alpha": []})
            elif naming == "peft":
                tensors.update({f"{part}.{layer}.lora_A.weight": down, f"{part}.{layer}.lora_B.weight": up})
            elif part == "unet":  # diffusers before PEFT
                layer = re.sub(r"\.to_(out\.0|.)$", lambda m: f".processor.to_{m[1].split('.')[0]}_lora", layer)
                tensors.update({f"unet.{layer}.down.weight": down, f"unet.{layer}.up.weight": up})
            else:
                layer = layer.replace("_proj", "_proj.lora_linear_layer")
                tensors.update({f"{part}.{layer}.down.weight": down, f"{part}.{layer}.up.weight": up})
    return numbers(tensors)


def single_file(unet, context=768):
    """A checkpoint in CompVis' naming with the UNet's shapes changed by `unet`."""
    tensors = manifest("compvis_sd15_single_file")
    for name, (dtype, shape) in list(tensors.items()):
        if re.search(r"attn2\.to_[kv]\.weight", name):
            tensors[name] = (dtype, [shape[0], context])
    tensors.update(numbers(unet))
    return tensors


OPENCLIP = {"model.token_embedding.weight": [49408, 1024], "model.positional_embedding": [77, 1024],
            "model.transformer.resblocks.0.ln_1.weight": [1024], "model.ln_final.weight": [1024]}


def sd2():
    tensors = {name: entry for name, entry in single_file({}, 1024).items() if not name.startswith("cond_stage_model.")}
    tensors.update(numbers({"cond_stage_model." + name: shape for name, shape in OPENCLIP.items()}))
    return tensors


def sdxl():
    tensors = {name: entry for name, entry in single_file({}, 2048).items() if not name.startswith("cond_stage_model.")}
    tensors.update(numbers({"conditioner.embedders.1." + name: shape for name, shape in OPENCLIP.items()}))
    tensors.update(numbers({"model.diffusion_model.label_emb.0.0.weight": [1280, 2816]}))
    return tensors


def with_ema():
    tensors = manifest("compvis_sd15_single_file")
    for name in [name for name in tensors if name.startswith("model.diffusion_model.")]:
        tensors["model_ema." + name[len("model."):].replace(".", "")] = tensors[name]
    tensors.update({"betas": ("F32", [1000]), "alphas_cumprod": ("F32", [1000]), "model_ema.decay": ("F32", []),
                    "model_ema.num_updates": ("I64", [])})
    return tensors


INPAINTING = {"model.diffusion_model.input_blocks.0.0.weight": [320, 9, 3, 3]}
VAE_ALONE = {re.sub("^first_stage_model.", "", name): entry for name, entry in
             manifest("compvis_sd15_single_file").items() if name.startswith("first_stage_model.")}

# family, naming, tensors
FAMILIES = [
    ("sd1", "compvis", manifest("compvis_sd15_single_file")),
    ("sd1", "compvis", with_ema()),
    ("sd1", "diffusers", manifest("sd15_unet")),
    ("sd1-inpainting", "compvis", single_file(INPAINTING)),
    ("sd1-inpainting", "diffusers", manifest("sd15_unet") | numbers({"conv_in.weight": [320, 9, 3, 3]})),
    ("sd2", "compvis", sd2()),
    ("sd2", "diffusers", manifest("sd21_unet")),
    ("sd2", "compvis", sd2() | numbers(INPAINTING)),
    ("sdxl", "compvis", sdxl()),
    ("sdxl", "diffusers", manifest("sdxl_unet")),
    ("controlnet", "compvis", manifest("compvis_controlnet")),
    ("controlnet", "compvis", renamed(manifest("compvis_controlnet"), [(r"^control_model\.", "")])),
    ("controlnet", "compvis", manifest("compvis_controlnet") | manifest("compvis_sd15_single_file")),
    ("controlnet", "diffusers", manifest("sd15_controlnet")),
    ("t2i-adapter", "diffusers", manifest("sd15_t2i_adapter_full")),
    ("t2i-adapter", "diffusers", manifest("sd15_t2i_adapter_light")),
    ("t2i-adapter", "original", manifest("t2i_adapter_original_full")),
    ("ip-adapter", "original", manifest("sd15_ip_adapter")),
    ("lora", "kohya", lora("kohya")),
    ("lora", "peft", lora("peft")),
    ("lora", "diffusers", lora("diffusers")),
    ("textual-inversion", "original", numbers({"emb_params": [8, 768]})),
    ("textual-inversion", "diffusers", numbers({"<cat-toy>": [768]})),
    ("vae", "diffusers", manifest("sd15_vae")),
    ("vae", "compvis", VAE_ALONE),
    ("vae", "compvis", renamed(VAE_ALONE, [("^", "first_stage_model.")])),
    ("clip-text", "transformers", manifest("sd15_clip_text")),
    ("clip-text", "openclip", numbers(OPENCLIP)),
    ("unknown", "unknown", numbers({"linear.weight": [3, 3], "linear.bias": [3]})),
]


class Families(ProgramTest):
    def inspect(self, path):
        return json.loads(self.run_well("inspect", path, "--as", "json").stdout)

    def test_every_family(self):
        for i, (family, naming, tensors) in enumerate(FAMILIES):
            with self.subTest(family=family, naming=naming, number=i):
                write_sparse(self.folder / "file.safetensors", tensors)
                says = self.inspect("file.safetensors")
                self.assertEqual((says["family"], says["naming"]), (family, naming))
                self.assertTrue(says["advice"])
                counted = sum(part["tensors"] for part in [*says["parts"].values(), *says["ignored"].values()])
                self.assertEqual(counted, len(tensors))

    def test_parameters_are_those_of_the_manifests(self):
        for name, part, parameters in [("sd21_unet", "unet", 865910724), ("sdxl_unet", "unet", 2567463684),
                                       ("sd15_controlnet", "controlnet", 361279120),
                                       ("compvis_controlnet", "controlnet", 361279120),
                                       ("sd15_t2i_adapter_full", "adapter", 77369280)]:
            write_sparse(self.folder / "file.safetensors", manifest(name))
            self.assertEqual(self.inspect("file.safetensors")["parts"][part]["parameters"], parameters)

    def test_no_numbers_are_read(self):
        """A file of 100 GB: its names are there, its numbers would take minutes."""
        tensors = {name: ("F32", [extent * 3 if i == 0 else extent for i, extent in enumerate(shape)])
                   for name, (_, shape) in manifest("sdxl_unet").items()}
        for i in range(3):
            tensors.update({f"model_ema.{i}.{name}": entry for name, entry in list(tensors.items())[:1680]})
        write_sparse(self.folder / "file.safetensors", tensors)
        self.assertGreater((self.folder / "file.safetensors").stat().st_size, 100e9)
        begin = time.monotonic()
        self.assertEqual(self.inspect("file.safetensors")["family"], "sdxl")
        self.assertLess(time.monotonic() - begin, 5)

    def test_which_weights_are_used_is_said(self):
        write_sparse(self.folder / "file.safetensors", with_ema())
        says = self.inspect("file.safetensors")
        self.assertEqual(says["ignored"]["ema"]["parameters"], 859520964 + 1)
        self.assertIn("model_ema", says["advice"])
        self.assertRegex(self.run_well("inspect", "file.safetensors").stdout, r"ema .*not used")

    def test_pickles_of_add_ons(self):
        def tensor(shape, key="0"):
            storage = formats.Storage("F32", key, bytes(4 * shape[0] * shape[1]))
            return formats.TorchTensor(storage, 0, shape, formats.strides(shape))
        word = {"string_to_token": {"*": 265}, "string_to_param": {"*": tensor([2, 768])}, "name": "toy", "step": 500,
                "sd_checkpoint": None, "sd_checkpoint_name": None}
        original = dict(word, string_to_param=formats.parameter_dict({"*": tensor([2, 768])}))
        adapter = {"image_proj": {"proj.weight": tensor([3072, 1024], "1"), "norm.weight": tensor([1, 768], "2")},
                   "ip_adapter": {"1.to_k_ip.weight": tensor([320, 768], "3")}}
        for family, value in [("textual-inversion", word), ("textual-inversion", original), ("textual-inversion", {"<toy>": tensor([1, 768])}),
                              ("ip-adapter", adapter)]:
            for write in (formats.write_torch, formats.write_torch_legacy):
                with self.subTest(family=family, write=write.__name__):
                    write(self.folder / "file.bin", value)
                    says = self.inspect("file.bin")
                    self.assertEqual((says["family"], says["format"]), (family, "pickle"))


if __name__ == "__main__":
    unittest.main()
