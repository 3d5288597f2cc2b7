"""Every layer's path or pattern in the pages, also behind `layer break` and `--edit`, is one of the demo model's."""
import fnmatch
import json
import re
import unittest

from program import DEMO, ROOT, ProgramTest, write_png

CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"(?<![\w/.{])(?:unet|vae|text_encoder)(?:\.(?:[\w*?]|\[[\w-]+\])+)+(?![\w/(-])")
FILES = {"cpp", "h", "json", "svg", "safetensors", "png", "npy"}


def paths_of(text):
    """(line, path or pattern): in backquotes and in fenced blocks."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
            continue
        for code in [line] if fenced else CODE.findall(line):
            for path in PATH.findall(code):
                if path.rpartition(".")[2] not in FILES:
                    yield number, path


class PathsInDocs(ProgramTest):
    def test_find_what_is_no_path(self):
        text = "`layer break unet.mid_blok`\n`models/unets/unet_sd.h`\nunet.prose\n```\n--edit 'unet.*.attn9=zero'\n```\n"
        self.assertEqual(list(paths_of(text)), [(1, "unet.mid_blok"), (5, "unet.*.attn9")])

    def test_all_are_layers(self):
        write_png(self.folder / "start.png", 64, 64, lambda x, y: (255, 4 * y, 2 * x))  # so that the VAE's encoder runs
        run = self.run_well("trace", "--model", DEMO, "--prompt", "a", "--seed", 0, "--steps", 1, "--init-image", "start.png",
                            "--strength", 1, "--layers", "*", "--layers", "*.probs", "--as", "json")
        known = {layer["path"] for layer in json.loads(run.stdout)["layers"]}
        self.assertGreater(len(known), 500)
        checked, wrong = 0, []
        for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
            for number, path in paths_of(page.read_text(encoding="utf-8")):
                checked += 1
                whole = re.sub(r"\.(weight|bias)$", "", path)
                if not fnmatch.filter(known, whole):
                    wrong.append(f"{page.relative_to(ROOT)}:{number}: there is no layer {path}")
        self.assertEqual(wrong, [])
        self.assertGreater(checked, 50)


if __name__ == "__main__":
    unittest.main()
