"""`cutaway describe` as tree, table, JSON and dot, on the demo model; what it refuses."""
import pathlib
import re
import tempfile
import unittest

from program import DEMO, boxes, describe, json_of, text_of


class Numbers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = json_of(*DEMO)
        cls.boxes = {box["path"]: box for box in boxes(cls.model)}

    def test_a_dry_run_says_what_a_full_run_says(self):
        for pixels in ("64", "128", "192"):
            dry = json_of(*DEMO, "--pixels", pixels)
            real = json_of(*DEMO, "--pixels", pixels, "--timed")
            for one, other in zip(boxes(dry), boxes(real), strict=True):
                for key in ("path", "type", "parameters", "flops", "output"):
                    self.assertEqual(one[key], other[key], f"{key} of {one['path']} at {pixels} pixels")

    def test_sizes_do_change(self):
        larger = {box["path"]: box for box in boxes(json_of(*DEMO, "--pixels", "128"))}
        conv, attention = "unet.conv_in", "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1"
        self.assertEqual(larger[conv]["flops"], 4 * self.boxes[conv]["flops"])
        self.assertGreater(larger[attention]["flops"], 4 * self.boxes[attention]["flops"])
        self.assertEqual(larger["unet.time_embedding"]["flops"], self.boxes["unet.time_embedding"]["flops"])

    def test_work_by_hand(self):
        conv = self.boxes["unet.conv_in"]  # 4 -> 32 channels, 3x3, 16x16 pixels
        self.assertEqual(conv["flops"], 2 * 4 * 32 * 9 * 16 * 16)
        self.assertEqual(conv["parameters"], 4 * 32 * 9 + 32)
        self.assertEqual(conv["output"], [1, 32, 16, 16])
        attn = self.boxes["unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1"]  # 256 tokens, 32 wide
        self.assertEqual(attn["flops"], 4 * 2 * 256 * 32 * 32 + 2 * 2 * 256 * 256 * 32)

    def test_boxes_hold_what_is_inside(self):
        for box in self.boxes.values():
            if not box["children"]:
                continue
            for key in ("flops", "parameters"):
                inside = sum(child[key] for child in box["children"])
                self.assertGreaterEqual(box[key], inside, box["path"])
            if "attn" not in box["path"] and "self_attn" not in box["path"] and "AttnBlock" != box["type"]:
                if not any("ttention" in inner["type"] for inner in boxes(box)):
                    self.assertEqual(box["flops"], sum(child["flops"] for child in box["children"]), box["path"])

    def test_every_box_ran(self):
        self.assertEqual([path for path, box in self.boxes.items() if box["output"] is None], [])

    def test_times(self):
        for box in boxes(json_of(*DEMO, "--timed")):
            self.assertGreater(box["seconds"], 0, box["path"])
            self.assertLessEqual(sum(child["seconds"] for child in box["children"]), box["seconds"] * 1.001, box["path"])

    def test_skips(self):
        unet = json_of(*DEMO, "--box", "unet")
        self.assertEqual([skip["path"] for skip in unet["skips"]], [f"unet.skips.{i}" for i in range(12)])
        down = "unet.down_blocks."
        self.assertEqual([skip["from"] for skip in unet["skips"]],
                         ["unet.conv_in", down + "0.attentions.0", down + "0.attentions.1", down + "0.downsamplers.0",
                          down + "1.attentions.0", down + "1.attentions.1", down + "1.downsamplers.0",
                          down + "2.attentions.0", down + "2.attentions.1", down + "2.downsamplers.0",
                          down + "3.resnets.0", down + "3.resnets.1"])
        self.assertEqual([skip["to"] for skip in unet["skips"]],
                         [f"unet.up_blocks.{3 - i // 3}.resnets.{2 - i % 3}" for i in range(12)])
        one = json_of(*DEMO, "--box", "unet.down_blocks.1")
        self.assertEqual([skip["path"] for skip in one["skips"]], [f"unet.skips.{i}" for i in (4, 5, 6)])


