"""The figures in docs/figures are what the code gives; their boxes lead to the source; nothing overlaps."""
import json
import pathlib
import re
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree

from program import DEMO, PROGRAM, ROOT, SD15, boxes, json_of, text_of

FIGURES = ROOT / "docs/figures"
NAMES = ["attn_block", "clip_layer", "cross_attention", "down_block", "downsample", "feed_forward", "geglu", "mid_block", "resblock",
         "self_attention", "spatial_transformer", "stable_diffusion", "time_embedding", "transformer_block", "unet", "up_block",
         "upsample", "vae", "vae_decoder", "vae_encoder"]
SVG = "{http://www.w3.org/2000/svg}"


def read(name):
    return ElementTree.parse(FIGURES / f"{name}.svg").getroot()


def links(figure):
    """(what the place declares, layer path, href) of each box, in the order they are drawn."""
    for element in figure.iter():
        if "data-name" in element.attrib:
            yield element.get("data-name"), element.get("data-path"), element.get("href")


def number(element, name):
    return float(element.get(name))


class Figures(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = json_of(*SD15)
        cls.boxes = {box["path"]: box for box in boxes(cls.model)}

    def test_all_are_committed(self):
        self.assertEqual(sorted(file.stem for file in FIGURES.glob("*.svg")), NAMES)

    def test_they_are_what_the_code_gives(self):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([ROOT / "tools/make_figures", PROGRAM, folder], check=True, timeout=250)
            for name in NAMES:
                drawn = pathlib.Path(folder, name + ".svg").read_text(encoding="utf-8")
                committed = (FIGURES / f"{name}.svg").read_text(encoding="utf-8")
                self.assertTrue(drawn == committed, f"docs/figures/{name}.svg is not what the code gives: run tools/make_figures")

    def test_figures_that_are_no_box(self):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([ROOT / "tools/make_page_figures", PROGRAM, folder], check=True, timeout=250)
            for name in ["unet/two_unets", "diffusion"]:
                drawn = pathlib.Path(folder, name + ".svg").read_text(encoding="utf-8")
                committed = (ROOT / f"docs/{name}.svg").read_text(encoding="utf-8")
                if name == "diffusion":  # its pixels come from a run, whose last bits differ between compilers
                    drawn, committed = (re.sub(r'stroke="#\w+"', "", text) for text in (drawn, committed))
                self.assertTrue(drawn == committed, f"docs/{name}.svg is not what tools/make_page_figures draws")

    def test_links_lead_to_declarations(self):
        for name in NAMES:
            found = list(links(read(name)))
            drawn = {path for _, path, _ in found}
            for child in (self.boxes[found[0][1]] if found[0][1] else self.model)["children"]:
                if child["path"] != "vae":  # of the whole, its two halves are drawn
                    self.assertIn(child["path"], drawn, name)
            for declared, path, href in found:
                with self.subTest(figure=name, box=path or declared):
                    self.assertIsNotNone(href)
                    file, line = re.fullmatch(r"(.*)#L(\d+)", href).groups()
                    text = (FIGURES / file).resolve().read_text(encoding="utf-8").splitlines()[int(line) - 1]
                    self.assertRegex(text, r"^(struct %s\b.*\{|Tensor %s\()" % (declared, declared))
                    if path:
                        self.assertEqual(declared, self.boxes[path]["type"])

    def test_parameters_are_those_of_the_checkpoint(self):
        for part, root in (("unet", "unet"), ("vae", "vae"), ("clip_text", "text_encoder")):
            stored = json.loads((ROOT / f"tests/reference/names/sd15_{part}.json").read_text())
            self.assertEqual(self.boxes[root]["parameters"], stored["parameters"])
            sizes = {}
            for name, shape, kind in stored["tensors"]:
                if not kind.startswith("float"):
                    continue  # a buffer 0, 1, 2, ... that is no parameter
                count = 1
                for extent in shape:
                    count *= extent
                pieces = (root + "." + name).split(".")
                for end in range(1, len(pieces)):
                    path = ".".join(pieces[:end])
                    sizes[path] = sizes.get(path, 0) + count
            for path, box in self.boxes.items():
                if path == root or path.startswith(root + "."):
                    self.assertEqual(box["parameters"], sizes[path], path)

    def test_the_u(self):
        """2 ResBlocks and 2 Transformers on the way down, 3 and 3 up, none in d4 and u1."""
        def types(path):
            return [child["type"] for child in self.boxes[path]["children"]]

        pair = ["ResBlock", "SpatialTransformer"]
        down = [pair * 2 + ["Downsample"]] * 3 + [["ResBlock"] * 2]
        up = [["ResBlock"] * 3 + ["Upsample"]] + [pair * 3 + ["Upsample"]] * 2 + [pair * 3]
        for i in range(4):
            self.assertEqual(types(f"unet.down_blocks.{i}"), down[i])
            self.assertEqual(types(f"unet.up_blocks.{i}"), up[i])
        drawn = [path for _, path, _ in links(read("unet"))]
        for path in self.boxes:
            if re.fullmatch(r"unet\.(down_blocks|up_blocks|mid_block)(\.\d+)?(\.(resnets|attentions|\w+samplers)\.\d+)?", path):
                self.assertIn(path, drawn)
        words = [text.text for text in read("unet").iter(SVG + "text")]
        for word in ["d1", "d2", "d3", "d4", "m", "u1", "u2", "u3", "u4"] + [f"skip {i}" for i in range(12)]:
            self.assertEqual(words.count(word), 1, word)

    def test_shapes(self):
        for path, shape in (("unet.down_blocks.0", [1, 320, 32, 32]), ("unet.mid_block", [1, 1280, 8, 8]),
                            ("unet.up_blocks.3", [1, 320, 64, 64]), ("unet", [1, 4, 64, 64]),
                            ("vae.decoder.up_blocks.1", [1, 512, 256, 256]), ("vae.encoder", [1, 8, 64, 64]),
                            ("text_encoder", [1, 77, 768])):
            self.assertEqual(self.boxes[path]["output"], shape, path)

    def test_order_inside_boxes(self):
        def steps(name):
            found = [path.rsplit(".", 1)[-1] if path else declared for declared, path, _ in links(read(name))]
            return found[1:]  # the heading is first

        self.assertEqual(steps("resblock"), ["norm1", "silu", "conv1", "silu", "time_emb_proj", "add_per_channel", "norm2",
                                             "silu", "conv2", "conv_shortcut", "add"])
        self.assertEqual(steps("transformer_block"),
                         ["norm1", "attn1", "add", "norm2", "attn2", "add", "norm3", "ff", "add"])
        heads = ["to_q", "split_heads", "to_k", "split_heads", "to_v", "split_heads", "attention", "merge_heads", "0"]
        self.assertEqual(steps("self_attention"), heads)
        self.assertEqual(steps("cross_attention"), heads)

    def test_who_is_asked(self):
        """Self-attention has one input, cross-attention two."""
        for name, prompts in (("self_attention", 0), ("cross_attention", 1), ("down_block", 1), ("transformer_block", 1)):
            words = [text.text for text in read(name).iter(SVG + "text")]
            self.assertEqual(words.count("prompt"), prompts, name)
        words = [text.text for text in read("self_attention").iter(SVG + "text")]
        self.assertIn("table of weights 8×1024×1024 · 2.68 GFLOP", words)
        self.assertIn("Self-attention", words)
        self.assertIn("Cross-attention", [text.text for text in read("cross_attention").iter(SVG + "text")])
        block = [text.text for text in read("transformer_block").iter(SVG + "text")]
        self.assertLess(block.index("Self-attention"), block.index("Cross-attention"))

    def test_the_whole_has_all_stations(self):
        words = [text.text for text in read("stable_diffusion").iter(SVG + "text")]
        for station in ["prompt", "tokenizer", "text encoder", "UNet", "guidance", "sampler", "VAE decoder", "picture"]:
            self.assertIn(station, words)

    def check_layout(self, figure, name):
        width, height = (float(part) for part in figure.get("viewBox").split()[2:])
        self.assertIsNone(figure.get("width"), "no fixed size")
        rects = [r for r in figure.iter(SVG + "rect") if r.get("class") not in ("paper", "level")]
        places = [(number(r, "x"), number(r, "y"), number(r, "x") + number(r, "width"), number(r, "y") + number(r, "height"))
                  for r in rects]
        for x, y, right, bottom in places:
            self.assertTrue(0 <= x < right <= width and 0 <= y < bottom <= height, f"{name}: a box outside")
        for i, a in enumerate(places):
            for k, b in enumerate(places[:i]):
                inside = any(p[0] <= q[0] and p[1] <= q[1] and p[2] >= q[2] and p[3] >= q[3] for p, q in ((a, b), (b, a)))
                apart = a[2] <= b[0] + 0.11 or b[2] <= a[0] + 0.11 or a[3] <= b[1] + 0.11 or b[3] <= a[1] + 0.11
                self.assertTrue(apart or inside, f"{name}: boxes {a} and {b} overlap")
        for text in figure.iter(SVG + "text"):
            self.assertGreaterEqual(number(text, "font-size") * 380 / width, 10.6, f"{name}: {text.text} is small on a phone")

    def test_layout(self):
        for name in NAMES:
            self.check_layout(read(name), name)

    def test_layout_of_every_kind_of_box(self):
        seen = set()
        model = json_of(*DEMO)
        for box in boxes(model):
            kind = (box["type"], tuple(child["type"] for child in box["children"]))
            if not box["children"] or kind in seen:
                continue
            seen.add(kind)
            figure = text_of(*DEMO, "--as", "svg", *(("--box", box["path"]) if box["path"] else ()))
            self.check_layout(ElementTree.fromstring(figure), box["path"])
        self.assertGreater(len(seen), 15)


if __name__ == "__main__":
    unittest.main()
