"""What `cutaway inspect` says of files and folders, and models in every layout that draw the same picture."""
import json
import os
import re
import struct
import unittest

import formats
from program import DEMO, ROOT, ProgramTest, read_png, read_safetensors, rgb_of_png

NAMES = ROOT / "tests/reference/names"
RUN = ("--prompt", "a red car", "--seed", 3, "--steps", 2, "--quiet")
UNET = "unet/diffusion_pytorch_model.safetensors"
VAE = "vae/diffusion_pytorch_model.safetensors"
TEXT = "text_encoder/model.safetensors"


def header_of(tensors):
    """The start of a safetensors file, and how long its data are. tensors: name -> (dtype, shape)."""
    header, end = {}, 0
    for name, (dtype, shape) in tensors.items():
        size = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8}[dtype]
        for extent in shape:
            size *= extent
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text, end


def write_sparse(path, tensors):
    """A file of any size that takes no room on the disk: its numbers are all 0 and none is stored."""
    start, length = header_of(tensors)
    with open(path, "wb") as file:
        file.write(start)
        file.truncate(len(start) + length)


def write_safetensors(path, tensors, metadata=None):
    """tensors: name -> (dtype, shape, bytes)."""
    header, data = {}, []
    if metadata:
        header["__metadata__"] = metadata
    end = 0
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(raw)]}
        end += len(raw)
        data.append(raw)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data))


def manifest(name):
    rows = json.loads((NAMES / f"{name}.json").read_text())["tensors"]
    return {row[0]: ("I64" if row[2] == "int64" else "F16", row[1]) for row in rows}