class Texts(unittest.TestCase):
    def test_tree_and_table_have_every_box(self):
        paths = [box["path"] for box in boxes(json_of(*DEMO))][1:]
        table = text_of(*DEMO, "--as", "table").splitlines()
        self.assertEqual([line.split()[0] for line in table[2:]], paths)
        self.assertEqual(len(text_of(*DEMO).splitlines()), len(paths) + 2)

    def test_columns_are_aligned(self):
        for how in ("tree", "table"):
            lines = text_of(*DEMO, "--as", how, "--timed", "--depth", "2").splitlines()
            begins = {line.index("[") for line in lines[1:]}
            self.assertEqual(len(begins), 1, how)
            self.assertEqual(begins, {lines[0].index("output")})

    def test_depth(self):
        depth = {n: len(text_of(*DEMO, "--part", "unet", "--depth", str(n)).splitlines()) for n in (0, 1, 2)}
        self.assertEqual(depth[0], 2)
        self.assertEqual(depth[1], 2 + 13)  # time, conv_in, 4 down, m, 4 up, norm, conv_out
        self.assertGreater(depth[2], depth[1])

    def test_box(self):
        only = json_of(*DEMO, "--box", "unet.mid_block")
        self.assertEqual([child["name"] for child in only["children"]], ["resnets.0", "attentions.0", "resnets.1"])

    def arrows(self, *arguments):
        dot = text_of(*DEMO, "--as", "dot", *arguments)
        self.assertEqual(dot.count("{"), dot.count("}"))
        return set(re.findall(r'"([^"]+)" -> "([^"]+)";', dot))

    def test_dot(self):
        up = "unet.up_blocks.1."
        arrows = self.arrows("--box", "unet", "--depth", "2")
        self.assertIn(("unet.down_blocks.0.resnets.0", "unet.down_blocks.0.attentions.0"), arrows)
        self.assertIn(("unet.time_embedding.linear_2", up + "resnets.2"), arrows)
        self.assertIn(("unet.down_blocks.3.resnets.1", "unet.mid_block.resnets.0"), arrows)
        self.assertNotIn(("unet.time_embedding.linear_2", up + "attentions.0"), arrows)

    def test_arrows_inside(self):
        block = "unet.down_blocks.1.resnets.0."
        arrows = self.arrows("--box", block[:-1])
        self.assertEqual({(a.removeprefix(block), b.removeprefix(block)) for a, b in arrows},
                         {("norm1", "conv1"), ("conv1", "norm2"), ("time_emb_proj", "norm2"), ("norm2", "conv2")})


class Refusals(unittest.TestCase):
    def refused(self, arguments, *words):
        done = describe(*arguments)
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertEqual(done.stdout, "")
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)

    def test_wrong_paths_get_the_nearest(self):
        self.refused((*DEMO, "--box", "unet.down_block.1"), "'unet.down_block.1'", "unet.down_blocks.1")
        self.refused((*DEMO, "--box", "unet.mid_block.resnet.1"), "unet.mid_block.resnets.1")
        self.refused((*DEMO, "--box", "vae", "--part", "unet"), "'vae'")
        self.refused((*DEMO, "--box", "x" * 100000), "nearest")

    def test_which_model(self):
        self.refused((), "--model", "--size")
        self.refused((*DEMO, "--size", "sd15"), "not both")
        self.refused(("--model", "/nowhere"), "/nowhere")

    def test_pixels(self):
        self.refused((*DEMO, "--pixels", "100"), "100", "multiple of 32")

    def test_sources(self):
        self.refused((*DEMO, "--as", "svg", "--source", "/tmp"), "/tmp")

    def test_nothing_half_written(self):
        with tempfile.TemporaryDirectory() as folder:
            self.refused((*DEMO, "--out", folder + "/no/tree.txt"), "no/tree.txt")
            self.refused((*DEMO, "--box", "unet.nothing", "--out", folder + "/tree.txt"), "unet.nothing")
            self.assertEqual(list(pathlib.Path(folder).iterdir()), [])
            self.assertEqual(text_of(*DEMO, "--out", folder + "/tree.txt"), "")
            self.assertEqual(pathlib.Path(folder, "tree.txt").read_text(encoding="utf-8"), text_of(*DEMO))


if __name__ == "__main__":
    unittest.main()
