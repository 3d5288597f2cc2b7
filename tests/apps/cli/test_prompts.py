"""Prompts with weights, chunks and new words, other programs' conventions, and what is remembered for the user."""
import json
import os
import struct
import subprocess
import sys
import unittest

from formats import as_torch, write_torch
from program import DEMO, ROOT, ProgramTest, read_png

QUICK = ["--steps", 2, "--width", 32, "--height", 32, "--seed", 3, "--quiet"]


def as_webui_trains(count, width, raw):
    return {"string_to_token": {"*": 265}, "string_to_param": as_torch({"*": ("F32", [count, width], raw)}),
            "name": "trained", "step": 500, "sd_checkpoint": None, "sd_checkpoint_name": "base"}


class PromptTest(ProgramTest):
    def draw(self, *options, prompt="a red car"):
        self.run_well("generate", "--prompt", prompt, *QUICK, *options, "--out", "p.png")
        return read_png(self.folder / "p.png")

    def test_each_program_draws_a_picture_of_its_own_and_says_which(self):
        pixels = {}
        for program in ("diffusers", "webui", "comfyui", "compvis"):
            options = ["--compat", program, "--clip-skip", 2]
            _, _, pixels[program], texts = self.draw(*options)
            self.assertEqual(texts["compat"], program)
            self.assertEqual(texts["clip skip"], "2")
        self.assertEqual(len(set(pixels.values())), 4)
        plain = self.draw()
        self.assertEqual((plain[3]["compat"], plain[3]["clip skip"]), ("diffusers", "1"))
        self.assertNotEqual(plain[2], self.draw("--clip-skip", 2)[2])

    def test_weights_and_chunks(self):
        plain = self.draw()[2]
        webui = ["--prompt-weights", "webui"]
        self.assertEqual(self.draw(*webui)[2], plain)
        self.assertNotEqual(self.draw(*webui, prompt="a (red:1.5) car")[2], plain)
        long = "a red car next to a tree, " * 8
        self.assertIn("left out", self.run_well("generate", "--prompt", long, *QUICK).stderr)
        self.assertEqual(self.run_well("generate", "--prompt", long, *QUICK, *webui).stderr, "")
        self.draw(*webui, "--negative", "a fish BREAK a tree BREAK a cat", prompt=long)

    def test_words_that_the_model_does_not_know(self):
        run = ["generate", *QUICK, "--model"]
        result = self.run_well(*run, DEMO, "--prompt", "a wizard next to the CATS, 3d style", "--prompt", "a wizard next to the CATS, 3d style")
        self.assertEqual(result.stderr.count("\n"), 1, "once, not for each picture: " + result.stderr)
        for part in ("warning", "'wizard'", "'cats' (near it are: cat, ", str(DEMO / "words.txt")):
            self.assertIn(part, result.stderr)
        self.assertNotIn("'style'", result.stderr)
        known = ["--prompt", "a (T-Rex:1.2) BREAK [a cat], 3d style, on a pink background", "--prompt-weights", "webui"]
        self.assertEqual(self.run_well(*run, DEMO, *known).stderr, "")
        self.assertIn("'blurry'", self.run_well(*run, DEMO, *known, "--negative", "blurry").stderr)
        trace = self.run_well("trace", "--model", DEMO, "--prompt", "a wizard", "--steps", 1, "--layers", "unet")
        self.assertIn("'wizard'", trace.stderr)
        model = self.copy_of_demo()
        (model / "words.txt").write_text("# my own\nA wizard\n")
        self.assertEqual(self.run_well(*run, model, "--prompt", "a wizard").stderr, "")
        (model / "words.txt").unlink()
        self.assertEqual(self.run_well(*run, model, "--prompt", "a wyzard").stderr, "", "a model without a list")
        (model / "words.txt").write_text("a " * 600000)
        self.refuses(*run, model, "--prompt", "a wizard", says="words.txt")

    def test_the_list_of_words_is_that_of_the_training(self):
        subprocess.run([sys.executable, ROOT / "tools/train_demo/words.py", self.folder], check=True,
                       env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"))
        self.assertEqual((self.folder / "words.txt").read_text(), (DEMO / "words.txt").read_text())

    def test_refusals(self):
        generate = ["generate", "--prompt", "a", *QUICK]
        self.refuses(*generate, "--compat", "webiu", says=["'webiu'", "webui"])
        self.refuses(*generate, "--compat", "compvis", "--sampler", "euler", says="compvis has no sampler euler")
        self.refuses(*generate, "--prompt-weights", "some", says="'some'")
        self.refuses(*generate, "--noise", "gpu", says="'gpu'")
        self.refuses(*generate, "--schedule", "simple", says="--compat webui or comfyui")
        self.refuses(*generate, "--clip-skip", 0, says="clip skip is 0")
        self.refuses(*generate, "--embedding", "none.pt", says="none.pt")

    def test_textual_inversions_as_the_webui_trains_them(self):
        width = json.loads((DEMO / "text_encoder/config.json").read_text())["hidden_size"]
        rows = {count: struct.pack(f"<{count * width}f", *[0.02 * (i % 7 - 3) for i in range(count * width)])
                for count in (1, 3)}
        for count, raw in rows.items():
            write_torch(self.folder / f"style{count}.pt", as_webui_trains(count, width, raw))
        with_one = self.draw("--embedding", "style1.pt", prompt="a car in style1")
        self.assertNotEqual(with_one[2], self.draw(prompt="a car in style1")[2])
        self.assertEqual(with_one[3]["embedding"], "style1.pt")
        self.assertNotEqual(self.draw("--embedding", "style3.pt:style1", prompt="a car in style1")[2], with_one[2])
        (self.folder / "p.png").unlink()
        self.assertIn("style1", " ".join(self.files()))
        write_torch(self.folder / "wide.pt", as_webui_trains(1, 1024, bytes(4096)))
        self.refuses("generate", "--prompt", "a", "--embedding", "wide.pt", says=["1024 wide", "Stable Diffusion 2"])

    def test_trace_repeats_with_the_same_compat(self):
        run = ["--prompt", "a (red:1.4) car", "--compat", "webui", "--sampler", "euler_ancestral", "--steps", 2,
               "--width", 32, "--height", 32, "--seed", 3, "--layers", "unet.conv_out"]
        self.run_well("trace", *run, "--out", "t.safetensors")
        self.run_well("compare", "t.safetensors")

    def test_config_remembers_a_vocabulary(self):
        self.assertIn("(none)", self.run_well("config").stdout)
        self.refuses("config", "tokenizer", "nowhere", says="nowhere")
        self.refuses("config", "tokenizer", says="cutaway config tokenizer DIR")
        settings = self.folder / "settings/cutaway/config.json"
        settings.parent.mkdir(parents=True)
        settings.write_text('{"other": 1}')
        self.run_well("config", "tokenizer", DEMO / "tokenizer")
        self.assertEqual(json.loads(settings.read_text()), {"other": 1, "tokenizer": str(DEMO / "tokenizer")})
        self.assertIn(str(DEMO / "tokenizer"), self.run_well("config").stdout)
        self.run_well("config", "tokenizer", "--forget")
        self.assertEqual(json.loads(settings.read_text()), {"other": 1})
        settings.write_text("[]")
        self.refuses("config", says="config.json")

    def test_a_single_file_finds_the_remembered_vocabulary(self):
        self.run_well("convert", DEMO, "--out", "one.safetensors")
        draw = ["generate", "--model", "one.safetensors", "--prompt", "a red car", *QUICK, "--out", "one.png"]
        self.refuses(*draw, says=["one.safetensors", "--tokenizer DIR", "cutaway config tokenizer DIR"])
        self.run_well("config", "tokenizer", DEMO / "tokenizer")
        self.run_well(*draw)
        self.assertEqual(read_png(self.folder / "one.png")[2], self.draw()[2])

    def test_tokenize_for_scripts(self):
        text = "a (red:1.3) car BREAK " + "a tree next to a car, " * 20
        result = json.loads(self.run_well("tokenize", "--plain", "--as", "json", input=text).stdout)
        length = len(result["chunks"][0])
        self.assertTrue(all(len(chunk) == length for chunk in result["chunks"]))
        self.assertGreater(len(result["chunks"]), 1)
        start, end = result["chunks"][0][0], result["chunks"][-1][-1]
        joined = [i for chunk in result["chunks"] for i in chunk if i not in (start, end)]
        self.assertEqual(joined, [i for i in result["ids"] if i not in (start, end)])
        self.assertEqual(result, json.loads(self.run_well("tokenize", "--plain", "--as", "json", text).stdout))


if __name__ == "__main__":
    unittest.main()
