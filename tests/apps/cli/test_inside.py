"""trace, compare and --edit: a run opened while it runs."""
import json
import math
import struct
import unittest

from program import DEMO, ProgramTest, change_weight, read_png, read_safetensors, write_png

RUN = ("--prompt", "a cat", "--seed", 3, "--steps", 2)


class Trace(ProgramTest):
    def test_table_and_file_agree(self):
        result = self.run_well("trace", "--model", DEMO, *RUN, "--layers", "unet.mid_block.*", "--at", "step_01", "--out",
                               "t.safetensors", "--as", "json")
        layers = json.loads(result.stdout)["layers"]
        tensors, metadata = read_safetensors(self.folder / "t.safetensors")
        self.assertEqual((metadata["prompt"], metadata["seed"], metadata["steps"]), ("a cat", "3", "2"))
        self.assertGreater(len(layers), 20)
        for layer in layers:
            self.assertTrue(layer["path"].startswith("unet.mid_block."))
            self.assertEqual(layer["call"], "step_01")
            dtype, shape, data = tensors[f"step_01/trace/{layer['path']}"]
            self.assertEqual((dtype, shape), ("F32", layer["shape"]))
            values = struct.unpack(f"<{len(data) // 4}f", data)
            self.assertAlmostEqual(sum(values) / len(values), layer["mean"], places=5)
            self.assertEqual((min(values), max(values), 0), (layer["min"], layer["max"], layer["nan"]))
        convolution = next(l for l in layers if l["path"] == "unet.mid_block.resnets.0.conv1")
        n, c, h, w = convolution["shape"]
        self.assertEqual(convolution["flop"], 2 * n * c * h * w * c * 9)

    def test_prints_a_line_for_each_call_and_all_layers_on_request(self):
        run = ["trace", "--model", DEMO, *RUN]
        layers = json.loads(self.run_well(*run, "--as", "json").stdout)["layers"]
        head, *calls, last = [line.split() for line in self.run_well(*run).stdout.splitlines()]
        self.assertEqual(head, ["call", "layers", "values", "ms", "largest", "NaN", "in"])
        self.assertEqual([call[0] for call in calls], list(dict.fromkeys(layer["call"] for layer in layers)))
        self.assertEqual(sum(int(call[2]) for call in calls), len(layers))
        self.assertEqual(sum(int(call[1]) for call in calls), sum("seconds" in layer for layer in layers))
        for call in calls:
            of_call = [layer for layer in layers if layer["call"] == call[0]]
            largest = max(of_call, key=lambda layer: max(abs(layer["min"]), abs(layer["max"])))
            self.assertAlmostEqual(float(call[4]) / max(abs(largest["min"]), abs(largest["max"])), 1, places=3)
            self.assertEqual(call[5:], ["0", largest["path"]])
        self.assertIn(str(len(layers)), last)
        self.assertEqual(len(self.run_well(*run, "--all").stdout.splitlines()), 1 + len(layers))
        self.assertEqual(len(self.run_well(*run, "--layers", "unet.conv_in").stdout.splitlines()), 3)

    def test_the_summary_names_the_first_layer_with_a_nan(self):
        model = self.copy_of_demo()
        change_weight(model / "unet/diffusion_pytorch_model.safetensors", "mid_block.resnets.0.conv1.weight", 0, lambda _: math.nan)
        printed = self.run_well("trace", "--model", model, *RUN).stdout
        lines = {line.split()[0]: line.split() for line in printed.splitlines()}
        self.assertEqual(lines["prompt"][5], "0")
        self.assertGreater(int(lines["step_00"][5]), 0)
        self.assertEqual(lines["step_00"][6], "unet.mid_block.resnets.0.conv1")

    def test_attention_tables_only_when_asked_for(self):
        self.run_well("trace", "--model", DEMO, *RUN, "--at", "step_00", "--out", "all.safetensors")
        self.assertFalse([n for n in read_safetensors(self.folder / "all.safetensors")[0] if n.endswith("probs")])
        self.run_well("trace", "--model", DEMO, *RUN, "--layers", "*.attn2.probs", "--at", "step_00", "--out",
                      "p.safetensors")
        tables = {n: t for n, t in read_safetensors(self.folder / "p.safetensors")[0].items() if n.endswith("probs")}
        self.assertGreater(len(tables), 3)
        for name, (_, shape, data) in tables.items():
            values = struct.unpack(f"<{len(data) // 4}f", data)
            self.assertAlmostEqual(sum(values[:shape[-1]]), 1, places=4, msg=name)

    def test_npy_files(self):
        self.run_well("trace", "--model", DEMO, *RUN, "--layers", "unet.conv_in", "--at", "step_00", "--npy", "n")
        data = (self.folder / "n/step_00.trace.unet.conv_in.npy").read_bytes()
        self.assertEqual(data[:6], b"\x93NUMPY")

    def test_several_prompts_are_a_trace_each(self):
        few = ("--seed", 4, "--steps", 1, "--layers", "unet.conv_in", "--layers", "unet.down_blocks.0.attentions.0")
        result = self.run_well("trace", "--model", DEMO, "--prompt", "a cat", "--prompt", "a red car", *few, "--out",
                               "t.safetensors", "--manifest", "--as", "json")
        self.assertEqual([run["run"]["prompt"] for run in json.loads(result.stdout)], ["a cat", "a red car"])
        self.assertEqual(self.files(), ["manifest.json", "t-1.safetensors", "t-2.safetensors"])
        self.run_well("trace", "--model", DEMO, "--prompt", "a red car", *few, "--out", "alone.safetensors")
        self.assertEqual((self.folder / "t-2.safetensors").read_bytes(), (self.folder / "alone.safetensors").read_bytes())
        self.run_well("compare", "t-1.safetensors", "--model", DEMO)
        self.assertIn("2 passed", self.run_well("verify", ".").stdout)
        # The same noise enters; the first layer that sees the prompt is the first that differs.
        result = self.run_program("compare", "t-1.safetensors", "t-2.safetensors", "--as", "json")
        self.assertEqual(json.loads(result.stdout)["first_diverging"], "unet.down_blocks.0.attentions.0")

    def test_trace_is_a_reference_for_verify(self):
        model = self.copy_of_demo()
        (self.folder / "pinned").mkdir()
        self.run_well("trace", "--model", model, *RUN, "--at", "step_01", "--out", "pinned/run.safetensors", "--manifest")
        self.assertIn("1 passed, 0 failed", self.run_well("verify", "pinned", "--backend", "ref").stdout)
        change_weight(model / "unet/diffusion_pytorch_model.safetensors", "mid_block.resnets.1.conv1.weight", 7,
                      lambda old: old + 0.5)
        result = self.run_program("verify", "pinned")
        self.assertEqual(result.returncode, 1)
        self.assertIn("step_01/trace/unet.mid_block.resnets.1.conv1", result.stdout)

    def test_refusals(self):
        self.refuses("trace", "--model", DEMO, *RUN, "--layers", "unet.nothing", says="--layers")
        self.refuses("trace", "--model", DEMO, *RUN, "--manifest", says="--out")
        self.refuses("trace", "--model", DEMO, says="--prompt")
        self.refuses("trace", "--model", DEMO, "--network", "unet", says="--inputs")
        self.refuses("trace", "--model", DEMO, *RUN, "--mask", "mask.png", says="--init-image")
        self.refuses("trace", "--model", DEMO, "--network", "unet", "--inputs", "i.safetensors", "--init-image", "i.png",
                     says="--network")


