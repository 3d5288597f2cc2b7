"""What cannot be done is said in one sentence, with exit code 2 and nothing half-written."""
import json
import os
import resource
import signal
import struct
import subprocess
import unittest

from program import DEMO, PROGRAM, ProgramTest, change_weight

UNET = "unet/diffusion_pytorch_model.safetensors"
QUICK = ("--prompt", "a cat", "--seed", 1, "--steps", 1)
SMALL = ("--model", DEMO, *QUICK, "--width", 32, "--height", 32)


def small_files():
    """As if the disk were full after 2000 bytes; LLVM's OpenMP needs 1024 to start."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


class Options(ProgramTest):
    def test_impossible_numbers(self):
        for option, value, says in [("--steps", 0, "steps"), ("--steps", -4, "steps"), ("--steps", 1001, "1000"),
                                    ("--cfg", "nan", "cfg"), ("--cfg", "inf", "cfg"), ("--width", 7, "width"),
                                    ("--width", 100000, "width"), ("--height", 70, ("height", "68", "72")),
                                    ("--batch", 0, "batch"), ("--batch", -1, "batch"), ("--eta", 2, "eta"),
                                    ("--eta", "nan", "eta"), ("--threads", 0, "threads"),
                                    ("--steps", "many", "steps"), ("--seed", -1, "seed")]:
            with self.subTest(option=option, value=value):
                arguments = ["generate", "--model", DEMO, "--prompt", "a cat", option, value]
                self.refuses(*arguments, says=says)

    def test_names_with_a_suggestion(self):
        self.refuses("generate", "--model", DEMO, *QUICK, "--sampler", "dimm", says=("dimm", "ddim"))
        self.refuses("generate", "--model", DEMO, *QUICK, "--backend", "quick", says=("quick", "fast"))
        self.refuses("generate", "--model", DEMO, *QUICK, "--isa", "mmx", says=("mmx", "avx2"))
        self.refuses("generate", "--model", DEMO, *QUICK, "--colour", "red", says="--colour")
        self.refuses("generate", "--model", DEMO, *QUICK, "--step", "3", says=("--step", "--steps"))
        self.refuses("generate", "--model", DEMO, says="--prompt")
        self.refuses("generat", says=("generat", "generate"))
        self.refuses(says="--help")

    def test_backends_for_layers_that_are_not_there(self):
        says = ("there is no layer 'unet.md_block'", "did you mean unet.mid_block?")
        wrong = ("--backend", "fast,unet.md_block=ref")
        self.refuses("generate", "--model", DEMO, *QUICK, *wrong, says=says)
        self.refuses("generate", "--model", DEMO, *QUICK, says=says, env=dict(os.environ, CUTAWAY_BACKEND=wrong[1]))
        self.refuses("trace", "--model", DEMO, *QUICK, *wrong, says=says)
        self.refuses("bench", "unet", *wrong, says=says)
        self.refuses("bench", "vae-decode", "--backend", "fast,unet.mid_block=ref", says="no layer 'unet.mid_block'")
        self.run_well("generate", *SMALL, "--backend", "fast,unet.down_blocks=ref,vae.decoder.mid_block=eigen,unet.conv_in=ref",
                      "--out", "p.png")
        self.run_well("trace", *SMALL, "--layers", "unet.conv_in", "--out", "t.safetensors")
        self.refuses("compare", "t.safetensors", *wrong, says=says)

    def test_latents(self):
        self.refuses("generate", "--model", DEMO, *QUICK, "--latents", "none.safetensors", says="none.safetensors")
        (self.folder / "text.safetensors").write_text("not a file of tensors")
        self.refuses("generate", "--model", DEMO, *QUICK, "--latents", "text.safetensors", says="text.safetensors")
        self.run_well("generate", "--model", DEMO, *QUICK, "--save-latents", "l.safetensors", "--out", "p.png")
        self.refuses("generate", "--model", DEMO, *QUICK, "--latents", "l.safetensors:noises", says="noises")
        self.refuses("generate", "--model", DEMO, *QUICK, "--width", 128, "--latents", "l.safetensors", says="latents")


class Outputs(ProgramTest):
    def test_places_that_cannot_be_written(self):
        (self.folder / "folder").mkdir()
        self.refuses("generate", "--model", DEMO, *QUICK, "--out", "folder", says="folder")
        self.refuses("generate", "--model", DEMO, *QUICK, "--out", "no/where.png", says="no")
        self.refuses("generate", "--model", DEMO, *QUICK, "--out", "/dev/full", says="/dev/full")
        self.refuses("generate", "--model", DEMO, *QUICK, "--save-latents", "/dev/full", says="/dev/full")
        self.refuses("trace", "--model", DEMO, *QUICK, "--out", "/dev/full", says="/dev/full")

    def test_full_disk_leaves_the_old_picture(self):
        (self.folder / "p.png").write_bytes(b"the old picture")

        self.refuses("generate", "--model", DEMO, *QUICK, "--out", "p.png", says="p.png", preexec_fn=small_files)
        self.assertEqual((self.folder / "p.png").read_bytes(), b"the old picture")

    def test_full_disk_for_each_kind_of_output(self):
        for arguments, old in [(("trace", *SMALL, "--out", "t.safetensors"), "t.safetensors"),
                               (("generate", *SMALL, "--save-latents", "l.safetensors", "--out", "p.png"), "l.safetensors"),
                               (("convert", DEMO, "--out", "c.safetensors"), "c.safetensors")]:
            (self.folder / old).write_bytes(b"old")
            self.refuses(*arguments, says="too large", preexec_fn=small_files)
            self.assertEqual((self.folder / old).read_bytes(), b"old")
        self.refuses("convert", DEMO, "--out", "model", says="too large", preexec_fn=small_files)

    def test_folder_in_place_of_a_file(self):
        (self.folder / "folder").mkdir()
        self.refuses("trace", *SMALL, "--out", "folder", says="folder")
        self.refuses("generate", *SMALL, "--save-latents", "folder", "--out", "p.png", says="folder")
        (self.folder / "c.safetensors").mkdir()
        self.refuses("convert", DEMO, "--out", "c.safetensors", says="folder")

    def test_read_only_folder(self):
        self.folder.chmod(0o755)
        (self.folder / "locked").mkdir()
        (self.folder / "locked").chmod(0o555)
        ordinary = (lambda: os.setuid(65534)) if os.geteuid() == 0 else None  # the superuser may write everywhere
        try:
            self.run_program("--version", preexec_fn=ordinary)
        except PermissionError:
            self.skipTest("other users may not run the program where it lies")
        for arguments in [("generate", *SMALL, "--out", "locked/p.png"), ("trace", *SMALL, "--out", "locked/t.safetensors"),
                          ("convert", DEMO, "--out", "locked/c.safetensors"), ("convert", DEMO, "--out", "locked/model")]:
            self.refuses(*arguments, says="locked", preexec_fn=ordinary)

    def shell(self, command):
        return subprocess.run(["bash", "-c", command], cwd=self.folder, capture_output=True, text=True, timeout=300)

    def test_closed_pipe_ends_quietly(self):
        for command in (f"generate --model '{DEMO}' --prompt 'a cat' --steps 4 --seed 1", f"inspect '{DEMO}' --as json",
                        "tokenize 'a cat' --as json"):
            result = self.shell(f"'{PROGRAM}' {command} | head -c 1")
            self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_output_that_goes_nowhere(self):
        for command in (f"inspect '{DEMO}' --as json", f"inspect '{DEMO}'", "tokenize 'a cat'", "--help"):
            for place in ("> /dev/full", ">&-"):
                result = self.shell(f"'{PROGRAM}' {command} {place}")
                self.assertEqual(result.returncode, 2, (command, place, result.stderr))
                self.assertIn("cannot write to the standard output", result.stderr)

    def test_nothing_is_printed_into_the_picture_where_the_standard_output_is_closed(self):
        self.run_well("generate", *SMALL, "--out", "expected.png")
        for closed in (">&-", "2>&-", "<&- >&- 2>&-"):
            arguments = " ".join(f"'{argument}'" for argument in ("generate", *SMALL, "--out", "p.png"))
            self.shell(f"'{PROGRAM}' {arguments} {closed}")
            self.assertEqual((self.folder / "p.png").read_bytes(), (self.folder / "expected.png").read_bytes())
            (self.folder / "p.png").unlink()


class Models(ProgramTest):
    def refuses_model(self, model, *says):
        return self.refuses("generate", "--model", model, *QUICK, says=says)

    def test_no_model(self):
        self.refuses_model("nowhere", "nowhere")
        (self.folder / "file").write_text("a file")
        self.refuses_model("file", "file")
        (self.folder / "empty").mkdir()
        self.refuses_model("empty", "empty")

    def test_missing_parts(self):
        for part in ("unet/config.json", UNET, "vae/config.json", "tokenizer/vocab.json", "tokenizer/merges.txt",
                     "text_encoder/model.safetensors", "scheduler/scheduler_config.json"):
            with self.subTest(part=part):
                model = self.copy_of_demo(part.replace("/", "-"))
                (model / part).unlink()
                self.refuses_model(model, part.split("/")[0])

    def test_truncated_weights(self):
        model = self.copy_of_demo()
        whole = (model / UNET).read_bytes()
        header = 8 + struct.unpack("<Q", whole[:8])[0]
        for size in (0, 4, 8, 100, header - 1, header, header + 1, len(whole) // 2, len(whole) - 1):
            (model / UNET).write_bytes(whole[:size])
            with self.subTest(size=size):
                self.refuses_model(model, "diffusion_pytorch_model.safetensors")

    def test_flipped_header_bits(self):
        model = self.copy_of_demo()
        whole = bytearray((model / UNET).read_bytes())
        for at in range(0, 1200, 41):  # size, braces, names, shapes, offsets
            flipped = bytearray(whole)
            flipped[at] ^= 0x15
            (model / UNET).write_bytes(flipped)
            with self.subTest(at=at):
                self.refuses_model(model, "unet")

    def test_hostile_header(self):
        model = self.copy_of_demo()
        for name, header, size in [
                ("huge size", b"{}", 2**63), ("nested", b"[" * 100000, None), ("overlap", json.dumps(
                    {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
                     "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}).encode(), None),
                ("overflow", json.dumps({"a": {"dtype": "F32", "shape": [2**62, 8], "data_offsets": [0, 8]}}).encode(),
                 None), ("not utf-8", b'{"\xff": 1}', None)]:
            (model / UNET).write_bytes(struct.pack("<Q", size or len(header)) + header + b"\0" * 16)
            with self.subTest(name):
                self.refuses_model(model, "diffusion_pytorch_model.safetensors")

    def test_wrong_shapes_and_names(self):
        model = self.copy_of_demo()
        config = json.loads((model / "unet/config.json").read_text())
        config["block_out_channels"][0] *= 2
        (model / "unet/config.json").write_text(json.dumps(config))
        self.refuses_model(model, "unet")
        config["block_out_channels"] = "wide"
        (model / "unet/config.json").write_text(json.dumps(config))
        self.refuses_model(model, "config.json", "block_out_channels")
        (model / "unet/config.json").write_text("{ not json")
        self.refuses_model(model, "config.json")

    def test_wrong_tokenizer(self):
        model = self.copy_of_demo()
        vocabulary = json.loads((model / "tokenizer/vocab.json").read_text())
        vocabulary.update({f"new{i}</w>": len(vocabulary) + i for i in range(50)})
        (model / "tokenizer/vocab.json").write_text(json.dumps(vocabulary))
        self.refuses_model(model, "token")
        (model / "tokenizer/vocab.json").write_text("[]")
        self.refuses_model(model, "vocab.json")

    def test_nan_weight_makes_no_picture(self):
        model = self.copy_of_demo()
        change_weight(model / UNET, "mid_block.resnets.0.conv1.weight", 5, lambda old: float("nan"))
        self.refuses_model(model, "NaN", "--check-finite")
        self.refuses("generate", "--model", model, *QUICK, "--check-finite",
                     says=("unet.mid_block.resnets.0.conv1", "step 0", "index"))


if __name__ == "__main__":
    unittest.main()