def vae_name_in_compvis(name, levels):
    """By textual rules, written apart from the program's."""
    name = re.sub(r"^encoder\.down_blocks\.(\d+)\.resnets\.", r"encoder.down.\1.block.", name)
    name = re.sub(r"^encoder\.down_blocks\.(\d+)\.downsamplers\.0\.", r"encoder.down.\1.downsample.", name)
    name = re.sub(r"^decoder\.up_blocks\.(\d+)\.resnets\.",
                  lambda m: f"decoder.up.{levels - 1 - int(m[1])}.block.", name)
    name = re.sub(r"^decoder\.up_blocks\.(\d+)\.upsamplers\.0\.",
                  lambda m: f"decoder.up.{levels - 1 - int(m[1])}.upsample.", name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    name = name.replace("mid_block.attentions.0.group_norm", "mid.attn_1.norm")
    name = name.replace("mid_block.attentions.0.to_out.0", "mid.attn_1.proj_out")
    name = re.sub(r"mid_block\.attentions\.0\.to_(.)", r"mid.attn_1.\1", name)
    return name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")


def demo_in_compvis():
    """All weights of the demo model in CompVis' naming, and the sizes that shapes do not tell."""
    # The demo's UNet has as many blocks as that of SD 1.5, so the table of names fits.
    table = {(row[0], row[1]): row[2] for row in json.loads((NAMES / "diffusers_to_compvis.json").read_text())["map"]}
    tensors = {}
    for name, tensor in read_safetensors(DEMO / UNET)[0].items():
        tensors[table["unet", name]] = tensor
    for name, (dtype, shape, raw) in read_safetensors(DEMO / VAE)[0].items():
        if re.search(r"attentions\.0\.to_.*weight", name):
            shape = shape + [1, 1]
        tensors["first_stage_model." + vae_name_in_compvis(name, 3)] = (dtype, shape, raw)
    for name, tensor in read_safetensors(DEMO / TEXT)[0].items():
        tensors["cond_stage_model.transformer." + name] = tensor
    sizes = {"unet": {"norm_num_groups": 8, "attention_head_dim": 4, "sample_size": 16},
             "vae": {"norm_num_groups": 8}, "text_encoder": {"num_attention_heads": 4}}
    sizes["scheduler"] = json.loads((DEMO / "scheduler/scheduler_config.json").read_text())
    return tensors, sizes


class InspectTest(ProgramTest):
    def inspect(self, path):
        return json.loads(self.run_well("inspect", path, "--as", "json").stdout)

    def inspect_names(self, tensors, name="file.safetensors"):
        write_sparse(self.folder / name, tensors)
        return self.inspect(name)


class Families(InspectTest):
    def test_folders(self):
        says = self.inspect(DEMO)
        self.assertEqual((says["family"], says["naming"], says["format"]), ("sd1", "diffusers", "safetensors"))
        self.assertEqual({name: part["parameters"] for name, part in says["parts"].items()},
                         {"text_encoder": 788736, "unet": 8765028, "vae": 732743})
        self.assertEqual((says["in_channels"], says["dtypes"], says["files"]), (4, ["F16"], 3))
        self.assertEqual(self.inspect(DEMO / "vae")["family"], "vae")
        self.assertEqual(self.inspect(DEMO / "text_encoder")["family"], "clip-text")
        self.assertEqual(list(self.inspect(DEMO / "unet")["parts"]), ["unet"])

    def test_sd1_of_full_size(self):
        says = self.inspect_names(manifest("compvis_sd15_single_file"))
        self.assertEqual((says["family"], says["naming"], says["in_channels"]), ("sd1", "compvis", 4))
        self.assertEqual({name: part["parameters"] for name, part in says["parts"].items()},
                         {"unet": 859520964, "vae": 83653863, "text_encoder": 123060480})
        self.assertEqual(says["ignored"], {})

    def test_ema_and_buffers_are_told_apart(self):
        tensors = manifest("compvis_sd15_single_file")
        unet = [name for name in tensors if name.startswith("model.diffusion_model.")]
        for name in unet:
            tensors["model_ema." + name[len("model."):].replace(".", "")] = tensors[name]
        tensors.update({"betas": ("F32", [1000]), "alphas_cumprod": ("F32", [1000])})
        says = self.inspect_names(tensors)
        self.assertEqual(says["parts"]["unet"]["parameters"], 859520964)
        self.assertEqual(says["ignored"]["ema"]["parameters"], 859520964)
        self.assertEqual(says["ignored"]["other"]["tensors"], 2)

    def test_inpainting(self):
        tensors = manifest("sd15_unet")
        tensors["conv_in.weight"] = ("F16", [320, 9, 3, 3])
        says = self.inspect_names(tensors)
        self.assertEqual((says["family"], says["in_channels"]), ("sd1-inpainting", 9))
        tensors = manifest("compvis_sd15_single_file")
        tensors["model.diffusion_model.input_blocks.0.0.weight"] = ("F16", [320, 9, 3, 3])
        self.assertEqual(self.inspect_names(tensors)["family"], "sd1-inpainting")

    def test_sd2(self):
        for naming in ("sd15_unet", "compvis_sd15_single_file"):
            tensors = manifest(naming)
            for name, (dtype, shape) in tensors.items():
                if re.search(r"attn2\.to_[kv]\.weight", name):
                    tensors[name] = (dtype, [shape[0], 1024])
            says = self.inspect_names(tensors)
            self.assertEqual(says["family"], "sd2")
            self.assertIn("SD 1.x", says["advice"])

    def test_sdxl(self):
        tensors = manifest("sd15_unet")
        tensors["add_embedding.linear_1.weight"] = ("F16", [1280, 2816])
        self.assertEqual(self.inspect_names(tensors)["family"], "sdxl")
        tensors = manifest("compvis_sd15_single_file")
        tensors["model.diffusion_model.label_emb.0.0.weight"] = ("F16", [1280, 2816])
        self.assertEqual(self.inspect_names(tensors)["family"], "sdxl")

    def test_add_ons(self):
        down, attention = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1", "lora_unet_down_blocks_0_to_q"
        conv = [320, 4, 3, 3]
        for family, naming, tensors in [
                ("lora", "kohya", {f"{attention}.lora_down.weight": [4, 320], f"{attention}.lora_up.weight": [320, 4],
                                   f"{attention}.alpha": []}),
                ("lora", "peft", {f"{down}.to_q.lora_A.weight": [4, 320],
                                  f"{down}.to_q.lora_B.weight": [320, 4]}),
                ("lora", "diffusers", {f"{down}.processor.to_q_lora.down.weight": [4, 320],
                                       f"{down}.processor.to_q_lora.up.weight": [320, 4]}),
                ("ip-adapter", "original", {"image_proj.proj.weight": [3072, 1024],
                                            "ip_adapter.1.to_k_ip.weight": [320, 768]}),
                ("t2i-adapter", "diffusers", {"adapter.conv_in.weight": [320, 192, 3, 3],
                                              "adapter.body.0.resnets.0.block1.weight": [320, 320, 3, 3]}),
                ("t2i-adapter", "original", {"conv_in.weight": [320, 192, 3, 3],
                                             "body.0.block1.weight": [320, 320, 3, 3]}),
                ("controlnet", "compvis", {"control_model.input_blocks.0.0.weight": [320, 4, 3, 3],
                                           "control_model.input_hint_block.0.weight": [16, 3, 3, 3]}),
                ("controlnet", "diffusers", {"conv_in.weight": conv, "down_blocks.0.resnets.0.conv1.weight": [9],
                                             "time_embedding.linear_1.weight": [1280, 320],
                                             "controlnet_cond_embedding.conv_in.weight": [16, 3, 3, 3]}),
                ("textual-inversion", "original", {"emb_params": [2, 768]}),
                ("textual-inversion", "diffusers", {"<cat-toy>": [768]}),
                ("vae", "compvis", {"decoder.conv_in.weight": [512, 4, 3, 3],
                                    "decoder.mid.block_1.norm1.weight": [512]}),
                ("clip-text", "openclip", {"token_embedding.weight": [49408, 1024],
                                           "transformer.resblocks.0.ln_1.weight": [1024]}),
                ("unknown", "unknown", {"linear.weight": [3, 3]})]:
            with self.subTest(family=family, naming=naming):
                says = self.inspect_names({name: ("F16", shape) for name, shape in tensors.items()})
                self.assertEqual((says["family"], says["naming"]), (family, naming))
                self.assertTrue(says["advice"])

    def test_table_says_the_same(self):
        text = self.run_well("inspect", DEMO).stdout
        for word in ("sd1", "diffusers", "unet", "8,765,028", "F16"):
            self.assertIn(word, text)

    def test_bad_files(self):
        self.refuses("inspect", "nowhere", says="nowhere")
        self.refuses("inspect", says="path")
        (self.folder / "empty").mkdir()
        self.refuses("inspect", "empty", says="empty")
        (self.folder / "text.safetensors").write_text("no tensors at all")
        self.refuses("inspect", "text.safetensors", says="text.safetensors")
        (self.folder / "pointer.safetensors").write_text("version https://git-lfs.github.com/spec/v1\nsize 1\n")
        self.refuses("inspect", "pointer.safetensors", says="Git LFS")


class Layouts(InspectTest):
    """The same weights in another layout draw the same picture."""

    def setUp(self):
        super().setUp()
        self.expected = self.picture(DEMO)

    def picture(self, model, *options, **more):
        self.run_well("generate", "--model", model, *RUN, *options, "--out", "p.png", **more)
        pixels = read_png(self.folder / "p.png")[2]
        (self.folder / "p.png").unlink()
        return pixels

    def same(self, drawn, expected):
        self.assertTrue(drawn == expected, "another picture")

    def test_single_file(self):
        tensors, sizes = demo_in_compvis()
        write_safetensors(self.folder / "demo.safetensors", tensors)
        self.refuses("generate", "--model", "demo.safetensors", *RUN, says="--tokenizer")
        (self.folder / "demo.json").write_text(json.dumps(sizes))
        self.same(self.picture("demo.safetensors", "--tokenizer", DEMO / "tokenizer"), self.expected)
        environment = dict(os.environ, CUTAWAY_TOKENIZER=str(DEMO / "tokenizer"))
        self.same(self.picture("demo.safetensors", env=environment), self.expected)
        (self.folder / "tokenizer").symlink_to(DEMO / "tokenizer")
        self.same(self.picture("demo.safetensors"), self.expected)

    def test_single_file_with_ema_and_sizes_in_its_metadata(self):
        tensors, sizes = demo_in_compvis()
        for name in [name for name in tensors if name.startswith("model.diffusion_model.")]:
            dtype, shape, raw = tensors[name]
            tensors["model_ema." + name[len("model."):].replace(".", "")] = (dtype, shape, bytes(len(raw)))
        tensors["betas"] = ("F32", [4], bytes(16))
        tensors["cond_stage_model.transformer.text_model.embeddings.position_ids"] = ("I64", [1, 24], bytes(192))
        for name in ("cond_stage_model.logit_scale", "cond_stage_model.transformer.text_projection.weight",
                     "cond_stage_model.transformer.vision_model.post_layernorm.weight", "alphas_cumprod",
                     "first_stage_model.loss.logvar", "first_stage_model.model_ema.decay", "model_ema.num_updates"):
            tensors[name] = ("F32", [4], bytes(16))
        write_safetensors(self.folder / "demo.safetensors", tensors, {"cutaway.config": json.dumps(sizes)})
        self.same(self.picture("demo.safetensors", "--tokenizer", DEMO / "tokenizer"), self.expected)

    def test_inpainting_model_there_and_back(self):
        """Its UNet takes five channels more."""
        model = self.copy_of_demo()
        tensors = read_safetensors(model / UNET)[0]
        dtype, shape, raw = tensors["conv_in.weight"]
        row = 4 * 9 * 2  # bytes of the four channels for one output
        wide = b"".join(raw[at:at + row] + bytes(row * 5 // 4) for at in range(0, len(raw), row))
        tensors["conv_in.weight"] = (dtype, [shape[0], 9, 3, 3], wide)
        write_safetensors(model / UNET, tensors)
        self.refuses("convert", model, "--out", "new", says="inpainting")  # config.json still says 4
        config = json.loads((model / "unet/config.json").read_text())
        (model / "unet/config.json").write_text(json.dumps(dict(config, in_channels=9)))
        self.run_well("convert", model, "--out", "wide.safetensors")
        self.assertEqual(self.inspect("wide.safetensors")["family"], "sd1-inpainting")
        self.run_well("convert", "wide.safetensors", "--out", "back")
        self.assertTrue(read_safetensors(self.folder / "back" / UNET)[0] == tensors)

    def test_linear_projections_there_and_back(self):
        """As SD 2.x writes its UNet: proj_in and proj_out are matrices [C, C], and config.json says so."""
        model = self.copy_of_demo()
        tensors = read_safetensors(model / UNET)[0]
        for name, (dtype, shape, raw) in tensors.items():
            if ".proj_in.weight" in name or ".proj_out.weight" in name:
                self.assertEqual(shape[2:], [1, 1])
                tensors[name] = (dtype, shape[:2], raw)
        write_safetensors(model / UNET, tensors)
        config = dict(json.loads((model / "unet/config.json").read_text()), use_linear_projection=True)
        (model / "unet/config.json").write_text(json.dumps(config))
        self.same(self.picture(model), self.expected)
        self.run_well("convert", model, "--out", "back")
        self.assertTrue(read_safetensors(self.folder / "back" / UNET)[0] == tensors)
        self.assertEqual(json.loads((self.folder / "back/unet/config.json").read_text()), config)
        for out, read in (("one.safetensors", lambda path: read_safetensors(path)[0]), ("one.gguf", formats.read_gguf)):
            self.run_well("convert", model, "--out", out)
            for name, (_, shape, _) in read(self.folder / out).items():
                if "diffusion_model" in name and (name.endswith(".proj_in.weight") or name.endswith(".proj_out.weight")):
                    self.assertEqual(len(shape), 2, name)

    def test_single_file_that_does_not_fit(self):
        tensors, sizes = demo_in_compvis()
        (self.folder / "demo.json").write_text(json.dumps(sizes))
        name = "model.diffusion_model.middle_block.0.in_layers.2.weight"
        for change in ("missing", "renamed"):
            broken = dict(tensors)
            weight = broken.pop(name)
            if change == "renamed":
                broken[name + "s"] = weight
            write_safetensors(self.folder / "demo.safetensors", broken)
            self.refuses("generate", "--model", "demo.safetensors", *RUN, "--tokenizer", DEMO / "tokenizer",
                         says=("demo.safetensors", "1 missing"))
        for part in ("first_stage_model", "cond_stage_model"):
            write_safetensors(self.folder / "demo.safetensors",
                              {name: tensor for name, tensor in tensors.items() if not name.startswith(part)})
            self.refuses("generate", "--model", "demo.safetensors", *RUN, "--tokenizer", DEMO / "tokenizer",
                         says="part")
        self.refuses("generate", "--model", DEMO / VAE, *RUN, says="vae")

    def shard(self, model, stem="diffusion_pytorch_model"):
        """Replaces the UNet's file by three shards and their list."""
        tensors = read_safetensors(model / UNET)[0]
        (model / UNET).unlink()
        shards = [{}, {}, {}]
        for i, (name, tensor) in enumerate(tensors.items()):
            shards[i * 3 // len(tensors)][name] = tensor
        names = {}
        for i, shard in enumerate(shards):
            file = f"{stem}-0000{i + 1}-of-00003.safetensors"
            write_safetensors(model / "unet" / file, shard)
            names.update({name: file for name in shard})
        index = model / "unet" / f"{stem.split('.')[0]}.safetensors.index{stem[len(stem.split('.')[0]):]}.json"
        index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": names}))
        return index, names

    def test_shards(self):
        model = self.copy_of_demo()
        index, _ = self.shard(model)
        self.same(self.picture(model), self.expected)
        self.assertEqual(self.inspect(model)["files"], 5)
        self.assertEqual(self.inspect(index)["parts"]["unet"]["parameters"], 8765028)

    def test_hostile_lists_of_shards(self):
        model = self.copy_of_demo()
        index, names = self.shard(model)
        good, first = index.read_text(), sorted(names)[0]
        outside = self.folder / "outside.safetensors"
        outside.write_bytes((model / "unet" / names[first]).read_bytes())
        (model / "unet/link.safetensors").symlink_to(outside)
        for shard in ("../../outside.safetensors", str(outside), "link.safetensors", "missing.safetensors", "", ".",
                      "..", "diffusion_pytorch_model-00003-of-00003.safetensors", 7, None):
            changed = json.loads(good)
            changed["weight_map"][first] = shard
            index.write_text(json.dumps(changed))
            with self.subTest(shard=shard):
                self.refuses("generate", "--model", model, *RUN, says="index.json")
        for text in ("[]", "{}", '{"weight_map": []}', '{"weight_map": {}}', "{",
                     '{"weight_map": {"a": "b", "a": "c"}}'):
            index.write_text(text)
            with self.subTest(text=text):
                self.refuses("inspect", index, says="index.json")

    def test_variants(self):
        model = self.copy_of_demo("fp16")
        for path in (UNET, VAE, TEXT):
            (model / path).rename(model / path.replace(".safetensors", ".fp16.safetensors"))
        self.same(self.picture(model), self.expected)
        self.same(self.picture(model, "--variant", "fp16"), self.expected)
        self.refuses("generate", "--model", model, *RUN, "--variant", "bf16", says=("bf16", "fp16"))
        model = self.copy_of_demo("sharded")
        self.shard(model, "diffusion_pytorch_model.fp16")
        self.same(self.picture(model), self.expected)

    def test_checkpoints_of_pytorch(self):
        tensors, sizes = demo_in_compvis()
        (self.folder / "demo.json").write_text(json.dumps(sizes))
        state = formats.as_torch(tensors)
        for name, write in [
                ("demo.ckpt", lambda path: formats.write_torch(path, {"state_dict": state, "lr": 1e-4,
                                                                      "notes": [None, True, (1, "a")],
                                                                      **formats.notes_of_a_training()})),
                ("demo.pt", lambda path: formats.write_torch(path, state, 4, "demo")),
                ("demo.pth", lambda path: formats.write_torch_legacy(path, {**formats.notes_of_a_training(),
                                                                                        "state_dict": state}))]:
            with self.subTest(name):
                write(self.folder / name)
                says = self.inspect(name)
                self.assertEqual((says["family"], says["naming"], says["format"]), ("sd1", "compvis", "pickle"))
                self.assertEqual(says["parts"]["unet"]["parameters"], 8765028)
                self.same(self.picture(name, "--tokenizer", DEMO / "tokenizer"), self.expected)

    def test_folder_with_bin_files(self):
        model = self.copy_of_demo()
        for path in (UNET, VAE, TEXT):
            tensors = read_safetensors(model / path)[0]
            (model / path).unlink()
            name = "pytorch_model.bin" if path == TEXT else "diffusion_pytorch_model.bin"
            formats.write_torch((model / path).parent / name, formats.as_torch(tensors))
        self.assertEqual(self.inspect(model)["format"], "pickle")
        self.same(self.picture(model), self.expected)

    def test_gguf(self):
        tensors, sizes = demo_in_compvis()
        (self.folder / "demo.json").write_text(json.dumps(sizes))
        formats.write_gguf(self.folder / "demo.gguf", tensors)
        says = self.inspect("demo.gguf")
        self.assertEqual((says["family"], says["format"], says["dtypes"]), ("sd1", "gguf", ["F16"]))
        self.same(self.picture("demo.gguf", "--tokenizer", DEMO / "tokenizer"), self.expected)

    def test_gguf_with_q8_0(self):
        """Exactly the numbers that the blocks stand for: the same file with them written out draws the same."""
        tensors, sizes = demo_in_compvis()
        (self.folder / "packed.json").write_text(json.dumps(sizes))
        (self.folder / "plain.json").write_text(json.dumps(sizes))
        packed, plain = dict(tensors), dict(tensors)
        for name in [name for name in tensors if re.search(r"output_blocks\.9.*(to_q|to_k|ff.*)\.weight", name)]:
            _, shape, raw = tensors[name]
            blocks = formats.q8_0(struct.unpack(f"<{len(raw) // 2}e", raw), 6)
            packed[name] = ("Q8_0", shape, blocks)
            values = []
            for at in range(0, len(blocks), 34):
                scale, *numbers = struct.unpack("<e32b", blocks[at:at + 34])
                values += [scale * number for number in numbers]
            plain[name] = ("F32", shape, struct.pack(f"<{len(values)}f", *values))
        formats.write_gguf(self.folder / "packed.gguf", packed)
        write_safetensors(self.folder / "plain.safetensors", plain)
        self.assertEqual(self.inspect("packed.gguf")["dtypes"], ["F16", "Q8_0"])
        drawn = self.picture("packed.gguf", "--tokenizer", DEMO / "tokenizer")
        self.same(drawn, self.picture("plain.safetensors", "--tokenizer", DEMO / "tokenizer"))
        self.assertTrue(drawn != self.expected, "packing so coarsely must change the picture")

    def test_convert_and_back(self):
        self.run_well("convert", DEMO, "--out", "demo.safetensors")
        says = self.inspect("demo.safetensors")
        self.assertEqual((says["family"], says["naming"], says["dtypes"]), ("sd1", "compvis", ["F16"]))
        self.same(self.picture("demo.safetensors", "--tokenizer", DEMO / "tokenizer"), self.expected)
        written, expected = read_safetensors(self.folder / "demo.safetensors")[0], demo_in_compvis()[0]
        self.assertTrue(written == expected, "names, shapes or bytes differ from CompVis'")
        for dtype in ("f32", "f16"):  # neither loses anything of f16
            self.run_well("convert", "demo.safetensors", "--out", dtype, "--dtype", dtype, "--tokenizer",
                          DEMO / "tokenizer")
            self.assertEqual(self.inspect(dtype)["dtypes"], [dtype.upper()])
            self.same(self.picture(dtype), self.expected)
        self.assertTrue(read_safetensors(self.folder / "f16" / UNET)[0] == read_safetensors(DEMO / UNET)[0])
        self.run_well("convert", DEMO, "--out", "bf16", "--dtype", "bf16")
        self.assertEqual(self.inspect("bf16")["dtypes"], ["BF16"])
        self.assertTrue(self.picture("bf16") != self.expected, "bf16 has fewer digits")

    def test_convert_to_gguf(self):
        self.run_well("convert", DEMO, "--out", "demo.gguf")
        says = self.inspect("demo.gguf")
        self.assertEqual((says["family"], says["naming"], says["format"]), ("sd1", "compvis", "gguf"))
        self.same(self.picture("demo.gguf", "--tokenizer", DEMO / "tokenizer"), self.expected)

    def test_convert_to_q8_0(self):
        self.run_well("convert", DEMO, "--out", "demo.gguf", "--dtype", "q8_0")
        dtypes = {name: dtype for name, (dtype, _, _) in formats.read_gguf(self.folder / "demo.gguf").items()}
        unet = "model.diffusion_model."
        for name, dtype in [("input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight", "Q8_0"),
                            ("input_blocks.1.1.transformer_blocks.0.ff.net.0.proj.weight", "Q8_0"),
                            ("input_blocks.1.0.emb_layers.1.weight", "Q8_0"), ("time_embed.0.weight", "F16"),
                            ("input_blocks.1.1.transformer_blocks.0.attn1.to_out.0.bias", "F16"),
                            ("input_blocks.1.1.norm.weight", "F16"), ("input_blocks.1.1.proj_in.weight", "F16"),
                            ("input_blocks.1.0.in_layers.2.weight", "F16")]:
            self.assertEqual(dtypes[unet + name], dtype, name)
        self.assertEqual(dtypes["first_stage_model.encoder.mid.attn_1.q.weight"], "F16")  # a 1x1 convolution there
        text = "cond_stage_model.transformer.text_model."
        self.assertEqual(dtypes[text + "embeddings.token_embedding.weight"], "F16")
        self.assertEqual(dtypes[text + "encoder.layers.0.mlp.fc1.weight"], "Q8_0")
        # Packed as ggml does it, bit by bit.
        name = unet + "input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight"
        raw = demo_in_compvis()[0][name][2]
        packed = formats.read_gguf(self.folder / "demo.gguf")[name][2]
        self.assertTrue(packed == formats.q8_0_by_ggml(struct.unpack(f"<{len(raw) // 2}e", raw)))
        # Nearly the same picture: bytes of 0 to 255.
        pictures = []
        for model in ("demo.gguf", DEMO):
            self.run_well("generate", "--model", model, "--tokenizer", DEMO / "tokenizer", *RUN[:4], "--steps", 10, "--out", "p.png")
            pictures.append(rgb_of_png(self.folder / "p.png"))
        differences = [abs(a - b) for a, b in zip(*pictures)]
        self.assertLess(sum(differences) / len(differences), 2)
        self.assertGreater(max(differences), 0)
        drawn = self.picture("demo.gguf", "--tokenizer", DEMO / "tokenizer")
        # Again, and back: nothing more is lost.
        self.run_well("convert", "demo.gguf", "--out", "again.gguf")
        self.assertTrue(formats.read_gguf(self.folder / "again.gguf") == formats.read_gguf(self.folder / "demo.gguf"))
        self.run_well("convert", "demo.gguf", "--out", "back", "--tokenizer", DEMO / "tokenizer")
        self.assertEqual(self.inspect("back")["dtypes"], ["F16", "F32"])
        self.same(self.picture("back"), drawn)
        self.refuses("convert", DEMO, "--out", "new", "--dtype", "q8_0", says=("q8_0", ".gguf"))
        self.refuses("convert", DEMO, "--out", "new.safetensors", "--dtype", "q8_0", says=("q8_0", ".gguf"))

    def test_convert_refuses(self):
        (self.folder / "full").mkdir()
        (self.folder / "full/file").write_text("mine")
        self.refuses("convert", DEMO, "--out", "full", says="not empty")
        self.refuses("convert", DEMO, "--out", "no/where", says="no")
        self.refuses("convert", DEMO, "--out", "/dev/full/x.safetensors", says="/dev/full")
        self.refuses("convert", "nowhere", "--out", "new", says="nowhere")
        self.refuses("convert", DEMO / "unet", "--out", "new", says="unet")
        self.refuses("convert", DEMO, "--out", "new", "--dtype", "f8", says="f8")
        self.refuses("convert", DEMO, "--out", "new", "--tokenizer", "full", says="full")
        model = self.copy_of_demo()
        tensors = read_safetensors(model / TEXT)[0]
        name = "text_model.final_layer_norm.bias"
        tensors[name] = ("F32", tensors[name][1], struct.pack("<f", 70000) * tensors[name][1][0])
        write_safetensors(model / TEXT, tensors)
        self.refuses("convert", model, "--out", "new", "--dtype", "f16", says=("too large for f16", name))
        self.refuses("convert", model, "--out", "new.safetensors", "--dtype", "f16", says="too large for f16")

    def test_older_names_of_the_vae(self):
        model = self.copy_of_demo()
        older = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
        tensors = {re.sub(r"(attentions\.0\.)(to_out\.0|to_.)", lambda m: m[1] + older[m[2]], name): tensor
                   for name, tensor in read_safetensors(model / VAE)[0].items()}
        write_safetensors(model / VAE, tensors)
        self.same(self.picture(model), self.expected)


if __name__ == "__main__":
    unittest.main()