class Compare(ProgramTest):
    def setUp(self):
        super().setUp()
        self.run_well("trace", "--model", DEMO, *RUN, "--out", "t.safetensors")

    def compare(self, *arguments, code):
        result = self.run_program("compare", "t.safetensors", *arguments, "--as", "json")
        self.assertEqual(result.returncode, code, result.stderr)
        return json.loads(result.stdout)

    def test_equal(self):
        verdict = self.compare(code=0)
        self.assertIsNone(verdict["first_diverging"])
        self.assertEqual(verdict["wrong_layers"], [])
        self.assertGreater(verdict["compared"], 1000)
        self.assertEqual(verdict["tolerance"], "exact")
        self.compare("--backend", "ref", code=0)  # other rounding: within the tolerance

    def test_what_did_not_run_is_told(self):
        self.assertEqual(self.compare(code=0)["not_run"], ["vae.encoder", "vae.quant_conv"])
        self.assertIn("not run, so not compared: vae.encoder, vae.quant_conv (a picture to start from runs the encoder: "
                      "--init-image)\n", self.run_well("compare", "t.safetensors").stdout)
        self.assertEqual(self.compare("t.safetensors", code=0)["not_run"], [])  # of two files nothing is known

    def test_layers_that_the_reference_does_not_have_are_counted(self):
        self.assertEqual(self.compare(code=0)["not_recorded"], 0)
        self.run_well("trace", "--model", DEMO, *RUN, "--layers", "unet.conv_in", "--out", "t.safetensors")
        self.assertGreater(self.compare(code=0)["not_recorded"], 500)
        self.assertIn(" layers ran of which the reference holds nothing\n", self.run_well("compare", "t.safetensors").stdout)

    def test_run_from_a_picture(self):
        write_png(self.folder / "start.png", 64, 64, lambda x, y: (255, 4 * y, 2 * x))
        write_png(self.folder / "mask.png", 64, 64, lambda x, y: (255,) * 3 if x < 32 else (0,) * 3)
        start = ("--init-image", "start.png")
        for arguments, strength in ((start, 0.8), ((*start, "--strength", 0.55), 0.55), ((*start, "--mask", "mask.png"), 1)):
            with self.subTest(arguments):
                self.run_well("trace", "--model", DEMO, *RUN, *arguments, "--out", "t.safetensors")
                tensors, metadata = read_safetensors(self.folder / "t.safetensors")
                self.assertEqual(tensors["encode/trace/vae.encoder:in"], tensors["run/in/image"])
                self.assertEqual((tensors["run/in/image"][1], float(metadata["strength"])), ([1, 3, 64, 64], strength))
                self.assertEqual("run/in/mask" in tensors, "--mask" in arguments)
                self.run_well("generate", "--model", DEMO, *RUN, *arguments, "--quiet", "--save-latents", "l.safetensors",
                              "--out", "p.png")
                self.assertEqual(read_safetensors(self.folder / "l.safetensors")[0]["latents"], tensors["run/out/latent"])
        self.run_well("trace", "--model", DEMO, *RUN, *start, "--mask", "mask.png", "--strength", 0.9, "--out",
                      "t.safetensors")
        for picture in ("start.png", "mask.png"):
            (self.folder / picture).unlink()
        for free in ((), ("--free",)):
            verdict = self.compare(*free, code=0)
            self.assertEqual((verdict["not_run"], verdict["unmatched"]), ([], 0))
        model = self.copy_of_demo("wrong")
        change_weight(model / "vae/diffusion_pytorch_model.safetensors", "encoder.mid_block.attentions.0.to_v.weight", 3,
                      lambda old: old + 0.25)
        self.assertEqual(self.compare("--model", model, code=1)["wrong_layers"],
                         ["vae.encoder.mid_block.attentions.0.to_v"])

    def test_one_wrong_weight_is_found(self):
        for part, name in [("unet/diffusion_pytorch_model", "down_blocks.1.resnets.0.conv2.weight"),
                           ("unet/diffusion_pytorch_model", "up_blocks.2.attentions.0.transformer_blocks.0.attn2.to_k.weight"),
                           ("unet/diffusion_pytorch_model", "time_embedding.linear_2.bias"),
                           ("vae/diffusion_pytorch_model", "decoder.mid_block.attentions.0.to_v.weight"),
                           ("text_encoder/model", "text_model.encoder.layers.0.mlp.fc1.weight")]:
            with self.subTest(name):
                model = self.copy_of_demo(name)
                change_weight(model / f"{part}.safetensors", name, 3, lambda old: old + 0.25)
                path = part.split("/")[0] + "." + name.rsplit(".", 1)[0]
                verdict = self.compare("--model", model, code=1)
                self.assertEqual((verdict["first_diverging"], verdict["wrong_layers"]), (path, [path]))
                free = self.compare("--model", model, "--free", code=1)
                self.assertEqual(free["first_diverging"], path)
                self.assertGreater(len(free["wrong_layers"]), 1)

    def test_two_wrong_layers_in_network_order(self):
        model = self.copy_of_demo()
        unet = model / "unet/diffusion_pytorch_model.safetensors"
        for name in ("up_blocks.1.resnets.1.norm1.weight", "down_blocks.0.resnets.1.conv1.bias"):
            change_weight(unet, name, 0, lambda old: old + 0.5)
        self.assertEqual(self.compare("--model", model, code=1)["wrong_layers"],
                         ["unet.down_blocks.0.resnets.1.conv1", "unet.up_blocks.1.resnets.1.norm1"])

    def test_two_traces(self):
        self.run_well("trace", "--model", DEMO, *RUN, "--edit", "unet.mid_block.resnets.0.conv2=scale:2", "--out",
                      "u.safetensors")
        verdict = self.compare("u.safetensors", code=1)
        self.assertEqual(verdict["first_diverging"], "unet.mid_block.resnets.0.conv2")
        self.assertIn("times as large", next(v["hint"] for v in verdict["values"] if not v["equal"]))
        self.assertEqual(self.compare("t.safetensors", code=0)["wrong_layers"], [])

    def test_recorded_edits_belong_to_the_run(self):
        self.run_well("trace", "--model", DEMO, *RUN, "--edit", "unet.*.attn2=zero", "--out", "t.safetensors")
        self.assertEqual(self.compare(code=0)["wrong_layers"], [])
        verdict = self.compare("--edit", "unet.mid_block.attentions.0.norm=scale:2", code=1)
        self.assertEqual(verdict["wrong_layers"], ["unet.mid_block.attentions.0.norm"])

    def test_values_without_counterpart_are_told(self):
        self.assertEqual(self.compare(code=0)["unmatched"], 0)
        path = self.folder / "t.safetensors"  # a layer that this model does not have
        path.write_bytes(path.read_bytes().replace(b"step_00/trace/unet.conv_in\"", b"step_00/trace/unet.conv_im\""))
        self.assertEqual(self.compare(code=0)["unmatched"], 1)
        self.assertIn("1 values of the reference have no counterpart here: step_00/trace/unet.conv_im\n",
                      self.run_well("compare", "t.safetensors").stdout)

    def test_one_call_of_one_network(self):
        tensors, _ = read_safetensors(self.folder / "t.safetensors")
        inputs = {"sample": tensors["step_00/trace/unet:in"], "encoder_hidden_states": tensors["step_00/trace/unet:in1"],
                  "timestep": ("F32", [1], struct.pack("<f", 501))}
        header, data = {}, b""
        for name, (dtype, shape, raw) in inputs.items():
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
            data += raw
        text = json.dumps(header).encode()
        (self.folder / "in.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
        self.run_well("trace", "--model", DEMO, "--network", "unet", "--inputs", "in.safetensors", "--out",
                      "c.safetensors")
        result = self.run_well("compare", "c.safetensors", "--as", "json")
        self.assertGreater(json.loads(result.stdout)["compared"], 300)

    def test_not_comparable(self):
        self.refuses("compare", "nothing.safetensors", says="nothing.safetensors")
        self.refuses("compare", DEMO / "vae/diffusion_pytorch_model.safetensors", "--model", DEMO, says="prompt")
        self.refuses("compare", "t.safetensors", "--model", "nowhere", says="nowhere")


class Shadow(ProgramTest):
    def test_every_operation_is_compared_and_close(self):
        lines = self.run_well("generate", "--model", DEMO, *RUN, "--backend", "shadow", "--out", "p.png").stderr
        table = lines[lines.index("fast beside ref"):lines.index("the layers furthest off")].splitlines()[2:]
        rows = {line.split()[0]: line.split() for line in table}
        for operation in ("conv2d", "linear", "group_norm", "layer_norm", "attention", "silu", "geglu", "concat", "embedding",
                          "timestep_embedding", "upsample_nearest"):
            self.assertIn(operation, rows)
        for name, row in rows.items():
            self.assertLess(float(row[3]), 1e-5, name)
        self.assertGreater(float(rows["conv2d"][2]), 0)
        self.assertEqual(int(rows["geglu"][1]), 2 * 16)
        self.run_well("generate", "--model", DEMO, *RUN, "--out", "q.png", "--backend", "fast")
        self.assertEqual(read_png(self.folder / "p.png")[2], read_png(self.folder / "q.png")[2])


class Edits(ProgramTest):
    def picture(self, *edits):
        arguments = [part for edit in edits for part in ("--edit", edit)]
        self.run_well("generate", "--model", DEMO, *RUN, *arguments, "--quiet", "--out", "p.png")
        return read_png(self.folder / "p.png")[2]

    def test_each_changes_the_picture(self):
        pictures = [self.picture()]
        for edit in ("unet.skips.0=zero", "unet.skips.*=zero", "unet.*.attn1=zero", "unet.*.attn2=zero",
                     "unet.*.time_emb_proj=zero", "unet.mid_block=identity", "unet.conv_in=scale:0.9@0",
                     "unet.mid_block.resnets.0=scale:0.5", "text_encoder*.mlp=zero", "vae.decoder.mid_block=identity"):
            with self.subTest(edit):
                picture = self.picture(edit)
                self.assertFalse(picture in pictures, "the picture is one that was there before")
                pictures.append(picture)
        self.assertEqual(self.picture("unet.mid_block=scale:1"), pictures[0])

    def test_reaches_exactly_what_it_names(self):
        self.run_well("trace", "--model", DEMO, *RUN, "--out", "t.safetensors")
        verdict = json.loads(self.run_program("compare", "t.safetensors", "--as", "json", "--edit",
                                              "unet.*.attn2=scale:0.5@1").stdout)
        self.assertGreater(len(verdict["wrong_layers"]), 3)
        for layer in verdict["wrong_layers"]:
            self.assertTrue(layer.endswith(".attn2"), layer)
        for value in verdict["values"]:
            self.assertTrue(value["name"].startswith("step_01/"), value["name"])

    def test_every_value_of_a_trace_has_a_path_for_edits(self):
        result = self.run_well("trace", "--model", DEMO, *RUN, "--as", "json")
        paths = sorted({layer["path"] for layer in json.loads(result.stdout)["layers"]})
        self.assertIn("unet.time_proj", paths)
        self.assertIn("unet.skips.11", paths)
        self.picture(*(f"{path}=scale:1" for path in paths))

    def test_tensor_from_a_file(self):
        self.run_well("trace", "--model", DEMO, "--prompt", "a red car", "--seed", 4, "--steps", 2, "--layers",
                      "text_encoder", "--at", "prompt", "--out", "t.safetensors")
        name = "t.safetensors:prompt/trace/text_encoder"
        self.assertNotEqual(self.picture(f"text_encoder={name}"), self.picture())

    def test_refusals(self):
        for edit, says in [("unet.mid_block", "PATH="), ("unet.mid_block=none", "none"),
                           ("unet.nothing=zero", "no layer 'unet.nothing'"), ("unet.*.nothing=zero", "no layer"),
                           ("unet.md_block=zero", ("no layer 'unet.md_block'", "did you mean unet.mid_block?")),
                           ("unet.skips.12=zero", "no layer"), ("unet.mid_block=zero@7", "reached no layer"),
                           ("unet.mid_block=scale:x", "scale"), ("unet.mid_block=zero@3-1", "steps"),
                           ("unet.conv_in=identity", "unet.conv_in"), ("unet.conv_in=no.safetensors", "no.safetensors")]:
            with self.subTest(edit):
                self.refuses("generate", "--model", DEMO, *RUN, "--edit", edit, "--save-latents", "l.safetensors", says=says)


if __name__ == "__main__":
    unittest.main()
